"""A change in the registry applies at once to open and to new connections, and to no others.

The documented time is one second. The tests wait for the event with a deadline of several seconds, so that a busy
machine does not fail them.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import x509
from tests.e2e.certificate_files import CertificateFiles, in_files
from tests.e2e.devices import allow, register
from tests.e2e.mqtt_wire import (
    DISCONNECT,
    PUBACK,
    PUBLISH,
    SUBACK,
    V5,
    V311,
    Packet,
    Wire,
    attempt,
    connect,
    is_taken,
    publish,
    subscribe,
)
from tests.e2e.running_server import Clients, RunningServer

VERSIONS = pytest.mark.parametrize("version", [V311, V5], ids=["3.1.1", "5"])
SOON = 5.0

CONNECT_AS_THING = {
    "Effect": "Allow",
    "Action": "iot:Connect",
    "Resource": "arn:aws:iot:*:*:client/${iot:Connection.Thing.ThingName}",
}
CONNECT_IN_PLANT = {
    "Effect": "Allow",
    "Action": "iot:Connect",
    "Resource": "*",
    "Condition": {"StringEquals": {"iot:Connection.Thing.Attributes[plant]": "north"}},
}

_numbers = itertools.count()


@dataclass(frozen=True)
class Registered:
    """A registered device with a policy and a thing, both named like its client ID."""

    server: RunningServer
    clients: Clients
    files: CertificateFiles
    arn: str
    name: str

    @property
    def iot(self) -> Any:
        return self.clients.iot

    @property
    def id(self) -> str:
        return self.files.certificate_id

    def comes_in(self, version: int) -> bool:
        return is_taken(attempt(self.server, self.files, self.name, version))


@pytest.fixture(scope="module")
def clients(server: RunningServer) -> Clients:
    return server.session()


@pytest.fixture(scope="module")
def bystander(server: RunningServer, clients: Clients, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    """Open a connection that is not affected by any of the changes."""
    device_files = in_files(tmp_path_factory.mktemp("bystander"), x509.new_device(None))
    register(clients, device_files, allow(clients.iot, "bystander"))
    with Wire(server, device_files) as wire:
        wire.connect("bystander")
        yield wire


@pytest.fixture
def arrange(
    server: RunningServer, clients: Clients, tmp_path: Path, bystander: Wire
) -> Iterator[Callable[..., Registered]]:
    """Return a function that registers a device with these statements; at the end, check the bystander."""

    def make(*statements: dict[str, Any]) -> Registered:
        name = f"device-{next(_numbers)}"
        device_files = in_files(tmp_path, x509.new_device(None))
        arn = register(clients, device_files, allow(clients.iot, name, *statements))
        clients.iot.create_thing(thingName=name, attributePayload={"attributes": {"plant": "north"}})
        clients.iot.attach_thing_principal(thingName=name, principal=arn)
        return Registered(server, clients, device_files, arn, name)

    yield make
    assert bystander.is_alive()


def deactivate(device: Registered) -> None:
    device.iot.update_certificate(certificateId=device.id, newStatus="INACTIVE")


def revoke(device: Registered) -> None:
    device.iot.update_certificate(certificateId=device.id, newStatus="REVOKED")


def delete(device: Registered) -> None:
    device.iot.detach_thing_principal(thingName=device.name, principal=device.arn)
    deactivate(device)
    device.iot.delete_certificate(certificateId=device.id, forceDelete=True)


def detach_policy(device: Registered) -> None:
    device.iot.detach_policy(policyName=device.name, target=device.arn)


def new_default_version(device: Registered) -> None:
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:Publish", "Resource": "*"}]}
    device.iot.create_policy_version(policyName=device.name, policyDocument=json.dumps(document), setAsDefault=True)


def another_default_version(device: Registered) -> None:
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "iot:*", "Resource": "*"}]}
    made = device.iot.create_policy_version(policyName=device.name, policyDocument=json.dumps(document))
    device.iot.set_default_policy_version(policyName=device.name, policyVersionId=made["policyVersionId"])
    # After the deletion of the old version, nothing is allowed any more.
    device.iot.delete_policy_version(policyName=device.name, policyVersionId="1")


def attach_deny(device: Registered) -> None:
    name = allow(device.iot, f"{device.name}-deny", {"Effect": "Deny", "Action": "iot:Connect", "Resource": "*"})
    device.iot.attach_policy(policyName=name, target=device.arn)


def detach_thing(device: Registered) -> None:
    device.iot.detach_thing_principal(thingName=device.name, principal=device.arn)


def change_attribute(device: Registered) -> None:
    device.iot.update_thing(thingName=device.name, attributePayload={"attributes": {"plant": "south"}})


@VERSIONS
@pytest.mark.parametrize(
    ("change", "statements"),
    [
        (deactivate, []),
        (revoke, []),
        (delete, []),
        (detach_policy, []),
        (new_default_version, []),
        (another_default_version, []),
        (attach_deny, []),
        (detach_thing, [CONNECT_AS_THING]),
        (change_attribute, [CONNECT_IN_PLANT]),
    ],
)
def test_a_change_closes_the_affected_connection_and_refuses_the_device(
    arrange: Callable[..., Registered],
    change: Callable[[Registered], None],
    statements: list[dict[str, Any]],
    version: int,
) -> None:
    device = arrange(*statements)
    with Wire(device.server, device.files) as wire:
        wire.connect(device.name, version)
        assert wire.is_alive()
        change(device)
        wire.tls.settimeout(SOON)
        ended = wire.rest()
    if version == V311:
        assert ended == []
    else:
        assert [(each.kind, each.body[:1]) for each in ended] == [(DISCONNECT, b"\x87")]
    assert not device.comes_in(version)


@VERSIONS
def test_a_deactivated_device_is_accepted_again_when_it_is_active_again(
    arrange: Callable[..., Registered], version: int
) -> None:
    device = arrange()
    assert device.comes_in(version)
    deactivate(device)
    assert not device.comes_in(version)
    device.iot.update_certificate(certificateId=device.id, newStatus="ACTIVE")
    assert device.comes_in(version)


def test_all_connections_of_a_revoked_certificate_are_closed(arrange: Callable[..., Registered]) -> None:
    device = arrange()
    wires = [Wire(device.server, device.files) for _ in range(20)]
    for number, wire in enumerate(wires):
        wire.connect(f"{device.name}-{number}", (V311, V5)[number % 2])
    revoke(device)
    for wire in wires:
        wire.tls.settimeout(SOON)
        assert all(each.kind == DISCONNECT for each in wire.rest())
        wire.close()


def topic_of(message: Packet) -> bytes:
    end = 2 + int.from_bytes(message.body[:2], "big")
    return message.body[2:end]


@VERSIONS
def test_a_narrower_policy_stops_messages_and_keeps_the_connection(
    arrange: Callable[..., Registered], version: int
) -> None:
    device = arrange()
    with Wire(device.server, device.files) as wire, Wire(device.server, device.files) as watcher:
        watcher.connect(f"{device.name}-watcher", version)
        wire.connect(device.name, version)
        watcher.send(subscribe("secret", "open", version=version))
        watcher.expect(SUBACK)
        wire.send(publish("secret", b"before", version, qos=1))
        wire.expect(PUBACK)
        assert b"before" in watcher.expect(PUBLISH).body

        narrower = [
            {"Effect": "Allow", "Action": ["iot:Connect", "iot:Publish"], "Resource": "*"},
            {"Effect": "Allow", "Action": "iot:Receive", "Resource": "arn:aws:iot:*:*:topic/open"},
        ]
        device.iot.create_policy_version(
            policyName=device.name,
            policyDocument=json.dumps({"Version": "2012-10-17", "Statement": narrower}),
            setAsDefault=True,
        )
        # The live connection is examined again within a second; from then on only the open topic is delivered.
        deadline = time.monotonic() + SOON
        delivered = b"secret"
        while delivered == b"secret":
            assert time.monotonic() < deadline, "still delivered what the policy does not allow any more"
            for topic in ("secret", "open"):
                wire.send(publish(topic, b"after", version, qos=1))
                wire.expect(PUBACK)
            delivered = topic_of(watcher.expect(PUBLISH))
            if delivered == b"secret":
                assert topic_of(watcher.expect(PUBLISH)) == b"open"
        assert delivered == b"open"
        assert wire.is_alive()
        assert watcher.is_alive()


def test_detaching_from_one_certificate_does_not_affect_another(
    arrange: Callable[..., Registered], tmp_path: Path
) -> None:
    device = arrange()
    other = in_files(tmp_path, x509.new_device(None))
    register(device.clients, other, device.name)
    with Wire(device.server, other) as wire:
        wire.connect("shares-the-policy")
        detach_policy(device)
        assert not device.comes_in(V311)
        assert wire.is_alive()


def test_a_will_is_sent_when_a_certificate_is_revoked(arrange: Callable[..., Registered]) -> None:
    device, watching = arrange(), arrange()
    with Wire(device.server, watching.files) as watcher, Wire(device.server, device.files) as wire:
        watcher.connect(watching.name)
        watcher.send(subscribe("wills"))
        watcher.expect(SUBACK)
        wire.send(connect(device.name, will=("wills", "cut off")))
        assert wire.receive() is not None
        revoke(device)
        assert watcher.expect(PUBLISH).body == b"\x00\x05wills" + b"cut off"
