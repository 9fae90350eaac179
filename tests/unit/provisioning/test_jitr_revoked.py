"""A revoked certificate stays refused in every encoding: automatic registration recognises it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from sekisho.accounts.model import Account
from sekisho.accounts.store import AccountRows
from sekisho.admission.rules import Admission, AdmissionRequest
from sekisho.ca_certificates.model import RegistrationConfig
from sekisho.ca_certificates.rules import CACertificates
from sekisho.certificates.model import Certificate, CertificateMode, CertificateStatus
from sekisho.certificates.rules import Certificates
from sekisho.certificates.store import CertificateRows
from sekisho.certificates.transfers import Transfers
from sekisho.pki import der, pem
from sekisho.pki.certificate import X509Certificate
from sekisho.pki.issuing import IssuingAuthority
from sekisho.provisioning.jitp import JustInTimeProvisioning
from sekisho.provisioning.jitr import JustInTimeRegistration
from sekisho.provisioning.outbox.rules import Outbox
from sekisho.realm import Realm
from sekisho.refusal import Refused
from sekisho.store.store import Store
from tests.der import algorithm, attribute, certificate, name, spki, with_other_signature
from tests.stores import empty_store
from tests.unit.features.arrange import HOME, OTHER_ACCOUNT, SAME_ACCOUNT_ELSEWHERE, LiteralEngine, SetClock
from tests.x509 import KeyAndCertificate, new_ca, new_device, p256

PENDING = "DEVICE_CERTIFICATE_PENDING_ACTIVATION"
REVOKED_BEFORE = "DEVICE_CERTIFICATE_REVOKED_BEFORE"
COPIED = "DEVICE_CERTIFICATE_COPIED"

TEMPLATE = """{"Resources": {"certificate": {"Type": "AWS::IoT::Certificate", "Properties":
  {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "ACTIVE"}}}}"""


class Silent:
    """An account's listener that accepts every event."""

    def publish(self, *_: object) -> None:
        pass


@dataclass
class World:
    """A registry with one CA that registers automatically."""

    store: Store
    certificates: Certificates
    cas: CACertificates
    admission: JustInTimeRegistration
    ca: KeyAndCertificate

    def connect(self, *ders: bytes, realm: Realm = HOME) -> list[str]:
        """Return the names of the reasons why certificates that connect are refused."""
        asked = [AdmissionRequest(realm, hashlib.sha256(each).hexdigest(), each, [], "c") for each in ders]
        return [each.reason if isinstance(each, Refused) else str(each) for each in self.admission.answer(asked)]

    def kept(self, der: bytes) -> Certificate | None:
        with self.store.read() as tx:
            return CertificateRows(tx).get(HOME, hashlib.sha256(der).hexdigest())

    def set(self, der: bytes, status: CertificateStatus) -> None:
        self.certificates.update(HOME, hashlib.sha256(der).hexdigest(), status)


@pytest.fixture(params=["registration", "provisioning"])
def world(request: pytest.FixtureRequest, authority: IssuingAuthority) -> Iterator[World]:
    with empty_store() as store:
        clock = SetClock()
        provisioning = JustInTimeProvisioning(store, clock, LiteralEngine(), authority)
        outbox = Outbox(store, Silent())
        admission = JustInTimeRegistration(Admission(store), store, clock, outbox, provisioning)
        made = World(store, Certificates(store, clock, authority), CACertificates(store, clock), admission, new_ca())
        config = RegistrationConfig(template_body=TEMPLATE, role_arn="arn:aws:iam::123456789012:role/r")
        made.cas.register(
            HOME,
            made.ca.pem,
            mode=CertificateMode.SNI_ONLY,
            set_as_active=True,
            allow_auto_registration=True,
            registration_config=config if request.param == "provisioning" else None,
        )
        yield made


def test_a_revoked_certificate_with_a_rewritten_signature_stays_refused(world: World) -> None:
    device = new_device(world.ca).der
    world.connect(device)
    world.set(device, CertificateStatus.REVOKED)
    copy = with_other_signature(device)
    assert hashlib.sha256(copy).digest() != hashlib.sha256(device).digest()
    assert X509Certificate.from_der(copy).signed_id == X509Certificate.from_der(device).signed_id
    assert world.connect(copy) == [REVOKED_BEFORE]
    assert world.kept(copy) is None
    # Again, and beside another device of the same CA.
    assert world.connect(copy, new_device(world.ca).der)[0] == REVOKED_BEFORE


@pytest.mark.parametrize(
    "status", [CertificateStatus.ACTIVE, CertificateStatus.INACTIVE, CertificateStatus.PENDING_ACTIVATION]
)
def test_a_copy_of_a_registered_certificate_is_not_registered(world: World, status: CertificateStatus) -> None:
    """It could still connect after the original was deactivated or revoked."""
    device = new_device(world.ca).der
    if status is CertificateStatus.PENDING_ACTIVATION:
        world.connect(device)
    else:
        world.certificates.register(HOME, pem.write(pem.CERTIFICATE, device), status=status)
    copy = with_other_signature(device)
    assert world.connect(copy) == [COPIED]
    assert world.kept(copy) is None


def test_of_two_copies_in_one_batch_one_is_registered(world: World) -> None:
    device = new_device(world.ca).der
    first, second = world.connect(device, with_other_signature(device))
    assert first in (PENDING, "DEVICE_CERTIFICATE_PROVISIONED")
    assert second == COPIED


