"""Device certificates: issuers, requirements, and status changes from registration to deletion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509 as crypto_x509
from cryptography.hazmat.primitives.asymmetric import ed25519

from sekisho import arn
from sekisho.ca_certificates.model import CACertificateStatus
from sekisho.ca_certificates.rules import CACertificates
from sekisho.certificates.model import CertificateMode, CertificateStatus
from sekisho.certificates.rules import Certificates
from sekisho.certificates.store import CertificateRows
from sekisho.change import Change, ChangeKind
from sekisho.errors import (
    CertificateConflictException,
    CertificateStateException,
    CertificateValidationException,
    DeleteConflictException,
    InvalidRequestException,
    ResourceAlreadyExistsException,
    ResourceNotFoundException,
)
from sekisho.pages import Window
from sekisho.pki.issuing import IssuingAuthority
from sekisho.policies.rules import Policies
from sekisho.principals.model import ThingPrincipalType
from sekisho.realm import Realm
from sekisho.refusal import RefusalReason
from sekisho.store.store import Store
from sekisho.things.rules import Things
from tests.stores import content
from tests.unit.features.arrange import HOME, OTHER_ACCOUNT, SAME_ACCOUNT_ELSEWHERE, LiteralEngine, SetClock
from tests.unit.features.arrange import certificate_id as id_of
from tests.x509 import KeyAndCertificate, new_ca, new_device, new_request, p256, v1

ACTIVE, INACTIVE, REVOKED = CertificateStatus.ACTIVE, CertificateStatus.INACTIVE, CertificateStatus.REVOKED


@pytest.fixture
def certificates(store: Store, clock: SetClock, authority: IssuingAuthority) -> Certificates:
    return Certificates(store, clock, authority)


@pytest.fixture
def cas(store: Store, clock: SetClock) -> CACertificates:
    return CACertificates(store, clock)


def add_ca(
    cas: CACertificates, ca: KeyAndCertificate | None = None, *, realm: Realm = HOME, active: bool = True
) -> KeyAndCertificate:
    ca = ca or new_ca()
    cas.register(realm, ca.pem, mode=CertificateMode.SNI_ONLY, set_as_active=active)
    return ca


def add_default_ca(cas: CACertificates, ca: KeyAndCertificate, realm: Realm = HOME) -> None:
    verification = new_device(ca, cas.get_registration_code(realm))
    cas.register(realm, ca.pem, verification_certificate_pem=verification.pem, set_as_active=True)


class TestRegistering:
    def test_a_certificate_has_the_mode_of_its_ca(self, certificates: Certificates, cas: CACertificates) -> None:
        many, one = add_ca(cas, new_ca("Many")), new_ca("One")
        add_default_ca(cas, one)
        assert certificates.register(HOME, new_device(many).pem).mode is CertificateMode.SNI_ONLY
        assert certificates.register(HOME, new_device(one).pem).mode is CertificateMode.DEFAULT

    def test_a_registered_certificate_can_be_described(
        self, certificates: Certificates, cas: CACertificates, clock: SetClock
    ) -> None:
        ca = add_ca(cas)
        device = new_device(ca)
        registered = certificates.register(HOME, "Bag Attributes\n" + device.pem, ca_certificate_pem=ca.pem)
        assert certificates.describe(HOME, device.certificate_id.upper()) == registered
        assert registered.certificate_id == device.certificate_id
        assert registered.certificate_pem == device.pem
        assert registered.ca_certificate_id == ca.certificate_id
        assert (registered.status, registered.created_at, registered.customer_version) == (INACTIVE, clock.now, 1)
        assert registered.not_after == device.certificate.not_valid_after_utc

    def test_version_1_is_accepted(self, certificates: Certificates, cas: CACertificates) -> None:
        ca = add_ca(cas)
        assert certificates.register(HOME, v1(new_device(ca), ca)).ca_certificate_id == ca.certificate_id

    @pytest.mark.parametrize(
        ("status", "set_as_active", "becomes"),
        [
            (None, False, INACTIVE),
            (None, True, ACTIVE),
            (ACTIVE, False, ACTIVE),
            (INACTIVE, True, INACTIVE),
            (REVOKED, False, REVOKED),
        ],
    )
    def test_status_has_precedence_over_set_as_active(
        self,
        certificates: Certificates,
        cas: CACertificates,
        status: CertificateStatus | None,
        set_as_active: bool,
        becomes: CertificateStatus,
    ) -> None:
        device = new_device(add_ca(cas))
        assert certificates.register(HOME, device.pem, status=status, set_as_active=set_as_active).status is becomes

    @pytest.mark.parametrize("status", ["PENDING_ACTIVATION", "PENDING_TRANSFER", "REGISTER_INACTIVE"])
    def test_a_status_that_cannot_be_chosen_is_refused(
        self, certificates: Certificates, cas: CACertificates, status: str
    ) -> None:
        device = new_device(add_ca(cas))
        wanted = f"^Not allowed to register certificate with {status} status$"
        with pytest.raises(CertificateStateException, match=wanted):
            certificates.register(HOME, device.pem, status=CertificateStatus(status))
        with pytest.raises(CertificateStateException, match=wanted):
            certificates.register_without_ca(HOME, device.pem, status=CertificateStatus(status))

    def test_a_registration_is_announced(
        self, certificates: Certificates, cas: CACertificates, announced: list[Change]
    ) -> None:
        device = new_device(add_ca(cas))
        certificates.register(HOME, device.pem, status=ACTIVE)
        assert announced == [Change(HOME, ChangeKind.CERTIFICATE, device.certificate_id)]

    def test_a_registered_certificate_is_refused_by_either_operation_with_its_origin(
        self, certificates: Certificates, cas: CACertificates
    ) -> None:
        ca = add_ca(cas)
        device = new_device(ca)
        certificates.register(HOME, device.pem, status=ACTIVE)
        for again in (certificates.register, certificates.register_without_ca):
            with pytest.raises(ResourceAlreadyExistsException) as refusal:
                again(HOME, device.pem)
            message = str(refusal.value)
            assert message.startswith("The certificate is already provisioned or registered")
            assert f"status=ACTIVE, since 2026-01-02T03:04:05Z, with the CA {ca.certificate_id}" in message
            assert refusal.value.resource_id == device.certificate_id
            assert refusal.value.resource_arn == arn.certificate(HOME, device.certificate_id)
        assert certificates.describe(HOME, device.certificate_id).status is ACTIVE
        for realm in (OTHER_ACCOUNT, SAME_ACCOUNT_ELSEWHERE):
            certificates.register_without_ca(realm, device.pem)

    def test_a_refused_registration_announces_nothing(
        self, certificates: Certificates, cas: CACertificates, announced: list[Change]
    ) -> None:
        device = new_device(add_ca(cas))
        certificates.register(HOME, device.pem)
        announced.clear()
        with pytest.raises(ResourceAlreadyExistsException):
            certificates.register(HOME, device.pem)
        assert announced == []


class TestIssuers:
    def test_of_several_cas_of_one_name_the_signer_counts(
        self, certificates: Certificates, cas: CACertificates
    ) -> None:
        same_name = [add_ca(cas, new_ca("MyCA")) for _ in range(4)]
        for ca in same_name:
            assert certificates.register(HOME, new_device(ca).pem).ca_certificate_id == ca.certificate_id

    def test_an_unknown_issuer_is_shown_with_the_registered_ones(
        self, certificates: Certificates, cas: CACertificates
    ) -> None:
        intermediate = new_ca("Intermediate", issuer=(root := add_ca(cas, new_ca("Root"))))
        with pytest.raises(CertificateStateException) as refusal:
            certificates.register(HOME, new_device(intermediate).pem)
        message = str(refusal.value)
        assert message.startswith("No CA certificate exists for the given certificate")
        assert "Its issuer is CN=Intermediate" in message
        assert f"CN=Root (certificateId={root.certificate_id}, ACTIVE)" in message
        assert "account 123456789012 in eu-central-1" in message

    def test_without_any_ca_the_message_says_so(self, certificates: Certificates, cas: CACertificates) -> None:
        ca = add_ca(cas, realm=SAME_ACCOUNT_ELSEWHERE)
        with pytest.raises(CertificateStateException, match=r"the CA certificates of .* in eu-central-1 are none"):
            certificates.register(HOME, new_device(ca).pem)

    def test_a_self_signed_certificate_is_refused_with_the_other_operation(self, certificates: Certificates) -> None:
        with pytest.raises(
            CertificateStateException, match="self-signed: register it with RegisterCertificateWithoutCA"
        ):
            certificates.register(HOME, new_device(None).pem)

    def test_a_new_ca_with_an_old_name_is_another_ca(self, certificates: Certificates, cas: CACertificates) -> None:
        old = add_ca(cas, new_ca("MyCA"))
        device = new_device(new_ca("MyCA"))
        with pytest.raises(CertificateValidationException, match="has another key") as refusal:
            certificates.register(HOME, device.pem)
        assert old.certificate_id in str(refusal.value)
        with pytest.raises(
            CertificateValidationException, match="not signed by the key of the CA certificate in caCert"
        ):
            certificates.register(HOME, device.pem, ca_certificate_pem=old.pem)

    def test_key_identifiers_are_compared_where_both_have_one(
        self, certificates: Certificates, cas: CACertificates
    ) -> None:
        add_ca(cas, new_ca("MyCA"))
        signer = new_ca("MyCA")
        below = new_ca("Below", issuer=signer)
        identifier = crypto_x509.SubjectKeyIdentifier.from_public_key(signer.key.public_key()).digest.hex()
        with_aki = _with_authority_key_identifier(below, signer)
        with pytest.raises(
            CertificateValidationException, match=f"key identifier is {identifier}, that of the CA [0-9a-f]"
        ):
            certificates.register(HOME, with_aki)

    def test_a_certificate_of_an_inactive_ca_is_refused(self, certificates: Certificates, cas: CACertificates) -> None:
        ca = add_ca(cas, active=False)
        device = new_device(ca)
        for named in (None, ca.pem):
            with pytest.raises(CertificateStateException, match="is INACTIVE since 2026-01-02T03:04:05Z") as refusal:
                certificates.register(HOME, device.pem, ca_certificate_pem=named)
            assert ca.certificate_id in str(refusal.value)
        cas.update(HOME, ca.certificate_id, status=CACertificateStatus.ACTIVE)
        certificates.register(HOME, device.pem)

    def test_the_given_ca_must_be_registered(self, certificates: Certificates, cas: CACertificates) -> None:
        ca = new_ca()
        with pytest.raises(
            CertificateStateException, match=r"^No CA certificate exists.*\(CN=MyCA, .* is not registered"
        ):
            certificates.register(HOME, new_device(ca).pem, ca_certificate_pem=ca.pem)
        add_ca(cas, ca)
        renewed = new_ca(key=ca.key)
        with pytest.raises(CertificateStateException, match="Another certificate of the same CA is") as refusal:
            certificates.register(HOME, new_device(ca).pem, ca_certificate_pem=renewed.pem)
        assert ca.certificate_id in str(refusal.value)

    def test_the_given_ca_must_be_the_issuer(self, certificates: Certificates, cas: CACertificates) -> None:
        ca, other = add_ca(cas, new_ca("MyCA")), add_ca(cas, new_ca("Other"))
        with pytest.raises(CertificateValidationException, match=r"issuer is CN=MyCA, but the .* is CN=Other"):
            certificates.register(HOME, new_device(ca).pem, ca_certificate_pem=other.pem)

    def test_of_two_certificates_of_one_ca_key_the_request_must_name_one(
        self, certificates: Certificates, cas: CACertificates
    ) -> None:
        ca = add_ca(cas)
        renewed = add_ca(cas, new_ca(key=ca.key))
        device = new_device(ca)
        with pytest.raises(CertificateConflictException, match="caCertificatePem") as refusal:
            certificates.register(HOME, device.pem)
        assert ca.certificate_id in str(refusal.value)
        assert renewed.certificate_id in str(refusal.value)
        registered = certificates.register(HOME, device.pem, ca_certificate_pem=renewed.pem)
        assert registered.ca_certificate_id == renewed.certificate_id

    def test_in_default_mode_one_account_of_a_region_has_a_certificate(
        self, certificates: Certificates, cas: CACertificates, announced: list[Change]
    ) -> None:
        ca = new_ca()
        add_default_ca(cas, ca)
        device = new_device(ca)
        certificates.register(HOME, device.pem)
        # A CA in DEFAULT mode belongs to one account until that account deletes it.
        cas.update(HOME, ca.certificate_id, status=CACertificateStatus.INACTIVE)
        cas.delete(HOME, ca.certificate_id)
        add_default_ca(cas, ca, OTHER_ACCOUNT)
        announced.clear()
        with pytest.raises(InvalidRequestException, match=r"^This request is not valid.*another account"):
            certificates.register(OTHER_ACCOUNT, device.pem)
        with pytest.raises(ResourceNotFoundException):
            certificates.describe(OTHER_ACCOUNT, device.certificate_id)
        assert announced == []
        certificates.register_without_ca(OTHER_ACCOUNT, device.pem)
        add_default_ca(cas, ca, SAME_ACCOUNT_ELSEWHERE)
        certificates.register(SAME_ACCOUNT_ELSEWHERE, device.pem)


def _with_authority_key_identifier(issued: KeyAndCertificate, signer: KeyAndCertificate) -> str:
    identifier = crypto_x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key())
    return new_device(signer, key=issued.key, extensions=[identifier]).pem


class TestUnacceptableCertificates:
    def test_a_key_that_aws_iot_does_not_accept(self, certificates: Certificates, cas: CACertificates) -> None:
        device = new_device(add_ca(cas), key=ed25519.Ed25519PrivateKey.generate())
        for register in (certificates.register, certificates.register_without_ca):
            with pytest.raises(CertificateValidationException, match="a key of the kind Ed25519; allowed are RSA"):
                register(HOME, device.pem)

    def test_an_expired_one_and_one_that_is_not_valid_yet(
        self, certificates: Certificates, cas: CACertificates, clock: SetClock
    ) -> None:
        ca = add_ca(cas)
        day = timedelta(days=1)
        expired, early = new_device(ca, ends=clock.now - day), new_device(ca, begins=clock.now + day)
        for register in (certificates.register, certificates.register_without_ca):
            with pytest.raises(CertificateValidationException, match="The certificate expired on 2026-01-01"):
                register(HOME, expired.pem)
            with pytest.raises(CertificateValidationException, match="not valid before 2026-01-03"):
                register(HOME, early.pem)

    def test_text_that_is_not_a_certificate_names_the_parameter(
        self, certificates: Certificates, cas: CACertificates
    ) -> None:
        device = new_device(add_ca(cas))
        with pytest.raises(CertificateValidationException, match=r"^certificatePem: The text contains a private key"):
            certificates.register_without_ca(HOME, device.key_pem)
        with pytest.raises(CertificateValidationException, match=r"^certificatePem: The text contains 2 objects"):
            certificates.register(HOME, device.pem + device.pem)
        with pytest.raises(CertificateValidationException, match=r"^caCertificatePem: "):
            certificates.register(HOME, device.pem, ca_certificate_pem="hello")


class TestRegisteringWithoutCA:
    def test_it_is_sni_only_with_any_issuer(self, certificates: Certificates, cas: CACertificates) -> None:
        ca = new_ca()
        add_default_ca(cas, ca)
        for device in (new_device(None), new_device(new_ca("Unknown")), new_device(ca)):
            registered = certificates.register_without_ca(HOME, device.pem)
            assert (registered.mode, registered.ca_certificate_id) == (CertificateMode.SNI_ONLY, None)
            assert registered.status is INACTIVE

    def test_a_registered_certificate_is_refused_as_registered_without_a_ca(self, certificates: Certificates) -> None:
        device = new_device(None)
        certificates.register_without_ca(HOME, device.pem)
        with pytest.raises(ResourceAlreadyExistsException, match=r"since 2026-01-02T03:04:05Z, without a CA\)"):
            certificates.register_without_ca(HOME, device.pem)


class TestIssuing:
    def test_a_key_pair_is_returned_with_its_certificate(
        self, certificates: Certificates, announced: list[Change], store: Store
    ) -> None:
        created = certificates.create_keys_and_certificate(HOME, set_as_active=True)
        certificate = created.certificate
        assert (certificate.status, certificate.mode) == (ACTIVE, CertificateMode.DEFAULT)
        assert certificate.ca_certificate_id is None
        assert certificate.not_after == datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)
        assert announced == [Change(HOME, ChangeKind.CERTIFICATE, certificate.certificate_id)]
        assert "PRIVATE" not in repr(created)
        assert certificate.certificate_id.encode() in content(store)
        assert b"PRIVATE KEY" not in content(store)

    def test_the_same_request_twice_gives_two_certificates(self, certificates: Certificates) -> None:
        request = new_request(p256())
        first, second = (certificates.create_from_csr(HOME, request) for _ in range(2))
        assert first.certificate_id != second.certificate_id
        assert first.status is INACTIVE

    @pytest.mark.parametrize(
        ("request_pem", "message"),
        [
            ("hello", "^certificateSigningRequest: This is not a certificate signing request"),
            (new_device(None).pem, "^certificateSigningRequest: The text contains a certificate"),
            (new_device(None).key_pem, "^certificateSigningRequest: The text contains a private key"),
            (new_request(ed25519.Ed25519PrivateKey.generate()), "a key of the kind Ed25519; allowed are"),
        ],
    )
    def test_an_invalid_request_is_refused(self, certificates: Certificates, request_pem: str, message: str) -> None:
        with pytest.raises(InvalidRequestException, match=message):
            certificates.create_from_csr(HOME, request_pem)


class TestStatus:
    @pytest.mark.parametrize("before", [ACTIVE, INACTIVE, CertificateStatus.PENDING_ACTIVATION])
    @pytest.mark.parametrize("after", [ACTIVE, INACTIVE, REVOKED])
    def test_an_allowed_status_is_set_and_announced(
        self,
        certificates: Certificates,
        store: Store,
        clock: SetClock,
        announced: list[Change],
        before: CertificateStatus,
        after: CertificateStatus,
    ) -> None:
        certificate_id = self._in_status(certificates, store, before)
        announced.clear()
        clock.move(60)
        certificates.update(HOME, certificate_id, after)
        changed = certificates.describe(HOME, certificate_id)
        assert changed.status is after
        if before is after:
            assert (changed.customer_version, announced) == (1, [])
        else:
            assert (changed.customer_version, changed.modified_at) == (2, clock.now)
            lost = {
                ACTIVE: None,
                INACTIVE: RefusalReason.DEVICE_CERTIFICATE_INACTIVE,
                REVOKED: RefusalReason.DEVICE_CERTIFICATE_REVOKED,
            }[after]
            assert announced == [Change(HOME, ChangeKind.CERTIFICATE, certificate_id, lost)]

    @pytest.mark.parametrize("after", [ACTIVE, INACTIVE])
    def test_a_revoked_certificate_stays_revoked(
        self, certificates: Certificates, store: Store, announced: list[Change], after: CertificateStatus
    ) -> None:
        certificate_id = self._in_status(certificates, store, REVOKED)
        announced.clear()
        with pytest.raises(
            CertificateStateException, match=f"A REVOKED certificate cannot be set to {after}"
        ) as refusal:
            certificates.update(HOME, certificate_id, after)
        assert certificate_id in str(refusal.value)
        certificates.update(HOME, certificate_id, REVOKED)
        assert certificates.describe(HOME, certificate_id).status is REVOKED
        assert announced == []

    def test_a_certificate_in_transfer_cannot_be_updated(self, certificates: Certificates, store: Store) -> None:
        certificate_id = self._in_status(certificates, store, CertificateStatus.PENDING_TRANSFER)
        with pytest.raises(CertificateStateException, match="PENDING_TRANSFER"):
            certificates.update(HOME, certificate_id, ACTIVE)
        with pytest.raises(CertificateStateException, match="PENDING_TRANSFER"):
            certificates.delete(HOME, certificate_id)

    @pytest.mark.parametrize("status", ["PENDING_ACTIVATION", "PENDING_TRANSFER", "REGISTER_INACTIVE"])
    def test_statuses_of_transfers_and_registration_cannot_be_set(
        self, certificates: Certificates, store: Store, status: str
    ) -> None:
        certificate_id = self._in_status(certificates, store, INACTIVE)
        with pytest.raises(CertificateStateException, match=f"cannot be set to {status}"):
            certificates.update(HOME, certificate_id, CertificateStatus(status))

    def test_a_missing_certificate_is_named(self, certificates: Certificates, cas: CACertificates) -> None:
        with pytest.raises(
            ResourceNotFoundException, match=r"no certificate 0+7 in account 123456789012 and region eu"
        ):
            certificates.update(HOME, id_of(7), ACTIVE)
        ca = add_ca(cas)
        with pytest.raises(ResourceNotFoundException, match="It is the id of a CA certificate"):
            certificates.describe(HOME, ca.certificate_id)

    def test_deactivating_a_ca_does_not_change_its_certificates(
        self, certificates: Certificates, cas: CACertificates
    ) -> None:
        ca = add_ca(cas)
        registered = certificates.register(HOME, new_device(ca).pem, status=ACTIVE)
        cas.update(HOME, ca.certificate_id, status=CACertificateStatus.INACTIVE)
        cas.delete(HOME, ca.certificate_id)
        assert certificates.describe(HOME, registered.certificate_id) == registered

    @staticmethod
    def _in_status(certificates: Certificates, store: Store, status: CertificateStatus) -> str:
        registered = certificates.register_without_ca(HOME, new_device(None).pem)
        with store.write() as tx:
            CertificateRows(tx).replace(replace(registered, status=status))
        return registered.certificate_id


class TestDeleting:
    @pytest.fixture
    def registered(self, certificates: Certificates) -> str:
        return certificates.register_without_ca(HOME, new_device(None).pem, status=ACTIVE).certificate_id

    @pytest.fixture
    def things(self, store: Store, clock: SetClock) -> Things:
        return Things(store, clock)

    @pytest.fixture
    def policies(self, store: Store, clock: SetClock) -> Policies:
        return Policies(store, clock, LiteralEngine())

    def test_obstacles_to_a_deletion_are_reported_in_this_order(
        self, certificates: Certificates, things: Things, policies: Policies, registered: str
    ) -> None:
        principal = arn.certificate(HOME, registered)
        things.create(HOME, "pump")
        things.attach_principal(HOME, "pump", principal, ThingPrincipalType.NON_EXCLUSIVE_THING)
        policies.create(HOME, "p1", "allow x")
        policies.attach(HOME, "p1", principal)

        with pytest.raises(
            CertificateStateException,
            match=rf"^Certificate must be deactivated \(not ACTIVE\) before deletion. Id: {registered}$",
        ):
            certificates.delete(HOME, registered, force=True)
        certificates.update(HOME, registered, INACTIVE)
        for force in (False, True):
            with pytest.raises(
                DeleteConflictException,
                match=rf"^Things must be detached before deletion \(arn: {principal}\). Attached: pump\.",
            ):
                certificates.delete(HOME, registered, force=force)
        things.detach_principal(HOME, "pump", principal)
        with pytest.raises(
            DeleteConflictException,
            match=rf"^Certificate policies must be detached before deletion \(arn: {principal}\). Attached: p1\.",
        ):
            certificates.delete(HOME, registered)
        policies.detach(HOME, "p1", principal)
        certificates.delete(HOME, registered)
        with pytest.raises(ResourceNotFoundException):
            certificates.describe(HOME, registered)
        with pytest.raises(ResourceNotFoundException):
            certificates.delete(HOME, registered)

    def test_with_force_delete_the_policies_are_detached(
        self, certificates: Certificates, policies: Policies, registered: str, announced: list[Change]
    ) -> None:
        for name in ("p1", "p2"):
            policies.create(HOME, name, "allow x")
            policies.attach(HOME, name, arn.certificate(HOME, registered))
        certificates.update(HOME, registered, INACTIVE)
        announced.clear()
        certificates.delete(HOME, registered, force=True)
        lost = RefusalReason.DEVICE_CERTIFICATE_NOT_REGISTERED
        assert announced == [Change(HOME, ChangeKind.CERTIFICATE, registered, lost)]
        for name in ("p1", "p2"):
            policies.delete(HOME, name)

    def test_a_deleted_certificate_can_be_registered_again_as_a_new_object(self, certificates: Certificates) -> None:
        device = new_device(None)
        first = certificates.register_without_ca(HOME, device.pem)
        certificates.delete(HOME, first.certificate_id)
        second = certificates.register_without_ca(HOME, device.pem)
        assert second.certificate_id == first.certificate_id
        assert second.generation_id != first.generation_id


class TestLists:
    def test_lists_have_one_realm_in_either_order(self, certificates: Certificates) -> None:
        ids = [certificates.register_without_ca(HOME, new_device(None).pem).certificate_id for _ in range(3)]
        certificates.register_without_ca(OTHER_ACCOUNT, new_device(None).pem)
        assert self._ids(certificates.list(HOME, Window(limit=10)).items) == ids
        first = certificates.list(HOME, Window(limit=2, ascending=False))
        assert self._ids(first.items) == ids[:0:-1]
        rest = certificates.list(HOME, Window(limit=2, after=first.next_after, ascending=False))
        assert self._ids(rest.items) == ids[:1]
        assert rest.next_after is None

    def test_certificates_of_a_ca_are_listed_while_it_is_registered(
        self, certificates: Certificates, cas: CACertificates
    ) -> None:
        ca, other = add_ca(cas, new_ca("MyCA")), add_ca(cas, new_ca("MyCA"))
        mine = [certificates.register(HOME, new_device(ca).pem).certificate_id for _ in range(2)]
        certificates.register(HOME, new_device(other).pem)
        certificates.register_without_ca(HOME, new_device(ca).pem)
        everything = Window(limit=10)
        assert self._ids(certificates.list_by_ca(HOME, ca.certificate_id, everything).items) == mine
        assert not certificates.list_by_ca(HOME, id_of(7), everything).items
        cas.update(HOME, ca.certificate_id, status=CACertificateStatus.INACTIVE)
        cas.delete(HOME, ca.certificate_id)
        assert not certificates.list_by_ca(HOME, ca.certificate_id, everything).items
        add_ca(cas, ca)
        assert self._ids(certificates.list_by_ca(HOME, ca.certificate_id, everything).items) == mine

    @staticmethod
    def _ids(found: Sequence[object]) -> list[str]:
        return [each.certificate_id for each in found]  # type: ignore[attr-defined]
