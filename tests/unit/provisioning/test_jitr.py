"""Just-in-time registration: registrations, events, and the effect of failures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from sekisho.admission.model import Identity
from sekisho.admission.rules import Admission, AdmissionRequest
from sekisho.ca_certificates.model import AutoRegistrationStatus, CACertificate, RegistrationConfig
from sekisho.ca_certificates.rules import CACertificates
from sekisho.ca_certificates.store import CACertificateRows
from sekisho.certificates.model import Certificate, CertificateMode, CertificateStatus
from sekisho.certificates.rules import add_new
from sekisho.certificates.store import CertificateRows
from sekisho.change import Change
from sekisho.errors import AwsException, InvalidRequestException, ServiceUnavailableException
from sekisho.messaging.publishing import Message
from sekisho.pki.certificate import X509Certificate
from sekisho.pki.issuing import IssuingAuthority
from sekisho.provisioning.jitp import JustInTimeProvisioning
from sekisho.provisioning.jitr import JustInTimeRegistration
from sekisho.provisioning.outbox.model import Event
from sekisho.provisioning.outbox.rules import EVENTS_PER_READ, Outbox
from sekisho.provisioning.outbox.store import OutboxRows
from sekisho.provisioning.tokens.store import OwnershipTokenRows
from sekisho.realm import Realm
from sekisho.refusal import RefusalReason, Refused
from sekisho.store.errors import StoreError
from sekisho.store.store import Store
from sekisho.store.transaction import Transaction
from sekisho.things.store import ThingRows
from tests.logs import captured_log
from tests.store.builders import ownership_token
from tests.stores import empty_store
from tests.unit.features.arrange import HOME, OTHER_ACCOUNT, LiteralEngine, SetClock
from tests.x509 import KeyAndCertificate, new_ca, new_device

DEFAULT, SNI_ONLY = CertificateMode.DEFAULT, CertificateMode.SNI_ONLY
PENDING = "DEVICE_CERTIFICATE_PENDING_ACTIVATION"


@dataclass
class Listener:
    """Records published messages; or refuses them."""

    heard: list[tuple[Realm, Message]] = field(default_factory=list)
    refuses: AwsException | None = None

    def publish(self, realm: Realm, message: Message) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.heard.append((realm, message))


@dataclass
class World:
    """A registry with admission and one CA that registers."""

    store: Store
    clock: SetClock
    listener: Listener
    outbox: Outbox
    admission: JustInTimeRegistration
    ca: KeyAndCertificate

    def connect(
        self, *devices: KeyAndCertificate, realm: Realm | None = HOME, chain: tuple[KeyAndCertificate, ...] = ()
    ) -> list[object]:
        """Return for each an identity, or the name of the reason of its refusal."""
        asked = [
            AdmissionRequest(realm, each.certificate_id, each.der, [ca.der for ca in chain], "c") for each in devices
        ]
        return [each.reason if isinstance(each, Refused) else each for each in self.admission.answer(asked)]

    def said(self, device: KeyAndCertificate) -> str:
        """Return the detail of a refusal for the operator."""
        [answer] = self.admission.answer([AdmissionRequest(HOME, device.certificate_id, device.der, [], "c")])
        assert isinstance(answer, Refused)
        return answer.detail or ""

    def add_ca(self, ca: KeyAndCertificate, realm: Realm = HOME, mode: CertificateMode = SNI_ONLY) -> None:
        cas = CACertificates(self.store, self.clock)
        verification = new_device(ca, cas.get_registration_code(realm)).pem if mode is DEFAULT else None
        cas.register(
            realm,
            ca.pem,
            verification_certificate_pem=verification,
            mode=mode,
            set_as_active=True,
            allow_auto_registration=True,
        )

    def kept(self, device: KeyAndCertificate, realm: Realm = HOME) -> Certificate | None:
        with self.store.read() as tx:
            return CertificateRows(tx).get(realm, device.certificate_id)

    def waiting(self) -> list[Event]:
        with self.store.read() as tx:
            return [event for _, event in OutboxRows(tx).first(10)]

    def told_of(self) -> list[str]:
        return [json.loads(message.payload)["certificateId"] for _, message in self.listener.heard]


@pytest.fixture
def announced() -> list[Change]:
    return []


@pytest.fixture
def world(authority: IssuingAuthority, announced: list[Change]) -> Iterator[World]:
    with empty_store(announced.extend) as store:
        clock, listener = SetClock(), Listener()
        outbox = Outbox(store, listener)
        provisioning = JustInTimeProvisioning(store, clock, LiteralEngine(), authority)
        admission = JustInTimeRegistration(Admission(store), store, clock, outbox, provisioning)
        made = World(store, clock, listener, outbox, admission, new_ca())
        made.add_ca(made.ca)
        announced.clear()
        yield made


def test_an_unknown_certificate_is_registered_announced_and_refused(world: World, announced: list[Change]) -> None:
    device = new_device(world.ca)

    assert world.connect(device) == [PENDING]

    kept = world.kept(device)
    assert kept is not None
    assert (kept.status, kept.mode) == (CertificateStatus.PENDING_ACTIVATION, SNI_ONLY)
    assert (kept.ca_certificate_id, kept.created_at) == (world.ca.certificate_id, world.clock.now)
    [(realm, message)] = world.listener.heard
    assert realm == HOME
    assert message.topic == f"$aws/events/certificates/registered/{world.ca.certificate_id}"
    assert (message.qos, message.retain) == (1, False)
    assert json.loads(message.payload) == {
        "certificateId": device.certificate_id,
        "caCertificateId": world.ca.certificate_id,
        "timestamp": 1767323045000,
        "certificateStatus": "PENDING_ACTIVATION",
        "awsAccountId": HOME.account_id,
        "certificateRegistrationTimestamp": None,
    }
    assert world.waiting() == []
    # Otherwise the gateway would ask about the same CONNECT again, and the event would be published twice.
    assert announced == []


def test_each_further_attempt_is_announced_again_without_a_write(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    device = new_device(world.ca)
    world.connect(device)
    monkeypatch.setattr(Store, "write", None)
    for _ in range(2):
        [answer] = world.connect(device)
        assert isinstance(answer, Identity)
        assert answer.certificate == world.kept(device)
    assert world.told_of() == [device.certificate_id] * 3


def test_a_certificate_that_is_not_pending_is_not_announced(world: World) -> None:
    device = new_device(world.ca)
    world.connect(device)
    for status in set(CertificateStatus) - {CertificateStatus.PENDING_ACTIVATION}:
        with world.store.write() as tx:
            kept = CertificateRows(tx).get(HOME, device.certificate_id)
            assert kept is not None
            CertificateRows(tx).replace(replace(kept, status=status))
        world.connect(device)
    assert len(world.listener.heard) == 1


def test_a_certificate_that_waits_for_its_fleet_provisioning_is_not_announced(world: World) -> None:
    # A certificate provider signed it with the CA, and fleet provisioning gave it to the device with a token.
    device, other = new_device(world.ca), new_device(world.ca)
    world.connect(device, other)
    world.listener.heard.clear()
    token = ownership_token(realm=HOME, certificate_id=device.certificate_id)
    with world.store.write() as tx:
        OwnershipTokenRows(tx).add(token)
    waits, known = world.connect(device, other)
    assert isinstance(waits, Identity)
    assert waits.certificate.status is CertificateStatus.PENDING_ACTIVATION
    assert isinstance(known, Identity)
    assert world.told_of() == [other.certificate_id]
    with world.store.write() as tx:
        OwnershipTokenRows(tx).remove(HOME, token.token_sha256)
    world.connect(device)
    assert world.told_of() == [other.certificate_id, device.certificate_id]


def test_a_certificate_that_waits_for_its_fleet_provisioning_is_not_provisioned_by_the_template_of_its_ca(
    world: World,
) -> None:
    device = new_device(world.ca)
    world.connect(device)
    token = ownership_token(realm=HOME, certificate_id=device.certificate_id)
    with world.store.write() as tx:
        OwnershipTokenRows(tx).add(token)
    own_id = "AWS::IoT::Certificate::Id"
    resources = {
        "t": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": "by-the-ca"}},
        "c": {"Type": "AWS::IoT::Certificate", "Properties": {"CertificateId": {"Ref": own_id}}},
    }
    body = json.dumps({"Parameters": {own_id: {"Type": "String"}}, "Resources": resources})
    config = RegistrationConfig(template_body=body, role_arn="arn:aws:iam::123456789012:role/provisioning")
    CACertificates(world.store, world.clock).update(HOME, world.ca.certificate_id, registration_config=config)
    [waits] = world.connect(device)
    assert isinstance(waits, Identity)
    with world.store.read() as tx:
        assert ThingRows(tx).get(HOME, "by-the-ca") is None
    with world.store.write() as tx:
        OwnershipTokenRows(tx).remove(HOME, token.token_sha256)
    assert world.connect(device) == ["DEVICE_CERTIFICATE_PROVISIONED"]


def test_a_batch_is_one_transaction_and_each_certificate_is_registered_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, of_other_ca = new_device(world.ca), new_device(world.ca), new_device(new_ca("Other"))
    written: list[int] = []
    write = Store.write

    @contextmanager
    def counting(store: Store) -> Iterator[Transaction]:
        with write(store) as tx:
            yield tx
        with store.read() as after:
            written.append(len(OutboxRows(after).first(10)))

    monkeypatch.setattr(Store, "write", counting)
    assert world.connect(first, second, first, of_other_ca, first) == [PENDING] * 3 + ["CA_NOT_REGISTERED", PENDING]
    assert world.told_of() == [first.certificate_id, second.certificate_id]
    # Both were registered at once with their events, which are published then.
    assert written == [2, 0]


def test_a_batch_reads_its_cas_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    devices = [new_device(world.ca) for _ in range(5)]
    of_other_ca = new_device(new_ca("Other"))
    asked: list[tuple[Realm, bytes]] = []
    with_subject = CACertificateRows.with_subject

    def counting(rows: CACertificateRows, realm: Realm, subject: bytes) -> Sequence[CACertificate]:
        asked.append((realm, subject))
        return with_subject(rows, realm, subject)

    monkeypatch.setattr(CACertificateRows, "with_subject", counting)
    assert world.connect(*devices, of_other_ca, of_other_ca) == [PENDING] * 5 + ["CA_NOT_REGISTERED"] * 2
    ours, theirs = ((HOME, X509Certificate.from_der(each.der).issuer) for each in (devices[0], of_other_ca))
    assert asked == [ours, theirs]


def test_a_ca_that_changes_between_two_batches_is_read_again(world: World) -> None:
    assert world.connect(new_device(world.ca)) == [PENDING]
    CACertificates(world.store, SetClock()).update(
        HOME, world.ca.certificate_id, auto_registration_status=AutoRegistrationStatus.DISABLE
    )
    assert world.connect(new_device(world.ca)) == ["CA_AUTO_REGISTRATION_DISABLED"]


def test_without_sni_the_ca_in_the_chain_and_in_default_mode_determines_the_account(world: World) -> None:
    sni_only = new_device(world.ca)
    assert world.connect(sni_only, realm=None) == ["CA_NOT_IN_CHAIN_AND_NO_SNI"]
    assert world.connect(sni_only, realm=None, chain=(world.ca,)) == ["CA_IS_SNI_ONLY_AND_NO_SNI"]
    world.add_ca(default := new_ca("Default"), mode=DEFAULT)
    device = new_device(default)
    assert world.connect(device, realm=None) == ["CA_NOT_IN_CHAIN_AND_NO_SNI"]
    assert world.told_of() == []
    assert world.connect(device, realm=None, chain=(default,)) == [PENDING]
    kept = world.kept(device)
    assert kept is not None
    assert kept.mode is DEFAULT
    world.connect(device, realm=None)
    assert world.told_of() == [device.certificate_id] * 2


@pytest.mark.parametrize(("active", "why"), [(False, "CA_INACTIVE"), (True, "CA_AUTO_REGISTRATION_DISABLED")])
def test_a_ca_that_does_not_register_registers_nothing(world: World, active: bool, why: str) -> None:
    with world.store.write() as tx:
        ca = CACertificateRows(tx).get(HOME, world.ca.certificate_id)
        assert ca is not None
        status = replace(ca, auto_registration_status=AutoRegistrationStatus.DISABLE)
        CACertificateRows(tx).replace(status if active else replace(ca, status=type(ca.status).INACTIVE))
    device = new_device(world.ca)
    assert world.connect(device) == [why]
    assert world.kept(device) is None
    assert world.told_of() == []


@pytest.mark.parametrize("what", ["registered", "CA inactive", "CA deleted"])
def test_a_change_between_look_and_write_is_respected(world: World, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    device, other = new_device(world.ca), new_device(world.ca)
    write = Store.write
    to_do = [what]

    @contextmanager
    def late(store: Store) -> Iterator[Transaction]:
        if to_do and to_do.pop():
            with write(store) as tx:
                ca = CACertificateRows(tx).get(HOME, world.ca.certificate_id)
                assert ca is not None
                if what == "registered":
                    x509 = X509Certificate.from_der(device.der)
                    add_new(tx, world.clock.now, HOME, x509, CertificateStatus.ACTIVE, SNI_ONLY, None)
                elif what == "CA inactive":
                    CACertificateRows(tx).replace(replace(ca, status=type(ca.status).INACTIVE))
                else:
                    CACertificateRows(tx).remove(HOME, ca.certificate_id)
        with write(store) as tx:
            yield tx

    monkeypatch.setattr(Store, "write", late)
    answers = {
        # After that answer the gateway asks again.
        "registered": ["DEVICE_CERTIFICATE_NOT_REGISTERED", PENDING],
        "CA inactive": ["CA_INACTIVE"] * 2,
        "CA deleted": ["CA_NOT_REGISTERED"] * 2,
    }
    assert world.connect(device, other) == answers[what]
    kept = world.kept(device)
    assert (kept.status if kept else None) == (CertificateStatus.ACTIVE if what == "registered" else None)
    assert world.told_of() == ([other.certificate_id] if what == "registered" else [])


def test_a_certificate_that_register_certificate_would_refuse_is_not_registered(world: World) -> None:
    now = world.clock.now
    day = timedelta(days=1)
    expired = new_device(world.ca, begins=now - 2 * day, ends=now - day)
    early = new_device(world.ca, begins=now + day, ends=now + 2 * day)
    good = new_device(world.ca)
    with captured_log() as logs:
        answers = world.connect(expired, good, early)
    assert answers == ["DEVICE_CERTIFICATE_EXPIRED", PENDING, "DEVICE_CERTIFICATE_NOT_YET_VALID"]
    assert world.told_of() == [good.certificate_id]
    assert [line["certificate_id"] for line in logs] == [expired.certificate_id, early.certificate_id]
    assert "expired on" in logs[0]["reason"]


def test_a_default_mode_certificate_of_another_account_is_not_registered(world: World) -> None:
    world.add_ca(ca := new_ca("Default"), mode=DEFAULT)
    device = new_device(ca)
    world.connect(device)
    kept = world.kept(device)
    assert kept is not None
    with world.store.write() as tx:
        CertificateRows(tx).remove(HOME, device.certificate_id)
        CertificateRows(tx).add(replace(kept, realm=OTHER_ACCOUNT))
    good = new_device(ca)
    with captured_log() as logs:
        assert world.connect(device, good) == ["REGISTRATION_REFUSED", PENDING]
    assert "which only one account of a region may" in logs[0]["reason"]
    assert world.kept(device) is None


def test_a_live_connection_examined_again_registers_and_announces_nothing(world: World) -> None:
    device = new_device(world.ca)
    request = AdmissionRequest(HOME, device.certificate_id, device.der, [], "c", at_connect=False)
    assert world.admission.answer([request]) == [Refused(RefusalReason.DEVICE_CERTIFICATE_NOT_REGISTERED)]
    assert world.kept(device) is None
    world.connect(device)
    world.admission.answer([request])
    assert len(world.listener.heard) == 1


def test_a_store_that_cannot_be_written_to_affects_only_new_certificates(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.connect(known := new_device(world.ca))

    def full(_: Store) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(Store, "write", full)
    with captured_log() as logs:
        answers = world.connect(new_device(world.ca), known)
    assert answers[0] == "CONTROL_PLANE_FAILED"
    assert isinstance(answers[1], Identity)
    assert logs[0]["reason"] == "the disk is full"


def test_an_event_that_the_broker_refuses_for_now_is_kept(world: World) -> None:
    world.listener.refuses = ServiceUnavailableException("The broker is stopping.")
    first = new_device(world.ca)
    with captured_log() as logs:
        assert world.connect(first) == [PENDING]
    assert logs[0]["code"] == "publication_delayed"
    assert len(world.waiting()) == 1
    # After a restart.
    world.listener.refuses = None
    Outbox(world.store, world.listener).flush()
    assert world.told_of() == [first.certificate_id]
    assert world.waiting() == []


def test_an_event_that_the_broker_refuses_permanently_does_not_delay_others(world: World) -> None:
    world.listener.refuses = InvalidRequestException("TOPIC_INVALID")
    with captured_log() as logs:
        world.connect(new_device(world.ca))
    assert logs[0]["log_level"] == "error"
    assert world.waiting() == []


def test_more_events_than_one_look_are_all_published_in_order(world: World) -> None:
    many = 2 * EVENTS_PER_READ + 1
    with world.store.write() as tx:
        for number in range(many):
            OutboxRows(tx).add(Event(HOME, f"t/{number}", b""))
    world.outbox.flush()
    assert [message.topic for _, message in world.listener.heard] == [f"t/{number}" for number in range(many)]
    assert world.waiting() == []
