"""Attempts of certificates that are always refused, beside connects of registered certificates."""

from __future__ import annotations

import json
from typing import Final

from bench.provisioning.arrangement import prepare
from bench.provisioning.measure import Measure
from bench.provisioning.stage import DeviceFiles, Stage

_DEVICES: Final = 64
_CONCURRENCY: Final = 16
_KNOWN: Final = "known, connects"
_UNKNOWN: Final = "CA_NOT_REGISTERED"
_PENDING: Final = "PENDING_ACTIVATION"
_FAILING: Final = "PROVISIONING_FAILED"
_TEMPLATE: Final = json.dumps(
    {
        "Resources": {
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "ACTIVE"},
            },
            # There is no policy with this name, so every attempt fails.
            "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "not-there"}},
        },
        "Parameters": {"AWS::IoT::Certificate::Id": {"Type": "String"}},
    }
)
_ROLE: Final = "arn:aws:iam::123456789012:role/jitp"


def measure(stage: Stage, each: int) -> Measure:
    """Measure ``each`` attempts of every device in a round. Raises CannotMeasure."""
    home = stage.folder / "refusals"
    kinds = {name: DeviceFiles(home, name) for name in ("known", "unknown", "pending", "failing")}
    devices = {name: files.make(_DEVICES) for name, files in kinds.items()}
    config = {"registrationConfig": {"templateBody": _TEMPLATE, "roleArn": _ROLE}}
    automatic = [(kinds["pending"], {}), (kinds["failing"], config)]
    prepare(stage, home / "server", kinds["known"], devices["known"], automatic=automatic)
    subjects = {_KNOWN: "known", _UNKNOWN: "unknown", _PENDING: "pending", _FAILING: "failing"}
    found = Measure("refusals", "attempt", {subject: _KNOWN for subject in subjects if subject != _KNOWN})
    with stage.server(home / "server") as server:
        # The first attempt of each is not measured: it looks the certificate up, or registers it.
        for subject, name in subjects.items():
            expect = "accepted" if subject == _KNOWN else "refused"
            stage.attempts(f"first, {subject}", server, devices[name], expect, concurrency=_CONCURRENCY)
        for _ in range(stage.rounds):
            for subject, name in subjects.items():
                expect = "accepted" if subject == _KNOWN else "refused"
                what = f"refusals, {subject}"
                sample = stage.attempts(what, server, devices[name], expect, concurrency=_CONCURRENCY, each=each)
                found.add(subject, sample)
    return found
