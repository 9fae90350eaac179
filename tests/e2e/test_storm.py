"""A storm: an unregistered fleet connects at once, while registered devices continue to work."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests import x509
from tests.e2e.certificate_files import in_files
from tests.e2e.devices import Device, allow, register
from tests.e2e.many_devices import Outcome, SharedKeyDevice, attempt, new_devices
from tests.e2e.running_server import RunningServer
from tests.e2e.test_just_in_time_registration import EVENTS
from tests.wait import eventually, eventually_async

UNKNOWN: Final = 1000
"""As many as CI has time for. ``bench`` uses ten times as many."""

NEW: Final = 50
"""Registered devices that are not cached yet, which need an admission request like the unregistered ones."""

KNOWN: Final = 10
"""Registered devices that connect, publish and disconnect repeatedly."""

HELD: Final = 5.0
"""Maximum seconds between the first device's handshake and its CONNECT, for which the server allows ten."""


@dataclass
class Watched:
    """The outcomes and durations of the registered devices' attempts."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)

    async def count(self, server: RunningServer, member: SharedKeyDevice) -> None:
        begun = time.monotonic()
        self.outcomes[await attempt(server, member, f"t/{member.name}")] += 1
        self.seconds.append(time.monotonic() - begun)


async def storm(
    server: RunningServer, unknown: Sequence[SharedKeyDevice], new: Sequence[SharedKeyDevice], watched: Watched
) -> float:
    """Connect each unregistered device once, all at one moment; returns seconds until the last has its answer."""
    burst = asyncio.Event()
    ready = 0

    async def held() -> None:
        nonlocal ready
        ready += 1
        if ready == len(unknown):
            burst.set()
        await burst.wait()

    asyncio.get_running_loop().call_later(HELD, burst.set)
    arriving = [asyncio.create_task(attempt(server, member, held=held)) for member in unknown]
    await burst.wait()
    begun = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for member in new:
            group.create_task(watched.count(server, member))
        await asyncio.gather(*arriving)
        seconds = time.monotonic() - begun
    return seconds


async def about_their_business(
    server: RunningServer,
    unknown: Sequence[SharedKeyDevice],
    new: Sequence[SharedKeyDevice],
    known: Sequence[SharedKeyDevice],
) -> tuple[Watched, float]:
    """Run the storm while the registered devices connect, publish and disconnect before, during and after it."""
    watched = Watched()
    passed = asyncio.Event()

    async def lives(member: SharedKeyDevice) -> None:
        while not passed.is_set():
            await watched.count(server, member)

    async with asyncio.TaskGroup() as group:
        for member in known:
            group.create_task(lives(member))
        await eventually_async(lambda: watched.outcomes.total() >= len(known))
        seconds = await storm(server, unknown, new, watched)
        passed.set()
    return watched, seconds


def test_an_unregistered_fleet_is_registered_once_and_excludes_no_registered_device(
    own_server: RunningServer,
    tmp_path: Path,
    record_testsuite_property: Callable[[str, object], None],
) -> None:
    server, clients = own_server, own_server.session()
    ca = x509.new_ca("Storm")
    clients.iot.register_ca_certificate(
        caCertificate=ca.pem, certificateMode="SNI_ONLY", setAsActive=True, allowAutoRegistration=True
    )
    allow(clients.iot, "anything")
    unknown = new_devices(tmp_path / "unknown", ca, UNKNOWN, "unknown")
    # Of the same CA, so that only their registration differs.
    known, new = new_devices(tmp_path / "known", ca, KNOWN, "known"), new_devices(tmp_path / "new", ca, NEW, "new")
    for member in (*known, *new):
        register(clients, in_files(tmp_path, member.issued), "anything")
    for member in (*unknown, *known, *new):
        member.tls(server)
    listening = x509.new_device(None, "listener")
    register(clients, in_files(tmp_path, listening), "anything")
    ids = {member.certificate_id for member in unknown}

    with Device(server, in_files(tmp_path, listening), "listener") as listener:
        assert not listener.subscribe(f"{EVENTS}{ca.certificate_id}", 1).is_failure
        watched, seconds = asyncio.run(about_their_business(server, unknown, new, known))
        announced = Counter(json.loads(listener.message().payload)["certificateId"] for _ in unknown)
        assert listener.messages.empty()

    record_testsuite_property("storm: registrations per second", round(UNKNOWN / seconds))
    record_testsuite_property("storm: attempts of known devices", watched.outcomes.total())
    record_testsuite_property("storm: longest of them in seconds", round(max(watched.seconds), 2))
    pages = clients.iot.get_paginator("list_certificates_by_ca").paginate(
        caCertificateId=ca.certificate_id, PaginationConfig={"PageSize": 250}
    )
    listed = [each for page in pages for each in page["certificates"]]
    waiting = Counter(each["certificateId"] for each in listed if each["status"] == "PENDING_ACTIVATION")
    assert waiting == announced == dict.fromkeys(ids, 1)
    # Registered devices were accepted each time.
    assert watched.outcomes == {Outcome.TAKEN: watched.outcomes.total()}
    assert watched.outcomes.total() > KNOWN + NEW
    eventually(lambda: len(refusals(server)) >= UNKNOWN)
    assert Counter(line["certificate_id"] for line in refusals(server)) == dict.fromkeys(ids, 1)
    # On a slow machine some time out; they are registered and announced too.
    reasons = {line["reason"] for line in refusals(server)}
    assert reasons <= {"DEVICE_CERTIFICATE_PENDING_ACTIVATION", "CONTROL_PLANE_TIMEOUT"}


def refusals(server: RunningServer) -> list[dict[str, Any]]:
    return server.log_events("connection_refused")
