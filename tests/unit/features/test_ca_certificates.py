"""CA certificates: two modes, proof of possession, and which certificates may be registered."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509 as crypto_x509

from sekisho import arn
from sekisho.ca_certificates.model import AutoRegistrationStatus, CACertificate, CACertificateStatus, RegistrationConfig
from sekisho.ca_certificates.rules import CACertificates
from sekisho.certificates.model import CertificateMode
from sekisho.errors import (
    CertificateStateException,
    CertificateValidationException,
    InvalidRequestException,
    LimitExceededException,
    RegistrationCodeValidationException,
    ResourceAlreadyExistsException,
    ResourceNotFoundException,
)
from sekisho.pages import Window
from sekisho.realm import Realm
from sekisho.store.store import Store
from sekisho.tags.store import TagRows
from tests.unit.features.arrange import HOME, OTHER_ACCOUNT, SAME_ACCOUNT_ELSEWHERE, SetClock, add_certificate
from tests.unit.features.arrange import certificate_id as id_of
from tests.x509 import KeyAndCertificate, new_ca, new_device, v1

TEMPLATE = RegistrationConfig(
    template_body='{"Resources": {"thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": "t"}}}}',
    role_arn="arn:aws:iam::123456789012:role/provisioning",
)


@pytest.fixture
def cas(store: Store, clock: SetClock) -> CACertificates:
    return CACertificates(store, clock)


def register(cas: CACertificates, ca: KeyAndCertificate, realm: Realm = HOME) -> CACertificate:
    return cas.register(realm, ca.pem, mode=CertificateMode.SNI_ONLY)


def prove(cas: CACertificates, ca: KeyAndCertificate, realm: Realm = HOME) -> CACertificate:
    verification = new_device(ca, cas.get_registration_code(realm))
    return cas.register(realm, ca.pem, verification_certificate_pem=verification.pem)


class TestRegistering:
    def test_a_registered_ca_can_be_described(self, cas: CACertificates, clock: SetClock) -> None:
        ca = new_ca()
        registered = cas.register(
            HOME, "text before\n" + ca.pem, mode=CertificateMode.SNI_ONLY, set_as_active=True, tags={"site": "north"}
        )
        assert cas.describe(HOME, ca.certificate_id.upper()) == registered
        assert registered.certificate_id == ca.certificate_id
        assert registered.certificate_pem == ca.pem
        assert (registered.status, registered.mode) == (CACertificateStatus.ACTIVE, CertificateMode.SNI_ONLY)
        assert registered.auto_registration_status is AutoRegistrationStatus.DISABLE
        assert (registered.created_at, registered.customer_version) == (clock.now, 1)

    def test_a_ca_is_inactive_by_default(self, cas: CACertificates) -> None:
        assert register(cas, new_ca()).status is CACertificateStatus.INACTIVE

    def test_tags_and_automatic_registration_are_kept(self, cas: CACertificates, store: Store) -> None:
        registered = cas.register(
            HOME,
            new_ca().pem,
            mode=CertificateMode.SNI_ONLY,
            allow_auto_registration=True,
            registration_config=TEMPLATE,
            tags={"site": "north"},
        )
        assert registered.auto_registration_status is AutoRegistrationStatus.ENABLE
        assert cas.describe(HOME, registered.certificate_id).registration_config == TEMPLATE
        with store.read() as tx:
            assert TagRows(tx).get(HOME, arn.ca_certificate(HOME, registered.certificate_id)) == {"site": "north"}

    def test_a_registered_ca_is_refused_with_the_existing_id(self, cas: CACertificates) -> None:
        ca = new_ca()
        register(cas, ca)
        with pytest.raises(
            ResourceAlreadyExistsException, match="status=INACTIVE, certificateMode=SNI_ONLY"
        ) as refusal:
            register(cas, ca)
        assert refusal.value.resource_id == ca.certificate_id
        assert refusal.value.resource_arn == arn.ca_certificate(HOME, ca.certificate_id)
        register(cas, ca, SAME_ACCOUNT_ELSEWHERE)
        register(cas, ca, OTHER_ACCOUNT)

    def test_a_region_has_at_most_ten_cas_of_one_subject(self, cas: CACertificates) -> None:
        first = [register(cas, new_ca("MyCA")) for _ in range(10)]
        with pytest.raises(LimitExceededException) as refusal:
            register(cas, new_ca("myca"))
        assert str(refusal.value).startswith("Limit reached for number of CA Certificates with same subject")
        assert all(each.certificate_id in str(refusal.value) for each in first)
        register(cas, new_ca("AnotherCA"))
        register(cas, new_ca("MyCA"), OTHER_ACCOUNT)
        cas.delete(HOME, first[0].certificate_id)
        register(cas, new_ca("MyCA"))

    def test_a_certificate_that_is_not_a_ca_is_refused_in_the_words_of_aws(self, cas: CACertificates) -> None:
        not_a_ca = crypto_x509.BasicConstraints(ca=False, path_length=None)
        for spoilt in (new_ca(basic_constraints=None), new_ca(basic_constraints=not_a_ca)):
            with pytest.raises(
                CertificateValidationException,
                match=r"^The CA certificate does not have the basicConstraints extension as true",
            ):
                register(cas, spoilt)

    def test_a_ca_outside_its_validity_is_refused(self, cas: CACertificates, clock: SetClock) -> None:
        day = timedelta(days=1)
        with pytest.raises(CertificateValidationException, match="The CA certificate expired on 2026-01-01T"):
            register(cas, new_ca(ends=clock.now - day))
        with pytest.raises(CertificateValidationException, match="not valid before 2026-01-03T"):
            register(cas, new_ca(begins=clock.now + day))

    def test_text_that_is_not_a_certificate_is_refused(self, cas: CACertificates) -> None:
        with pytest.raises(CertificateValidationException, match=r"^caCertificate: The text contains a private key"):
            cas.register(HOME, new_ca().key_pem, mode=CertificateMode.SNI_ONLY)


class TestModes:
    def test_only_default_mode_has_a_verification_certificate(self, cas: CACertificates) -> None:
        ca = new_ca()
        with pytest.raises(InvalidRequestException, match="verificationCertificate is missing"):
            cas.register(HOME, ca.pem)
        with pytest.raises(InvalidRequestException, match="certificateMode is SNI_ONLY"):
            cas.register(HOME, ca.pem, verification_certificate_pem=new_device(ca).pem, mode=CertificateMode.SNI_ONLY)

    def test_one_account_of_a_region_has_a_ca_in_default_mode(self, cas: CACertificates) -> None:
        ca = new_ca()
        assert prove(cas, ca).mode is CertificateMode.DEFAULT
        with pytest.raises(InvalidRequestException, match=r"^Cannot accept this CACertificate.*SNI_ONLY"):
            prove(cas, ca, OTHER_ACCOUNT)
        prove(cas, ca, SAME_ACCOUNT_ELSEWHERE)
        assert register(cas, ca, OTHER_ACCOUNT).mode is CertificateMode.SNI_ONLY


class TestPossession:
    def test_a_verification_certificate_may_be_version_1(self, cas: CACertificates) -> None:
        ca = new_ca()
        verification = v1(new_device(ca, cas.get_registration_code(HOME)), ca)
        assert cas.register(HOME, ca.pem, verification_certificate_pem=verification).mode is CertificateMode.DEFAULT

    def test_another_code_is_refused_with_the_expected_one(self, cas: CACertificates) -> None:
        ca = new_ca()
        code, elsewhere = cas.get_registration_code(HOME), cas.get_registration_code(SAME_ACCOUNT_ELSEWHERE)
        with pytest.raises(RegistrationCodeValidationException) as refusal:
            cas.register(HOME, ca.pem, verification_certificate_pem=new_device(ca, elsewhere).pem)
        message = str(refusal.value)
        assert f"is '{elsewhere}'; expected the registration code '{code}'" in message
        assert "account 123456789012 in eu-central-1" in message

    def test_a_deleted_code_is_refused(self, cas: CACertificates) -> None:
        ca = new_ca()
        verification = new_device(ca, cas.get_registration_code(HOME))
        cas.delete_registration_code(HOME)
        with pytest.raises(RegistrationCodeValidationException, match="There is no registration code"):
            cas.register(HOME, ca.pem, verification_certificate_pem=verification.pem)
        cas.get_registration_code(HOME)
        with pytest.raises(RegistrationCodeValidationException, match="a new one after it was deleted"):
            cas.register(HOME, ca.pem, verification_certificate_pem=verification.pem)

    def test_a_code_in_capital_letters_is_refused_with_a_hint(self, cas: CACertificates) -> None:
        ca = new_ca()
        loud = new_device(ca, cas.get_registration_code(HOME).upper())
        with pytest.raises(RegistrationCodeValidationException, match="Remove its blanks and upper-case letters"):
            cas.register(HOME, ca.pem, verification_certificate_pem=loud.pem)

    def test_a_self_signed_verification_certificate_is_refused(self, cas: CACertificates) -> None:
        code = cas.get_registration_code(HOME)
        with pytest.raises(
            CertificateValidationException, match=f"issuer is CN={code}, expected CN=MyCA. It is self-signed"
        ):
            cas.register(HOME, new_ca().pem, verification_certificate_pem=new_device(None, code).pem)

    def test_a_verification_certificate_of_another_ca_of_the_name_is_refused(self, cas: CACertificates) -> None:
        verification = new_device(new_ca("MyCA"), cas.get_registration_code(HOME))
        with pytest.raises(CertificateValidationException, match="not signed by the key of the CA certificate"):
            cas.register(HOME, new_ca("MyCA").pem, verification_certificate_pem=verification.pem)

    def test_an_expired_verification_certificate_is_refused(self, cas: CACertificates, clock: SetClock) -> None:
        ca = new_ca()
        verification = new_device(ca, cas.get_registration_code(HOME), ends=clock.now - timedelta(days=1))
        with pytest.raises(CertificateValidationException, match="The verification certificate expired"):
            cas.register(HOME, ca.pem, verification_certificate_pem=verification.pem)

    def test_text_that_is_not_a_certificate_is_refused(self, cas: CACertificates) -> None:
        with pytest.raises(CertificateValidationException, match=r"^verificationCertificate: "):
            cas.register(HOME, new_ca().pem, verification_certificate_pem="hello")

    def test_a_registered_ca_is_refused_before_the_code_is_checked(self, cas: CACertificates) -> None:
        ca = new_ca()
        verification = new_device(ca, cas.get_registration_code(HOME)).pem
        cas.register(HOME, ca.pem, verification_certificate_pem=verification)
        cas.delete_registration_code(HOME)
        with pytest.raises(ResourceAlreadyExistsException):
            cas.register(HOME, ca.pem, verification_certificate_pem=verification)


class TestRegistrationCode:
    def test_a_code_has_64_hex_digits_and_does_not_change(self, cas: CACertificates) -> None:
        code = cas.get_registration_code(HOME)
        assert len(bytes.fromhex(code)) == 32
        assert code == code.lower()
        assert cas.get_registration_code(HOME) == code
        assert cas.get_registration_code(SAME_ACCOUNT_ELSEWHERE) != code

    def test_after_its_deletion_the_code_is_another(self, cas: CACertificates) -> None:
        code = cas.get_registration_code(HOME)
        cas.delete_registration_code(HOME)
        assert cas.get_registration_code(HOME) != code

    def test_deleting_a_missing_code_is_refused(self, cas: CACertificates) -> None:
        with pytest.raises(ResourceNotFoundException, match="has no registration code in eu-central-1"):
            cas.delete_registration_code(HOME)


class TestUpdating:
    def test_only_given_properties_change(self, cas: CACertificates, clock: SetClock) -> None:
        registered = register(cas, new_ca())
        clock.move(60)
        cas.update(HOME, registered.certificate_id, status=CACertificateStatus.ACTIVE)
        cas.update(HOME, registered.certificate_id, auto_registration_status=AutoRegistrationStatus.ENABLE)
        cas.update(HOME, registered.certificate_id, registration_config=TEMPLATE)
        changed = cas.describe(HOME, registered.certificate_id)
        assert changed.status is CACertificateStatus.ACTIVE
        assert changed.auto_registration_status is AutoRegistrationStatus.ENABLE
        assert changed.registration_config == TEMPLATE
        assert (changed.created_at, changed.modified_at) == (registered.created_at, clock.now)
        assert changed.customer_version == 4
        assert changed.generation_id == registered.generation_id

    def test_an_update_without_a_change_changes_nothing(self, cas: CACertificates, clock: SetClock) -> None:
        registered = register(cas, new_ca())
        clock.move(60)
        cas.update(HOME, registered.certificate_id)
        cas.update(HOME, registered.certificate_id, status=CACertificateStatus.INACTIVE)
        assert cas.describe(HOME, registered.certificate_id) == registered

    def test_the_registration_config_can_be_removed(self, cas: CACertificates) -> None:
        registered = cas.register(
            HOME,
            new_ca().pem,
            mode=CertificateMode.SNI_ONLY,
            allow_auto_registration=True,
            registration_config=TEMPLATE,
        )
        cas.update(HOME, registered.certificate_id, remove_auto_registration=True)
        changed = cas.describe(HOME, registered.certificate_id)
        assert changed.registration_config is None
        assert changed.auto_registration_status is AutoRegistrationStatus.ENABLE

    def test_setting_and_removing_the_registration_config_at_once_is_refused(self, cas: CACertificates) -> None:
        registered = register(cas, new_ca())
        with pytest.raises(InvalidRequestException, match="sets what removeAutoRegistration removes"):
            cas.update(HOME, registered.certificate_id, registration_config=TEMPLATE, remove_auto_registration=True)

    def test_a_missing_ca_is_named_with_its_account_and_region(self, cas: CACertificates, store: Store) -> None:
        register(cas, new_ca(), OTHER_ACCOUNT)
        with pytest.raises(
            ResourceNotFoundException, match=r"no CA certificate 0+7 in account 123456789012 and region eu-central-1"
        ):
            cas.update(HOME, id_of(7), status=CACertificateStatus.ACTIVE)
        add_certificate(store, 8)
        with pytest.raises(ResourceNotFoundException, match="It is the id of a device certificate"):
            cas.describe(HOME, id_of(8))


class TestDeleting:
    def test_deleting_an_active_ca_is_refused(self, cas: CACertificates) -> None:
        registered = register(cas, new_ca())
        cas.update(HOME, registered.certificate_id, status=CACertificateStatus.ACTIVE)
        with pytest.raises(CertificateStateException, match="must be deactivated") as refusal:
            cas.delete(HOME, registered.certificate_id)
        assert registered.certificate_id in str(refusal.value)
        assert cas.describe(HOME, registered.certificate_id)

    def test_a_deleted_ca_is_gone_with_its_tags_and_can_be_registered_again(
        self, cas: CACertificates, store: Store
    ) -> None:
        ca = new_ca()
        first = cas.register(HOME, ca.pem, mode=CertificateMode.SNI_ONLY, tags={"a": "b"})
        cas.delete(HOME, first.certificate_id)
        with pytest.raises(ResourceNotFoundException):
            cas.describe(HOME, first.certificate_id)
        with pytest.raises(ResourceNotFoundException):
            cas.delete(HOME, first.certificate_id)
        second = register(cas, ca)
        assert second.generation_id != first.generation_id
        with store.read() as tx:
            assert TagRows(tx).get(HOME, arn.ca_certificate(HOME, ca.certificate_id)) == {}


def test_lists_have_one_realm_in_either_order(cas: CACertificates) -> None:
    registered = [register(cas, new_ca(f"CA {number}")).certificate_id for number in range(3)]
    register(cas, new_ca(), OTHER_ACCOUNT)
    ascending = cas.list(HOME, Window(limit=2))
    assert [each.certificate_id for each in ascending.items] == registered[:2]
    rest = cas.list(HOME, Window(limit=2, after=ascending.next_after))
    assert [each.certificate_id for each in rest.items] == registered[2:]
    assert rest.next_after is None
    descending = cas.list(HOME, Window(limit=3, ascending=False))
    assert [each.certificate_id for each in descending.items] == registered[::-1]
    assert cas.list(HOME, Window(limit=3), template_name="t").items == []
