"""Makes a server's data for the benchmarks of admission: two CAs, a policy, registered devices."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from bench.fleet import Device, create_policies
from bench.provisioning.filling import fill
from bench.provisioning.stage import DeviceFiles, Stage, api
from sekisho.realm import Realm

_DEVICE_POLICY: Final = "bench-device"
_WATCHER_POLICY: Final = "bench-watcher"
_EVERYTHING: Final = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "iot:*", "Resource": "*"}}


def prepare(
    stage: Stage,
    folder: Path,
    known: DeviceFiles,
    devices: Sequence[Device],
    *,
    total: int = 0,
    automatic: Sequence[tuple[DeviceFiles, dict[str, Any]]] = (),
    watcher: Device | None = None,
) -> None:
    """Make the data of a stopped server.

    Args:
        known: The CA of ``devices``, which are registered.
        total: Number of registered certificates; 0: only the devices.
        automatic: The CA that registers automatically, with more parameters of RegisterCACertificate.
        watcher: A device of ``known`` that may do everything.
    """
    with stage.server(folder) as server:
        iot = api(server)
        realm = Realm(server.run["account"], server.run["region"])
        ca_id = iot.register_ca_certificate(
            caCertificate=known.ca.certificate_pem, certificateMode="SNI_ONLY", setAsActive=True
        )["certificateId"]
        for files, more in automatic:
            iot.register_ca_certificate(
                caCertificate=files.ca.certificate_pem,
                certificateMode="SNI_ONLY",
                setAsActive=True,
                allowAutoRegistration=True,
                **more,
            )
        create_policies(iot, f"arn:aws:iot:{realm.region}:{realm.account_id}:")
        if watcher is not None:
            iot.create_policy(policyName=_WATCHER_POLICY, policyDocument=json.dumps(_EVERYTHING))
            arn = iot.register_certificate(certificatePem=watcher.certificate.read_text(), status="ACTIVE")
            iot.attach_policy(policyName=_WATCHER_POLICY, target=arn["certificateArn"])
    fill(server.data, realm, ca_id, _DEVICE_POLICY, devices, max(total, len(devices)))
