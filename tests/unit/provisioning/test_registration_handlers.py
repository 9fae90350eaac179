"""Handlers of just-in-time registration: which are called for what, and how often for a device that connects again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from sekisho.admission.rules import Admission, AdmissionRequest
from sekisho.ca_certificates.rules import CACertificates
from sekisho.certificates.model import CertificateMode
from sekisho.messaging.publishing import Message
from sekisho.pki.issuing import IssuingAuthority
from sekisho.provisioning import registration_handlers
from sekisho.provisioning.deliveries.model import Delivery, DeliveryState
from sekisho.provisioning.deliveries.rules import Enqueuing
from sekisho.provisioning.deliveries.store import DeliveryRows
from sekisho.provisioning.jitp import JustInTimeProvisioning
from sekisho.provisioning.jitr import JustInTimeRegistration
from sekisho.provisioning.outbox.rules import Outbox
from sekisho.provisioning.registration_handlers import RegistrationHandlers
from sekisho.realm import Realm
from sekisho.refusal import Refused
from sekisho.store.errors import StoreError
from sekisho.store.store import Store
from tests.logs import captured_log
from tests.stores import empty_store
from tests.unit.features.arrange import HOME, LiteralEngine, SetClock
from tests.x509 import KeyAndCertificate, new_ca, new_device

PENDING = "DEVICE_CERTIFICATE_PENDING_ACTIVATION"


@dataclass
class Listener:
    """Records published messages."""

    heard: list[Message] = field(default_factory=list)

    def publish(self, realm: Realm, message: Message) -> None:
        assert realm == HOME
        self.heard.append(message)


@dataclass
class Wanting:
    """Handlers for registrations of a CA; they are never called here."""

    names: dict[str, Sequence[str]] = field(default_factory=dict)

    def invoke(self, realm: Realm, function: str, event: Mapping[str, Any], **_: Any) -> Any:
        raise AssertionError(realm, function, event)

    def for_certificate_registered(self, realm: Realm, ca_certificate_id: str) -> Sequence[str]:
        assert realm == HOME
        return self.names.get(ca_certificate_id, ())


@dataclass
class World:
    """A registry with one CA that registers, and two handlers for it."""

    store: Store
    clock: SetClock
    ca: KeyAndCertificate
    listener: Listener
    woken: list[int]
    admission: JustInTimeRegistration
    enqueuing: Enqueuing

    def connect(self, *devices: KeyAndCertificate) -> list[object]:
        asked = [AdmissionRequest(HOME, each.certificate_id, each.der, [], "c") for each in devices]
        return [str(each) if isinstance(each, Refused) else each for each in self.admission.answer(asked)]

    def trust(self, ca: KeyAndCertificate) -> None:
        CACertificates(self.store, self.clock).register(
            HOME,
            ca.pem,
            verification_certificate_pem=None,
            mode=CertificateMode.SNI_ONLY,
            set_as_active=True,
            allow_auto_registration=True,
        )

    def kept(self, device: KeyAndCertificate, handler: str = "a") -> Delivery | None:
        with self.store.read() as tx:
            return DeliveryRows(tx).get(HOME, handler, device.certificate_id)

    def done(self, device: KeyAndCertificate) -> None:
        """Remove deliveries as the dispatcher does after a call."""
        with self.store.write() as tx:
            for handler in ("a", "b"):
                for number, delivery in DeliveryRows(tx).upcoming(handler, HOME.account_id, 10):
                    if delivery.subject == device.certificate_id:
                        DeliveryRows(tx).remove(number)


@pytest.fixture
def world(authority: IssuingAuthority) -> Iterator[World]:
    with empty_store() as store:
        ca, clock, listener = new_ca(), SetClock(), Listener()
        woken: list[int] = []

        def wake() -> None:
            with store.read() as tx:
                woken.append(sum(DeliveryRows(tx).counts().values()))

        enqueuing = Enqueuing()
        handlers = RegistrationHandlers(store, Wanting({ca.certificate_id: ["a", "b"]}), enqueuing, wake)
        provisioning = JustInTimeProvisioning(store, clock, LiteralEngine(), authority)
        outbox = Outbox(store, listener)
        admission = JustInTimeRegistration(Admission(store), store, clock, outbox, provisioning, handlers)
        made = World(store, clock, ca, listener, woken, admission, enqueuing)
        made.trust(ca)
        yield made


def test_a_registration_is_kept_for_each_handler_that_wants_it_with_the_event_that_is_published(world: World) -> None:
    device = new_device(world.ca)
    assert world.connect(device) == [PENDING]
    [message] = world.listener.heard
    for handler in ("a", "b"):
        kept = world.kept(device, handler)
        assert kept is not None
        assert (kept.payload, kept.attempts, kept.next_attempt_at) == (message.payload, 0, world.clock.now)
        assert kept.state is DeliveryState.PENDING
    # Woken once, when it could be read.
    assert world.woken == [2]


def test_a_ca_without_a_handler_has_no_delivery(world: World) -> None:
    world.trust(other := new_ca("Other"))
    device = new_device(other)
    assert world.connect(device) == [PENDING]
    assert world.kept(device) is None
    world.clock.move(60)
    world.connect(device)
    assert world.kept(device) is None
    assert world.woken == [0]


def test_an_unregistered_certificate_has_no_delivery(world: World) -> None:
    world.connect(device := new_device(new_ca("Unregistered CA")))
    assert world.kept(device) is None
    assert world.woken == []


def test_a_device_that_connects_again_and_again_has_its_handlers_called_every_ten_seconds(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.connect(device := new_device(world.ca))
    world.done(device)
    begun = world.clock.now
    with monkeypatch.context() as patch:
        # Not even a look-up.
        patch.setattr(Store, "write", None)
        for _ in range(9):
            world.clock.move(1)
            world.connect(device)
    assert world.kept(device) is None
    world.clock.move(1)
    world.connect(device)
    kept = world.kept(device)
    assert kept is not None
    assert (kept.created_at - begun).total_seconds() == 10
    assert json.loads(kept.payload)["certificateId"] == device.certificate_id
    assert world.woken == [2, 2]
    # The event on MQTT is published at each attempt.
    assert len(world.listener.heard) == 11


def test_while_a_delivery_waits_no_other_is_added_and_nothing_is_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.connect(device := new_device(world.ca))
    before = world.kept(device)
    monkeypatch.setattr(Store, "write", None)
    for _ in range(3):
        world.clock.move(60)
        world.connect(device)
    assert world.kept(device) == before
    assert world.woken == [2]


def test_after_a_failed_delivery_the_next_attempt_adds_another(world: World) -> None:
    world.connect(device := new_device(world.ca))
    with world.store.write() as tx:
        [(number, delivery)] = DeliveryRows(tx).upcoming("a", HOME.account_id, 10)
        DeliveryRows(tx).update(number, replace(delivery, state=DeliveryState.FAILED, attempts=6))
    world.clock.move(10)
    world.connect(device)
    kept = world.kept(device)
    assert kept is not None
    assert (kept.state, kept.attempts, kept.created_at) == (DeliveryState.PENDING, 0, world.clock.now)


def test_a_clock_that_was_set_back_does_not_suppress_deliveries(world: World) -> None:
    world.connect(device := new_device(world.ca))
    world.done(device)
    world.clock.move(-3600)
    world.connect(device)
    assert world.kept(device) is not None


def test_the_number_of_remembered_certificates_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration_handlers, "MAX_CERTIFICATES", 2)
    devices = [new_device(world.ca, f"device {number}") for number in range(3)]
    world.connect(*devices)
    for device in devices:
        world.done(device)
    world.connect(devices[2])
    assert world.kept(devices[2]) is None
    # After its removal, its next attempt counts as the first.
    world.connect(devices[0])
    assert world.kept(devices[0]) is not None


def test_an_event_without_room_is_kept_when_there_is_room_again(world: World) -> None:
    world.enqueuing.limit = 1
    first, second = new_device(world.ca, "first"), new_device(world.ca, "second")
    assert world.connect(first, second) == [PENDING, PENDING]
    assert (world.kept(first) is None) != (world.kept(second) is None)
    [late] = [device for device in (first, second) if world.kept(device) is None]
    # It is registered and announced on MQTT.
    assert len(world.listener.heard) == 2
    for device in (first, second):
        world.done(device)
    world.clock.move(10)
    world.connect(late)
    assert world.kept(late) is not None


def test_a_store_that_cannot_be_written_to_loses_only_the_delivery(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.connect(device := new_device(world.ca))
    world.done(device)
    world.clock.move(10)

    def full(_: Store) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(Store, "write", full)
    with captured_log() as logs:
        world.connect(device)
    assert logs[0]["code"] == "registration_handlers_not_called"
    assert len(world.listener.heard) == 2
