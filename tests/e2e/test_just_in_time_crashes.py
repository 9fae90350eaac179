"""kill -9 during a fleet's first connections: no registration is incomplete, and no device is lost."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests import x509
from tests.e2e.many_devices import SharedKeyDevice, attempt, new_devices, until_taken
from tests.e2e.running_server import RunningServer
from tests.e2e.test_handlers import Receiver, receiving, serving, waiting
from tests.e2e.test_just_in_time_provisioning import inline, template
from tests.wait import eventually

DEVICES: Final = 100
KILLS: Final = 4

MOMENT: Final = 0.2
"""Seconds; a server registers some tens of devices in it."""

HELD: Final = 5.0
"""Maximum seconds between the first device's handshake and its CONNECT, for which the server allows ten."""


@dataclass(frozen=True)
class Row:
    """A certificate as it is on disk."""

    status: str
    generation_id: str
    things: tuple[str, ...]
    policies: tuple[str, ...]


def on_disk(server: RunningServer, ca: x509.KeyAndCertificate) -> dict[str, Row]:
    """Return the rows of a CA's devices."""

    def attached(statement: str) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for principal, name in server.rows(statement):
            certificate_id = principal.rpartition("/")[2]
            found[certificate_id] = (*found.get(certificate_id, ()), name)
        return found

    things = attached("SELECT principal, thing_name FROM attachments")
    policies = attached("SELECT target, policy_name FROM policy_targets")
    rows = server.rows(
        "SELECT certificate_id, status, generation_id FROM certificates WHERE ca_certificate_id = ?",
        ca.certificate_id,
    )
    # The database has one row for each certificate; the generation shows that none was removed and made again.
    return {each: Row(status, made, things.get(each, ()), policies.get(each, ())) for each, status, made in rows}


def unpublished(server: RunningServer) -> list[Any]:
    return server.rows("SELECT topic FROM outbox")


def pending(server: RunningServer) -> set[str]:
    """Return certificates with a delivery that waits for a handler."""
    return {each for (each,) in server.rows("SELECT subject FROM deliveries WHERE state = 'pending'")}


def told_of(receiver: Receiver) -> set[str]:
    return {json.loads(payload)["certificateId"] for _, payload in list(receiver.seen)}


async def killed_midway(server: RunningServer, members: Sequence[SharedKeyDevice], chance: random.Random) -> None:
    """Connect devices within a moment, and kill the server within twice that moment."""
    burst = asyncio.Event()
    ready = 0

    async def held() -> None:
        nonlocal ready
        ready += 1
        if ready == len(members):
            burst.set()
        await burst.wait()
        # At one moment they would all be in one transaction, which is kept or not.
        await asyncio.sleep(chance.uniform(0, MOMENT))

    attempts = [asyncio.create_task(attempt(server, member, held=held)) for member in members]
    asyncio.get_running_loop().call_later(HELD, burst.set)
    await burst.wait()
    await asyncio.sleep(chance.uniform(0, 2 * MOMENT))
    server.kill()
    await asyncio.gather(*attempts)


def wave(
    members: Sequence[SharedKeyDevice], number: int, registered: Mapping[str, object]
) -> Sequence[SharedKeyDevice]:
    """Return the devices of one kill: the next ones, and former ones that are not registered yet."""
    come = members[: (number + 1) * len(members) // KILLS]
    return [member for member in come if member.certificate_id not in registered]


class Seeded(random.Random):
    """Shows its seed where a test fails."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._given = seed

    def __repr__(self) -> str:
        return f"Seeded({self._given})"


@pytest.fixture
def chance() -> random.Random:
    return Seeded(random.SystemRandom().randrange(2**32))


def test_after_kill_9_provisioning_is_complete_or_not_started(
    own_server: RunningServer, tmp_path: Path, chance: random.Random
) -> None:
    server = own_server
    ca = x509.new_ca("Crashed")
    configured: dict[str, Any] = {"registrationConfig": inline(template({"ThingGroups": ["fleet"]}))}
    server.session().iot.create_thing_group(thingGroupName="fleet")
    server.session().iot.register_ca_certificate(
        caCertificate=ca.pem, certificateMode="SNI_ONLY", setAsActive=True, allowAutoRegistration=True, **configured
    )
    members = new_devices(tmp_path / "devices", ca, DEVICES, "device")
    names = {member.certificate_id: member.name for member in members}
    seen: dict[str, Row] = {}

    for number in range(KILLS):
        asyncio.run(killed_midway(server, wave(members, number, seen), chance))
        found = on_disk(server, ca)
        # With its thing and its policy in one transaction.
        for certificate_id, row in found.items():
            assert (row.status, row.things, row.policies) == ("ACTIVE", (names[certificate_id],), ("fleet",))
        assert server.rows("SELECT count(*) FROM things") == [(len(found),)]
        assert seen.items() <= found.items(), "what was there before was touched, or is gone"
        seen = found
        server.start()

    asyncio.run(until_taken(server, members))
    found = on_disk(server, ca)
    assert found.keys() == names.keys()
    assert seen.items() <= found.items()
    assert all(row.status == "ACTIVE" and row.things and row.policies == ("fleet",) for row in found.values())
    grouped = server.session().iot.get_paginator("list_things_in_thing_group").paginate(thingGroupName="fleet")
    assert Counter(name for page in grouped for name in page["things"]) == dict.fromkeys(names.values(), 1)
    assert unpublished(server) == []


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.mark.parametrize("answers", [503, 200])
def test_after_kill_9_every_registration_is_delivered_at_least_once(
    tmp_path: Path, receiver: Receiver, chance: random.Random, answers: int
) -> None:
    server = serving(
        tmp_path, f'[handlers.hook]\nurl = "{receiver.url}"\nretries = 1000\non_certificate_registered = true\n'
    )
    # 503: no device is activated while the server is being killed. 200: devices are, and that is interrupted as well.
    receiver.status, receiver.server = answers, server
    try:
        ca = x509.new_ca("Crashed")
        server.session().iot.register_ca_certificate(
            caCertificate=ca.pem, certificateMode="SNI_ONLY", setAsActive=True, allowAutoRegistration=True
        )
        members = new_devices(tmp_path / "devices", ca, DEVICES, "device")
        ids = {member.certificate_id for member in members}
        generations: dict[str, str] = {}
        for number in range(KILLS):
            asyncio.run(killed_midway(server, wave(members, number, generations), chance))
            found = on_disk(server, ca)
            # Events without a call are kept with the registration.
            kept = pending(server)
            assert found.keys() <= (kept if answers == 503 else kept | told_of(receiver))
            now = {each: row.generation_id for each, row in found.items()}
            assert generations.items() <= now.items(), "what was there before is gone, or was made anew"
            generations = now
            server.start()
        eventually(lambda: generations.keys() <= told_of(receiver))

        receiver.status = 200
        asyncio.run(until_taken(server, members))

        assert told_of(receiver) == ids
        eventually(lambda: not pending(server))
        found = on_disk(server, ca)
        assert found.keys() == ids
        assert {(row.status, row.policies) for row in found.values()} == {("ACTIVE", ("anything",))}
        assert generations.items() <= {each: row.generation_id for each, row in found.items()}.items()
        assert waiting(server)[0]["failed"] == 0
        assert unpublished(server) == []
    finally:
        server.kill()