def test_a_revoked_certificate_is_recognised_however_it_was_registered(world: World) -> None:
    device = new_device(world.ca).der
    world.certificates.register_without_ca(HOME, pem.write(pem.CERTIFICATE, device), status=CertificateStatus.REVOKED)
    assert world.connect(with_other_signature(device)) == [REVOKED_BEFORE]
    other = new_device(world.ca).der
    with world.store.write() as tx:
        AccountRows(tx).add(Account(OTHER_ACCOUNT.account_id, None, SetClock().now))
    world.certificates.register(HOME, pem.write(pem.CERTIFICATE, other), status=CertificateStatus.INACTIVE)
    transfers = Transfers(world.store, SetClock())
    transfers.transfer(HOME, hashlib.sha256(other).hexdigest(), OTHER_ACCOUNT.account_id)
    assert world.connect(with_other_signature(other)) == [COPIED]
    transfers.accept(OTHER_ACCOUNT, hashlib.sha256(other).hexdigest())
    # Also in the other account, whose CA it would have to be.
    world.cas.register(
        OTHER_ACCOUNT, world.ca.pem, mode=CertificateMode.SNI_ONLY, set_as_active=True, allow_auto_registration=True
    )
    assert world.connect(with_other_signature(other), realm=OTHER_ACCOUNT) == [COPIED]


def test_a_new_certificate_for_the_key_of_a_revoked_one_stays_refused(world: World) -> None:
    key = p256()
    old, new = new_device(world.ca, "old", key=key).der, new_device(world.ca, "new", key=key).der
    world.connect(old)
    # A certificate that is not revoked does not exclude others with its key.
    assert world.connect(new) != [REVOKED_BEFORE]
    world.set(old, CertificateStatus.REVOKED)
    assert world.connect(new_device(world.ca, "newer", key=key).der) == [REVOKED_BEFORE]


def test_a_certificate_with_the_serial_number_of_a_revoked_one_stays_refused(world: World) -> None:
    issuer, key = world.ca.certificate.subject.public_bytes(), world.ca.key
    old, new, other = (
        certificate(key, issuer, name(attribute(text)), spki(p256()), serial=serial)  # type: ignore[arg-type]
        for text, serial in ((b"old", b"\x07"), (b"new", b"\x07"), (b"other", b"\x08"))
    )
    world.connect(old)
    world.set(old, CertificateStatus.REVOKED)
    assert world.connect(new, other)[0] == REVOKED_BEFORE
    assert world.kept(new) is None
    assert world.kept(other) is not None


def test_fleets_with_one_serial_number_register_while_none_is_revoked(world: World) -> None:
    issuer, key = world.ca.certificate.subject.public_bytes(), world.ca.key
    fleet = [
        certificate(key, issuer, name(attribute(b"d%d" % number)), spki(p256()), serial=b"\0")  # type: ignore[arg-type]
        for number in range(3)
    ]
    world.connect(*fleet)
    assert all(world.kept(each) is not None for each in fleet)


def test_register_certificate_registers_also_a_copy(world: World) -> None:
    """RegisterCertificate is a decision of the account's key holder."""
    device = new_device(world.ca).der
    world.connect(device)
    world.set(device, CertificateStatus.REVOKED)
    copy = with_other_signature(device)
    registered = world.certificates.register(HOME, pem.write(pem.CERTIFICATE, copy), status=CertificateStatus.ACTIVE)
    assert registered.status is CertificateStatus.ACTIVE


def test_a_deleted_certificate_is_no_longer_recognised_and_other_realms_are_separate(world: World) -> None:
    device = new_device(world.ca).der
    world.connect(device)
    world.set(device, CertificateStatus.REVOKED)
    world.cas.register(
        SAME_ACCOUNT_ELSEWHERE,
        world.ca.pem,
        mode=CertificateMode.SNI_ONLY,
        set_as_active=True,
        allow_auto_registration=True,
    )
    copy = with_other_signature(device)
    assert world.connect(copy, realm=SAME_ACCOUNT_ELSEWHERE) == [PENDING]
    world.certificates.delete(HOME, hashlib.sha256(device).hexdigest())
    assert world.connect(copy)[0] in (PENDING, "DEVICE_CERTIFICATE_PROVISIONED")


@pytest.mark.parametrize("what", ["outer algorithm", "long length", "unused bits", "trailing byte", "more after"])
def test_unsigned_bytes_have_one_encoding(world: World, what: str) -> None:
    """Every other change of the bytes around the signed part, which would change the certificate's id, is refused."""
    whole = new_device(world.ca).der
    body = whole[4:]
    signed = body[: 4 + int.from_bytes(body[2:4], "big")] if body[1] == 0x82 else body[: 3 + body[2]]
    signature = body[len(signed) + len(algorithm(p256())) :]
    copy = {
        "outer algorithm": der.sequence(signed, algorithm(p256(), der.NULL), signature),
        "long length": b"\x30\x83\x00" + whole[2:],
        "unused bits": der.sequence(signed, algorithm(p256()), signature[:2] + b"\x01" + signature[3:]),
        "trailing byte": whole + b"\0",
        "more after": der.sequence(signed, algorithm(p256()), signature, der.NULL),
    }[what]
    assert der.sequence(signed, algorithm(p256()), signature) == whole
    assert world.connect(copy)[0] in ("DEVICE_CERTIFICATE_UNREADABLE", "CA_NOT_REGISTERED", "REGISTRATION_REFUSED")
    assert world.kept(copy) is None
