"""Rotation: start, finish and cancellation; a certificate works at every moment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import pytest

from sekisho import arn
from sekisho.accounts.rules import Accounts
from sekisho.admission.store import IdentityRows
from sekisho.ca_certificates.model import CACertificateStatus
from sekisho.ca_certificates.rules import CACertificates
from sekisho.certificates.model import Certificate, CertificateMode, CertificateStatus
from sekisho.certificates.rules import Certificates
from sekisho.certificates.store import CertificateRows
from sekisho.certificates.transfers import Transfers
from sekisho.change import Change, ChangeKind
from sekisho.errors import (
    AwsException,
    CertificateConflictException,
    CertificateStateException,
    CertificateValidationException,
    ConflictException,
    InvalidRequestException,
    LimitExceededException,
    ResourceNotFoundException,
)
from sekisho.pages import Window
from sekisho.pki.issuing import IssuingAuthority
from sekisho.policies.rules import Policies
from sekisho.principals.model import ThingPrincipalType
from sekisho.principals.store import AttachmentRows
from sekisho.realm import Realm
from sekisho.refusal import RefusalReason
from sekisho.rotation.model import Rotation, RotationState
from sekisho.rotation.rules import Progress, Rotations
from sekisho.rotation.store import RotationRows
from sekisho.store.store import Store
from sekisho.things.rules import Things
from tests.stores import empty_store
from tests.unit.features.arrange import HOME, OTHER_ACCOUNT, LiteralEngine, SetClock
from tests.x509 import KeyAndCertificate, new_ca, new_device

ACTIVE, INACTIVE, REVOKED = CertificateStatus.ACTIVE, CertificateStatus.INACTIVE, CertificateStatus.REVOKED
PENDING, DONE, CANCELLED = RotationState.PENDING, RotationState.DONE, RotationState.CANCELLED
EXCLUSIVE = ThingPrincipalType.EXCLUSIVE_THING
ALL = Window(limit=100)


@dataclass
class World:
    """A registry, its services, and a registered CA."""

    store: Store
    clock: SetClock
    announced: list[Change]
    authority: IssuingAuthority

    def __post_init__(self) -> None:
        self.rotations = Rotations(self.store, self.clock)
        self.certificates = Certificates(self.store, self.clock, self.authority)
        self.cas = CACertificates(self.store, self.clock)
        self.policies = Policies(self.store, self.clock, LiteralEngine())
        self.things = Things(self.store, self.clock)
        self.ca = self.add_ca(new_ca())

    def add_ca(self, ca: KeyAndCertificate, mode: CertificateMode = CertificateMode.SNI_ONLY) -> KeyAndCertificate:
        proof = new_device(ca, self.cas.get_registration_code(HOME)).pem if mode is CertificateMode.DEFAULT else None
        self.cas.register(HOME, ca.pem, verification_certificate_pem=proof, mode=mode, set_as_active=True)
        return ca

    def add_device(self, realm: Realm = HOME, status: CertificateStatus = ACTIVE) -> KeyAndCertificate:
        """Register a device."""
        device = new_device(self.ca)
        if realm == HOME:
            self.certificates.register(realm, device.pem, status=status)
        else:
            self.certificates.register_without_ca(realm, device.pem, status=status)
        return device

    def begin(self, old: KeyAndCertificate, new: KeyAndCertificate) -> Rotation:
        return self.rotations.begin(HOME, old.certificate_id, new.pem)

    def begun(self) -> tuple[KeyAndCertificate, KeyAndCertificate]:
        """Start a rotation."""
        old, new = self.add_device(), new_device(self.ca)
        self.begin(old, new)
        self.announced.clear()
        return old, new

    def connect(self, *devices: KeyAndCertificate, realm: Realm = HOME) -> None:
        self.rotations.connected([(realm, device.certificate_id) for device in devices])

    def kept(self, device: KeyAndCertificate, realm: Realm = HOME) -> Certificate | None:
        with self.store.read() as tx:
            return CertificateRows(tx).get(realm, device.certificate_id)

    def status(self, device: KeyAndCertificate) -> CertificateStatus | None:
        kept = self.kept(device)
        return None if kept is None else kept.status

    def state(self, old: KeyAndCertificate) -> RotationState | None:
        with self.store.read() as tx:
            latest = RotationRows(tx).latest(HOME, old.certificate_id)
        return None if latest is None else latest.state

    def is_awaited(self, device: KeyAndCertificate, realm: Realm = HOME) -> bool:
        with self.store.read() as tx:
            return IdentityRows(tx).look_up([(realm, device.certificate_id)])[realm, device.certificate_id].is_awaited

    def policies_of(self, device: KeyAndCertificate) -> list[str]:
        return [each.name for each in self.policies.attached_to(HOME, principal(device), ALL).items]

    def things_of(self, device: KeyAndCertificate) -> list[tuple[str, ThingPrincipalType]]:
        return [(each.thing_name, each.type) for each in self.things.things_of(HOME, principal(device), ALL).items]

    def attach_policies(self, device: KeyAndCertificate, names: Sequence[str]) -> None:
        for name in names:
            try:
                self.policies.create(HOME, name, "allow all")
            except AwsException:
                assert self.policies.get(HOME, name)
            self.policies.attach(HOME, name, principal(device))

    def attach_thing(self, device: KeyAndCertificate, name: str, kind: ThingPrincipalType | None = None) -> None:
        self.things.create(HOME, name)
        self.things.attach_principal(HOME, name, principal(device), kind)


def principal(device: KeyAndCertificate) -> str:
    return arn.certificate(HOME, device.certificate_id)


@pytest.fixture
def world(authority: IssuingAuthority) -> Iterator[World]:
    announced: list[Change] = []
    with empty_store(announced.extend) as store:
        yield World(store, SetClock(), announced, authority)


def change_of(device: KeyAndCertificate, lost: RefusalReason | None = None) -> Change:
    return Change(HOME, ChangeKind.CERTIFICATE, device.certificate_id, lost)


# Start


def test_the_new_certificate_is_registered_active_with_its_ca_and_attached_beside_the_old_one(world: World) -> None:
    old, new = world.add_device(), new_device(world.ca)
    world.attach_policies(old, ["p1", "p2"])
    world.attach_thing(old, "lamp")
    world.attach_thing(old, "camera")
    world.announced.clear()

    begun = world.begin(old, new)

    ca_id = world.ca.certificate_id
    assert begun == Rotation(HOME, old.certificate_id, new.certificate_id, ca_id, world.clock.now)
    kept = world.kept(new)
    assert kept is not None
    assert (kept.status, kept.ca_certificate_id, kept.mode) == (ACTIVE, ca_id, CertificateMode.SNI_ONLY)
    assert world.status(old) is ACTIVE
    assert world.policies_of(new) == world.policies_of(old) == ["p1", "p2"]
    assert world.things_of(new) == world.things_of(old)
    assert {name for name, _ in world.things_of(new)} == {"lamp", "camera"}
    assert (world.is_awaited(new), world.is_awaited(old)) == (True, False)
    # What the gateway has cached of it, for example that it is unknown, is invalid now.
    assert set(world.announced) == {change_of(new)}


def test_an_exclusive_thing_stays_exclusive(world: World) -> None:
    old, new = world.add_device(), new_device(world.ca)
    world.attach_thing(old, "lamp", EXCLUSIVE)
    world.begin(old, new)
    assert world.things_of(new) == [("lamp", EXCLUSIVE)]


def test_more_things_than_a_page_are_all_copied(world: World) -> None:
    old, new = world.add_device(), new_device(world.ca)
    for number in range(251):
        world.attach_thing(old, f"t{number}")
    world.begin(old, new)
    with world.store.read() as tx:
        assert len(AttachmentRows(tx).of_principal(HOME, principal(new), Window(limit=300)).items) == 251


def test_the_mode_is_that_of_the_ca_that_signed_the_new_certificate(world: World) -> None:
    ca = world.add_ca(new_ca("Successor"), CertificateMode.DEFAULT)
    old, new = world.add_device(), new_device(ca)
    begun = world.begin(old, new)
    kept = world.kept(new)
    assert kept is not None
    assert (kept.ca_certificate_id, kept.mode) == (ca.certificate_id, CertificateMode.DEFAULT)
    # Fleets are counted by the CA of the old certificates.
    assert begun.ca_certificate_id == world.ca.certificate_id


@pytest.mark.parametrize("signer", ["unregistered", "inactive", "itself"])
def test_without_an_active_ca_it_is_registered_without_one(world: World, signer: str) -> None:
    ca: KeyAndCertificate | None = new_ca("Another")
    if signer == "inactive":
        assert ca is not None
        world.add_ca(ca)
        world.cas.update(HOME, ca.certificate_id, status=CACertificateStatus.INACTIVE)
    if signer == "itself":
        ca = None
    new = new_device(ca)
    world.begin(world.add_device(), new)
    kept = world.kept(new)
    assert kept is not None
    assert (kept.status, kept.ca_certificate_id, kept.mode) == (ACTIVE, None, CertificateMode.SNI_ONLY)


def test_of_two_certificates_of_one_ca_the_given_one_counts(world: World) -> None:
    old, new = world.add_device(), new_device(world.ca)
    twin = world.add_ca(new_ca(key=world.ca.key))
    with pytest.raises(CertificateConflictException, match="caCertificatePem"):
        world.begin(old, new)
    assert world.kept(new) is None
    world.rotations.begin(HOME, old.certificate_id, new.pem, ca_certificate_pem=twin.pem)
    kept = world.kept(new)
    assert kept is not None
    assert kept.ca_certificate_id == twin.certificate_id


def test_a_given_ca_that_did_not_sign_it_or_is_not_registered_is_refused(world: World) -> None:
    old, new = world.add_device(), new_device(new_ca("Another"))
    with pytest.raises(CertificateValidationException, match="issuer"):
        world.rotations.begin(HOME, old.certificate_id, new.pem, ca_certificate_pem=world.ca.pem)
    with pytest.raises(CertificateStateException, match="not registered"):
        world.rotations.begin(HOME, old.certificate_id, new.pem, ca_certificate_pem=new_ca("Unknown").pem)
    assert world.kept(new) is None


def test_starting_twice_makes_one_rotation(world: World) -> None:
    old, new = world.add_device(), new_device(world.ca)
    first = world.begin(old, new)
    world.clock.move(60)
    world.announced.clear()
    assert world.begin(old, new) == first
    assert world.announced == []
    world.connect(new)
    # A client that did not get the answer asks again, although the rotation is done.
    assert world.begin(old, new).state is DONE
    assert world.rotations.progress(HOME) == Progress(pending=0, done=1, cancelled=0)


@pytest.mark.parametrize("status", [ACTIVE, INACTIVE])
def test_a_registered_new_certificate_is_used_and_activated(world: World, status: CertificateStatus) -> None:
    old, new = world.add_device(), world.add_device(status=status)
    before = world.kept(new)
    assert before is not None
    world.begin(old, new)
    after = world.kept(new)
    assert after is not None
    assert after.status is ACTIVE
    assert after.created_at == before.created_at
    assert after.customer_version == before.customer_version + (status is INACTIVE)
    assert Change(HOME, ChangeKind.CERTIFICATE, new.certificate_id) in world.announced


def test_a_revoked_new_certificate_is_refused(world: World) -> None:
    old, new = world.add_device(), world.add_device(status=REVOKED)
    with pytest.raises(CertificateStateException, match=f"REVOKED.*{new.certificate_id}"):
        world.begin(old, new)
    assert world.state(old) is None


@pytest.mark.parametrize("status", [INACTIVE, REVOKED])
def test_an_old_certificate_that_is_not_active_is_refused(world: World, status: CertificateStatus) -> None:
    old, new = world.add_device(status=status), new_device(world.ca)
    with pytest.raises(CertificateStateException, match=f"old certificate is {status.value}"):
        world.begin(old, new)
    assert world.kept(new) is None


def test_an_unknown_old_certificate_and_the_same_certificate_are_refused(world: World) -> None:
    old, unregistered = world.add_device(), new_device(world.ca)
    with pytest.raises(ResourceNotFoundException):
        world.begin(unregistered, new_device(world.ca))
    with pytest.raises(InvalidRequestException, match="is the old one"):
        world.begin(old, old)


def test_a_new_certificate_that_cannot_connect_is_refused(world: World) -> None:
    old = world.add_device()
    expired = new_device(world.ca, ends=world.clock.now - timedelta(days=1))
    with pytest.raises(CertificateValidationException, match="expired"):
        world.begin(old, expired)
    with pytest.raises(CertificateValidationException, match="newCertificatePem"):
        world.rotations.begin(HOME, old.certificate_id, "no certificate")
    assert world.state(old) is None


def test_a_certificate_is_in_one_pending_rotation_only(world: World) -> None:
    old, new = world.begun()
    bystander = world.add_device()
    for first, second in (
        (old, new_device(world.ca)),
        (new, new_device(world.ca)),
        (bystander, new),
        (bystander, old),
    ):
        with pytest.raises(ConflictException, match=f"{old.certificate_id} to {new.certificate_id}"):
            world.begin(first, second)
    assert world.state(old) is PENDING
    assert world.state(bystander) is None


def test_after_one_rotation_another_can_start(world: World) -> None:
    first, second, third = world.add_device(), new_device(world.ca), new_device(world.ca)
    world.begin(first, second)
    world.connect(second)
    world.begin(second, third)
    world.connect(third)
    assert [world.status(each) for each in (first, second, third)] == [INACTIVE, INACTIVE, ACTIVE]


def test_a_reactivated_old_certificate_can_be_rotated_again(world: World) -> None:
    old, new = world.begun()
    world.connect(new)
    world.certificates.update(HOME, old.certificate_id, ACTIVE)
    assert world.begin(old, new).state is PENDING
    world.connect(new)
    assert world.status(old) is INACTIVE
    assert world.rotations.progress(HOME).done == 2


@pytest.mark.parametrize("obstacle", ["policies", "exclusive thing"])
def test_where_the_new_certificate_cannot_have_everything_of_the_old_one_nothing_is_done(
    world: World, obstacle: str
) -> None:
    old, new = world.add_device(), world.add_device(status=INACTIVE)
    world.attach_policies(old, ["p"])
    world.attach_thing(old, "lamp")
    if obstacle == "policies":
        world.attach_policies(new, [f"own{number}" for number in range(10)])
    else:
        world.attach_thing(new, "camera", EXCLUSIVE)
    before = (world.policies_of(new), world.things_of(new))
    with pytest.raises(LimitExceededException if obstacle == "policies" else InvalidRequestException):
        world.begin(old, new)
    assert world.status(new) is INACTIVE
    assert (world.policies_of(new), world.things_of(new)) == before
    assert world.state(old) is None


# Finish


def test_when_the_new_certificate_has_connected_the_old_one_becomes_inactive(world: World) -> None:
    old, new = world.begun()
    before = world.kept(old)
    assert before is not None
    world.clock.move(5)

    world.connect(new)

    after = world.kept(old)
    assert after is not None
    assert (after.status, after.modified_at) == (INACTIVE, world.clock.now)
    assert after.customer_version == before.customer_version + 1
    assert world.status(new) is ACTIVE
    [rotation] = world.rotations.list(HOME, ALL, DONE).items
    assert rotation.finished_at == world.clock.now
    assert not world.is_awaited(new)
    assert set(world.announced) == {change_of(old, RefusalReason.DEVICE_CERTIFICATE_INACTIVE), change_of(new)}


def test_a_repeated_connection_changes_nothing(world: World) -> None:
    old, new = world.begun()
    world.connect(new, new)
    world.certificates.update(HOME, old.certificate_id, ACTIVE)
    world.announced.clear()
    world.connect(new, old, new_device(world.ca))
    assert world.status(old) is ACTIVE
    assert world.announced == []
    world.rotations.connected([])


def test_a_certificate_with_the_same_id_in_another_realm_finishes_nothing(world: World) -> None:
    old, new = world.begun()
    world.certificates.register_without_ca(OTHER_ACCOUNT, new.pem, status=ACTIVE)
    world.connect(new, realm=OTHER_ACCOUNT)
    assert (world.status(old), world.state(old)) == (ACTIVE, PENDING)
    assert not world.is_awaited(new, OTHER_ACCOUNT)


def test_a_batch_is_one_transaction(world: World) -> None:
    pairs = [world.begun() for _ in range(3)]
    world.connect(*(new for _, new in pairs))
    assert [world.status(old) for old, _ in pairs] == [INACTIVE] * 3
    assert world.rotations.progress(HOME) == Progress(pending=0, done=3, cancelled=0)


def test_a_new_certificate_that_was_deactivated_after_its_connection_does_not_deactivate_the_old_one(
    world: World,
) -> None:
    old, new = world.begun()
    world.certificates.update(HOME, new.certificate_id, INACTIVE)
    world.connect(new)
    assert (world.status(old), world.state(old)) == (ACTIVE, PENDING)
    world.certificates.update(HOME, new.certificate_id, ACTIVE)
    assert world.is_awaited(new)
    world.connect(new)
    assert (world.status(old), world.state(old)) == (INACTIVE, DONE)


@pytest.mark.parametrize("status", [INACTIVE, REVOKED])
def test_an_old_certificate_that_was_deactivated_meanwhile_is_not_changed(
    world: World, status: CertificateStatus
) -> None:
    old, new = world.begun()
    world.certificates.update(HOME, old.certificate_id, status)
    before = world.kept(old)
    world.connect(new)
    assert world.kept(old) == before
    assert world.state(old) is DONE
    assert not world.is_awaited(new)


def test_a_rotation_finishes_although_the_old_certificate_was_deleted(world: World) -> None:
    old, new = world.begun()
    world.certificates.update(HOME, old.certificate_id, INACTIVE)
    world.certificates.delete(HOME, old.certificate_id)
    world.connect(new)
    assert (world.state(old), world.status(new)) == (DONE, ACTIVE)


# Cancellation


def test_cancelling_deactivates_the_new_certificate_and_detaches_it(world: World) -> None:
    old = world.add_device()
    world.attach_policies(old, ["p"])
    world.attach_thing(old, "lamp")
    new = new_device(world.ca)
    world.begin(old, new)
    world.announced.clear()
    world.clock.move(5)

    cancelled = world.rotations.cancel(HOME, old.certificate_id.upper())

    assert (cancelled.state, cancelled.finished_at) == (CANCELLED, world.clock.now)
    assert (world.status(old), world.status(new)) == (ACTIVE, INACTIVE)
    assert (world.policies_of(new), world.things_of(new)) == ([], [])
    assert (world.policies_of(old), [name for name, _ in world.things_of(old)]) == (["p"], ["lamp"])
    assert set(world.announced) == {change_of(new, RefusalReason.DEVICE_CERTIFICATE_INACTIVE)}
    world.connect(new)
    assert world.status(old) is ACTIVE
    # It may be deleted at once, and the old one may be rotated to another.
    world.certificates.delete(HOME, new.certificate_id)
    assert world.begin(old, new_device(world.ca)).state is PENDING


def test_a_cancelled_pair_may_start_again(world: World) -> None:
    old, new = world.begun()
    world.rotations.cancel(HOME, old.certificate_id)
    assert world.begin(old, new).state is PENDING
    assert world.status(new) is ACTIVE


def test_cancelling_keeps_the_last_active_certificate(world: World) -> None:
    old, new = world.begun()
    world.attach_policies(new, ["p"])
    world.certificates.update(HOME, old.certificate_id, REVOKED)
    assert world.rotations.cancel(HOME, old.certificate_id).state is CANCELLED
    assert (world.status(new), world.policies_of(new)) == (ACTIVE, ["p"])
    assert not world.is_awaited(new)


def test_only_a_pending_rotation_can_be_cancelled(world: World) -> None:
    old, new = world.begun()
    world.connect(new)
    with pytest.raises(ResourceNotFoundException, match="DONE since"):
        world.rotations.cancel(HOME, old.certificate_id)
    with pytest.raises(ResourceNotFoundException, match="No rotation"):
        world.rotations.cancel(HOME, new.certificate_id)
    assert world.status(new) is ACTIVE


@pytest.mark.parametrize("end", ["revoked", "deleted"])
def test_a_rotation_to_a_certificate_that_can_never_connect_is_cancelled(world: World, end: str) -> None:
    old, new = world.begun()
    world.clock.move(5)
    if end == "revoked":
        world.certificates.update(HOME, new.certificate_id, REVOKED)
    else:
        world.certificates.update(HOME, new.certificate_id, INACTIVE)
        world.certificates.delete(HOME, new.certificate_id)
    [rotation] = world.rotations.list(HOME, ALL, CANCELLED).items
    assert (rotation.old_certificate_id, rotation.finished_at) == (old.certificate_id, world.clock.now)
    assert world.status(old) is ACTIVE
    assert world.begin(old, new_device(world.ca)).state is PENDING


def test_a_rotation_to_a_certificate_that_another_account_accepts_is_cancelled(world: World) -> None:
    accounts = Accounts(world.store, world.clock)
    for realm in (HOME, OTHER_ACCOUNT):
        accounts.create(realm.account_id)
    transfers = Transfers(world.store, world.clock)
    old, new = world.begun()
    world.certificates.update(HOME, new.certificate_id, INACTIVE)
    transfers.transfer(HOME, new.certificate_id, OTHER_ACCOUNT.account_id)
    assert world.state(old) is PENDING
    transfers.accept(OTHER_ACCOUNT, new.certificate_id, set_as_active=True)
    assert world.state(old) is CANCELLED
    assert not world.is_awaited(new, OTHER_ACCOUNT)


# Lists and counts


def test_rotations_are_listed_and_counted_by_state_and_by_ca(world: World) -> None:
    done_old, done_new = world.begun()
    world.connect(done_new)
    cancelled_old, _ = world.begun()
    world.rotations.cancel(HOME, cancelled_old.certificate_id)
    waiting = [world.begun()[0] for _ in range(3)]
    alone = new_device(None)
    world.certificates.register_without_ca(HOME, alone.pem, status=ACTIVE)
    world.begin(alone, new_device(None))

    def listed(state: RotationState, ca: str | None = None) -> list[str]:
        return [each.old_certificate_id for each in world.rotations.list(HOME, ALL, state, ca).items]

    ca_id = world.ca.certificate_id
    assert listed(PENDING, ca_id.upper()) == [each.certificate_id for each in waiting]
    assert listed(PENDING) == [each.certificate_id for each in (*waiting, alone)]
    assert listed(DONE) == listed(DONE, ca_id) == [done_old.certificate_id]
    assert listed(CANCELLED) == [cancelled_old.certificate_id]
    assert world.rotations.progress(HOME) == Progress(pending=4, done=1, cancelled=1)
    assert world.rotations.progress(HOME, ca_id) == Progress(pending=3, done=1, cancelled=1)
    assert world.rotations.progress(OTHER_ACCOUNT) == Progress(pending=0, done=0, cancelled=0)
    part = world.rotations.list(HOME, Window(limit=2), PENDING)
    rest = world.rotations.list(HOME, Window(limit=2, after=part.next_after), PENDING)
    assert [each.old_certificate_id for each in (*part.items, *rest.items)] == listed(PENDING)
    assert rest.next_after is None
