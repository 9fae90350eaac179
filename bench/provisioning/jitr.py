"""Just-in-time registration of many devices, beside plain connects of as many registered devices.

Every device must be registered exactly once, and announced exactly once by an event.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from bench.fleet import Device
from bench.provisioning.arrangement import prepare
from bench.provisioning.measure import Measure
from bench.provisioning.stage import DeviceFiles, Stage, api, certificate_id, say
from bench.results import Sample
from bench.servers import CannotMeasure, Sekisho
from sekisho.cli.device_client import DeviceClient, Endpoint

AGAIN: Final = "known, seen before"
_FIRST: Final = "known, first connect"
_NEW: Final = "unknown, registered"
_TRIES: Final = 20
_EVENTS_WITHIN: Final = 20.0
"""Seconds without an event after which the benchmark waits for no more."""


def measure(stage: Stage, count: int, at_once: int) -> Measure:
    """Measure registrations and plain connects. Raises CannotMeasure."""
    found = Measure("jitr", "connect", {_FIRST: AGAIN, _NEW: AGAIN})
    home = stage.folder / "jitr"
    known, unknown = DeviceFiles(home, "known"), DeviceFiles(home, "unknown")
    watcher, *devices = known.make(count + 1)
    unregistered = unknown.make(count)
    prepare(stage, home / "prepared", known, devices, automatic=[(unknown, {})], watcher=watcher)
    for number in range(stage.rounds):
        # Registered certificates stay registered, so each round begins with a copy of the data.
        folder = home / f"round-{number}"
        shutil.copytree(home / "prepared" / "data", folder / "data")
        with stage.server(folder) as server:
            for subject in (_FIRST, AGAIN):
                what = f"jitr, {subject}"
                sample = stage.attempts(what, server, devices, "accepted", concurrency=at_once)
                found.add(subject, sample)
            _register(stage, found, server, unknown.ca.certificate_id, watcher, unregistered, at_once)
        shutil.rmtree(folder)
    return found


def _register(
    stage: Stage,
    found: Measure,
    server: Sekisho,
    ca_id: str,
    watcher: Device,
    unregistered: Sequence[Device],
    at_once: int,
) -> None:
    iot = api(server)
    devices = {certificate_id(device): device for device in unregistered}
    place = Endpoint("localhost", "localhost", server.port("ecdsa"), server.data / "server" / "root-ca.pem")
    with DeviceClient(place, watcher.certificate, watcher.key, client_id=watcher.name, version="3.1.1") as watching:
        watching.subscribe([f"$aws/events/certificates/registered/{ca_id}"], qos=1)
        samples: list[Sample] = []
        registered: list[str] = []
        missing = list(devices)
        while missing and len(samples) < _TRIES:
            # A device that was refused before it was registered tries again, as devices do.
            turn = [devices[each] for each in missing]
            samples.append(stage.attempts(f"jitr, {_NEW}", server, turn, "refused", concurrency=at_once))
            registered = _registered(iot, ca_id)
            missing = sorted(set(devices) - set(registered))
        announced = _announced(watching, len(devices))
    if len(samples) > 1:
        found.remarks.append(
            f"jitr: {samples[1].units} of {len(devices)} were turned away before they were registered, and tried again"
        )
    found.add(_NEW, _together(samples, len(registered)))
    for what, counted in (("registered", Counter(registered)), ("announced", announced)):
        strange = {each: times for each, times in counted.items() if times != 1 or each not in devices}
        if len(counted) != len(devices) or strange:
            found.troubles.append(
                f"jitr: {len(counted)} of {len(devices)} certificates were {what}, {len(strange)} not exactly once"
            )


def _registered(iot: Any, ca_id: str) -> list[str]:
    pages: list[str] = []
    marker: dict[str, str] = {}
    while True:
        page = iot.list_certificates_by_ca(caCertificateId=ca_id, pageSize=250, **marker)
        pages += [each["certificateId"] for each in page["certificates"]]
        if "nextMarker" not in page:
            return pages
        marker = {"marker": page["nextMarker"]}


def _announced(watching: DeviceClient, expected: int) -> Counter[str]:
    """Return how often each certificate was announced."""
    announced: Counter[str] = Counter()
    arrived = True
    while arrived and len(announced) < expected:
        arrived = False
        for message in watching.messages(_EVENTS_WITHIN):
            announced[json.loads(message.payload)["certificateId"]] += 1
            arrived = True
            if len(announced) == expected:
                break
    # No event may come after the last one; a moment to detect such.
    for message in watching.messages(0.5):
        announced[json.loads(message.payload)["certificateId"]] += 1
    say(f"announced {len(announced)}")
    return announced


def _together(samples: Sequence[Sample], registered: int) -> Sample:
    """Return the sum of all attempts: the cost of the registrations."""
    if not registered:
        raise CannotMeasure("jitr: no certificate was registered; the server's log says why")
    seconds = sum(sample.units / sample.per_second for sample in samples)
    cpu = sum(sample.cpu_per_unit * sample.units for sample in samples)
    return replace(
        samples[0],
        units=registered,
        per_second=registered / seconds,
        cpu_per_unit=cpu / registered,
        failed=0 if len(samples) > 1 else samples[0].failed,
    )
