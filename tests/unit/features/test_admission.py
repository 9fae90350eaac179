"""Admission results for the gateway: identities, and reasons of refusals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519

from sekisho.accounts.model import Account
from sekisho.accounts.store import AccountRows
from sekisho.admission import rules
from sekisho.admission.model import Identity
from sekisho.admission.rules import Admission, AdmissionRequest
from sekisho.admission.store import IdentityRows
from sekisho.ca_certificates.model import AutoRegistrationStatus, CACertificate, CACertificateStatus, RegistrationConfig
from sekisho.ca_certificates.rules import CACertificates
from sekisho.ca_certificates.store import CACertificateRows
from sekisho.certificates.model import Certificate, CertificateMode, CertificateStatus
from sekisho.certificates.store import CertificateRows
from sekisho.certificates.transfers import Transfers
from sekisho.endpoints.rules import Endpoints
from sekisho.pki.pem import read_certificate
from sekisho.policies.rules import Policies
from sekisho.realm import Realm
from sekisho.refusal import RefusalReason, Refused
from sekisho.store.store import Store
from sekisho.store.transaction import Transaction
from tests.unit.features.arrange import HOME, OTHER_ACCOUNT, SAME_ACCOUNT_ELSEWHERE, LiteralEngine, SetClock
from tests.x509 import KeyAndCertificate, new_ca, new_device, v1

ENABLE, DISABLE = AutoRegistrationStatus.ENABLE, AutoRegistrationStatus.DISABLE
DEFAULT, SNI_ONLY = CertificateMode.DEFAULT, CertificateMode.SNI_ONLY

_numbers = count()


@pytest.fixture
def admission(store: Store) -> Admission:
    return Admission(store)


def add_ca(
    store: Store,
    ca: KeyAndCertificate,
    *,
    realm: Realm = HOME,
    mode: CertificateMode = SNI_ONLY,
    active: bool = True,
    automatic: AutoRegistrationStatus = DISABLE,
) -> None:
    cas = CACertificates(store, SetClock())
    verification = new_device(ca, cas.get_registration_code(realm)).pem if mode is DEFAULT else None
    cas.register(realm, ca.pem, verification_certificate_pem=verification, mode=mode)
    cas.update(
        realm,
        ca.certificate_id,
        status=CACertificateStatus.ACTIVE if active else CACertificateStatus.INACTIVE,
        auto_registration_status=automatic,
    )


def add_device(
    store: Store,
    device: KeyAndCertificate,
    *,
    realm: Realm = HOME,
    mode: CertificateMode = SNI_ONLY,
    status: CertificateStatus = CertificateStatus.ACTIVE,
) -> Certificate:
    now = SetClock().now
    certificate = Certificate(
        realm=realm,
        certificate_id=device.certificate_id,
        certificate_pem=device.pem,
        ca_certificate_id=None,
        status=status,
        mode=mode,
        not_before=now,
        not_after=now,
        created_at=now,
        modified_at=now,
        customer_version=1,
        generation_id=str(next(_numbers)),
    )
    with store.write() as tx:
        CertificateRows(tx).add(certificate)
    return certificate


def request(device: KeyAndCertificate, realm: Realm | None = HOME, *chain: KeyAndCertificate) -> AdmissionRequest:
    return AdmissionRequest(realm, device.certificate_id, device.der, [each.der for each in chain], "pump")


def name(answer: Identity | CACertificate | Refused) -> Identity | str:
    """Return the id of a CA that registers, or the name of the reason of a refusal."""
    if isinstance(answer, CACertificate):
        return answer.certificate_id
    return answer.reason if isinstance(answer, Refused) else answer


def reason(admission: Admission, asked: AdmissionRequest) -> Identity | str:
    [answer] = admission.answer([asked])
    return name(answer)


def detail(admission: Admission, asked: AdmissionRequest) -> str:
    """Return the detail of a refusal for the operator."""
    [answer] = admission.answer([asked])
    assert isinstance(answer, Refused)
    assert answer.detail is not None
    return answer.detail


class TestWithSni:
    def test_a_registered_certificate_is_answered_with_its_identity_whatever_its_status(
        self, admission: Admission, store: Store
    ) -> None:
        policies = Policies(store, SetClock(), LiteralEngine())
        policies.create(HOME, "p1", "allow x")
        for status in CertificateStatus:
            certificate = add_device(store, device := new_device(None), status=status)
            policies.attach(HOME, "p1", f"arn:aws:iot:eu-central-1:123456789012:cert/{device.certificate_id}")
            answer = reason(admission, request(device))
            assert isinstance(answer, Identity)
            assert answer.certificate == certificate
            assert [version.document for version in answer.policies] == ["allow x"]

    def test_a_certificate_of_an_unknown_ca_is_refused_as_ca_not_registered(
        self, admission: Admission, store: Store
    ) -> None:
        ca = new_ca("MyCA")
        assert reason(admission, request(new_device(ca))) == "CA_NOT_REGISTERED"
        add_ca(store, new_ca("MyCA"), automatic=ENABLE)
        assert reason(admission, request(new_device(ca))) == "CA_NOT_REGISTERED"
        add_ca(store, ca, realm=OTHER_ACCOUNT, automatic=ENABLE)
        assert reason(admission, request(new_device(ca))) == "CA_NOT_REGISTERED"

    @pytest.mark.parametrize(
        ("active", "automatic", "why"),
        [
            (True, DISABLE, "CA_AUTO_REGISTRATION_DISABLED"),
            (False, ENABLE, "CA_INACTIVE"),
            (False, DISABLE, "CA_INACTIVE"),
        ],
    )
    def test_a_certificate_of_a_ca_that_does_not_register_is_refused_with_the_reason(
        self, admission: Admission, store: Store, active: bool, automatic: AutoRegistrationStatus, why: str
    ) -> None:
        add_ca(store, ca := new_ca(), active=active, automatic=automatic)
        # A CA of the same name that would register has no effect.
        add_ca(store, new_ca(), automatic=ENABLE)
        assert reason(admission, request(new_device(ca))) == why
        device = new_device(ca)
        version_1 = AdmissionRequest(HOME, device.certificate_id, read_certificate(v1(device, ca)), [], "pump")
        assert reason(admission, version_1) == why

    def test_a_ca_registers_with_and_without_a_template(self, admission: Admission, store: Store) -> None:
        add_ca(store, ca := new_ca(), automatic=ENABLE)
        assert reason(admission, request(new_device(ca))) == ca.certificate_id
        with store.write() as tx:
            kept = CACertificateRows(tx).get(HOME, ca.certificate_id)
            assert kept is not None
            CACertificateRows(tx).replace(replace(kept, registration_config=RegistrationConfig(template_name="t")))
        assert reason(admission, request(new_device(ca))) == ca.certificate_id

    def test_of_two_certificates_of_one_ca_key_the_one_that_can_register_counts(
        self, admission: Admission, store: Store
    ) -> None:
        ca = new_ca()
        add_ca(store, ca, active=False)
        add_ca(store, new_ca(key=ca.key))
        assert reason(admission, request(new_device(ca))) == "CA_AUTO_REGISTRATION_DISABLED"

    def test_a_self_signed_certificate_is_refused_as_not_registered(self, admission: Admission) -> None:
        assert reason(admission, request(new_device(None))) == "DEVICE_CERTIFICATE_NOT_REGISTERED"

    def test_at_the_endpoint_of_another_account_the_certificate_is_not_registered(
        self, admission: Admission, store: Store
    ) -> None:
        add_device(store, device := new_device(new_ca()))
        assert reason(admission, request(device, OTHER_ACCOUNT)) == "DEVICE_CERTIFICATE_NOT_REGISTERED"

    def test_an_unreadable_certificate_is_refused_as_unreadable(self, admission: Admission) -> None:
        assert (
            reason(admission, AdmissionRequest(HOME, "0" * 64, b"\x30\x00", [], "pump"))
            == "DEVICE_CERTIFICATE_UNREADABLE"
        )

    def test_the_detail_names_the_issuer_that_would_have_to_be_registered_and_its_key(
        self, admission: Admission, store: Store
    ) -> None:
        ca = new_ca("Issuing")
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.key.public_key())
        device = new_device(ca, extensions=[identifier])
        assert identifier.key_identifier is not None
        said = detail(admission, request(device))
        assert (
            f"neither is the CA that signed it: CN=Issuing (key identifier {identifier.key_identifier.hex()})." in said
        )
        assert said.endswith("Register the CA certificate that directly signed the device certificate.")
        add_ca(store, namesake := new_ca("Issuing"), automatic=ENABLE)
        said = detail(admission, request(device))
        assert "A CA certificate with that name and another key is registered: CN=Issuing" in said
        assert namesake.certificate_id in said
        assert "elsewhere" not in said

    def test_the_detail_says_that_a_registered_ca_higher_in_the_chain_does_not_count(
        self, admission: Admission, store: Store
    ) -> None:
        add_ca(store, root := new_ca("Root"), automatic=ENABLE)
        between = new_ca("Issuing", issuer=root)
        device = new_device(between)
        said = detail(admission, request(device, HOME, between, root))
        assert f"A CA further up the chain is registered: CN=Root (certificateId={root.certificate_id}, ACTIVE)" in said
        assert (
            f"Register the CA certificate that the client sent in its chain (certificateId={between.certificate_id})"
            in said
        )
        # The registration of another account is not mentioned.
        assert root.certificate_id not in detail(admission, request(device, OTHER_ACCOUNT, between, root))

    def test_the_detail_says_where_else_the_ca_is_registered(self, admission: Admission, store: Store) -> None:
        add_ca(store, ca := new_ca(), automatic=ENABLE)
        device = new_device(ca)
        said = detail(admission, request(device, SAME_ACCOUNT_ELSEWHERE))
        assert f"the CA is registered in {HOME.region}, not in {SAME_ACCOUNT_ELSEWHERE.region}" in said
        said = detail(admission, request(device, OTHER_ACCOUNT))
        assert "The CA is registered in another account" in said
        assert HOME.account_id not in said
        # One of the same name with another key is not this CA.
        assert "another account" not in detail(admission, request(new_device(new_ca()), OTHER_ACCOUNT))

    def test_the_detail_says_what_a_known_ca_lacks_with_its_id(self, admission: Admission, store: Store) -> None:
        add_ca(store, inactive := new_ca("Inactive"), active=False, automatic=ENABLE)
        add_ca(store, manual := new_ca("Manual"), automatic=DISABLE)
        for ca, remedy in ((inactive, "Activate it with UpdateCACertificate"), (manual, "newAutoRegistrationStatus")):
            said = detail(admission, request(new_device(ca)))
            assert ca.certificate_id in said
            assert remedy in said

    def test_a_signature_that_no_ca_key_verifies_is_the_reason(self, admission: Admission) -> None:
        by_ed25519 = new_device(new_ca(key=ed25519.Ed25519PrivateKey.generate(), digest=None), digest=None)
        assert reason(admission, request(by_ed25519)) == "REGISTRATION_REFUSED"
        assert "is signed with ed25519; allowed are RSA" in detail(admission, request(by_ed25519))


class TestWithoutSni:
    def test_default_mode_determines_the_account(self, admission: Admission, store: Store) -> None:
        device = new_device(None)
        add_device(store, device, realm=OTHER_ACCOUNT, mode=SNI_ONLY)
        certificate = add_device(store, device, mode=DEFAULT)
        answer = reason(admission, request(device, None))
        assert isinstance(answer, Identity)
        assert answer.certificate == certificate

    def test_sni_only_mode_needs_sni(self, admission: Admission, store: Store) -> None:
        add_device(store, device := new_device(None), mode=SNI_ONLY)
        assert reason(admission, request(device, None)) == "CERTIFICATE_IS_SNI_ONLY_AND_NO_SNI"

    def test_until_a_transfer_is_accepted_the_account_that_offers_it_answers(
        self, admission: Admission, store: Store
    ) -> None:
        device = new_device(None)
        inactive = add_device(store, device, mode=DEFAULT, status=CertificateStatus.INACTIVE)
        transfers = Transfers(store, SetClock())
        with store.write() as tx:
            AccountRows(tx).add(Account(OTHER_ACCOUNT.account_id, None, inactive.created_at))
        transfers.transfer(HOME, device.certificate_id, OTHER_ACCOUNT.account_id)
        answer = reason(admission, request(device, None))
        assert isinstance(answer, Identity)
        assert (answer.certificate.realm, answer.certificate.status) == (HOME, CertificateStatus.PENDING_TRANSFER)
        transfers.accept(OTHER_ACCOUNT, device.certificate_id, set_as_active=True)
        answer = reason(admission, request(device, None))
        assert isinstance(answer, Identity)
        assert (answer.certificate.realm, answer.certificate.status) == (OTHER_ACCOUNT, CertificateStatus.ACTIVE)

    def test_of_several_regions_the_active_certificate_counts(self, admission: Admission, store: Store) -> None:
        device = new_device(None)
        here = add_device(store, device, mode=DEFAULT)
        there = add_device(store, device, realm=SAME_ACCOUNT_ELSEWHERE, mode=DEFAULT)
        assert reason(admission, request(device, None)) == "AMBIGUOUS_WITHOUT_SNI"
        with store.write() as tx:
            CertificateRows(tx).replace(replace(here, status=CertificateStatus.INACTIVE))
        answer = reason(admission, request(device, None))
        assert isinstance(answer, Identity)
        assert answer.certificate == there

    def test_the_chain_has_to_contain_the_ca(self, admission: Admission, store: Store) -> None:
        add_ca(store, ca := new_ca(), mode=DEFAULT, automatic=ENABLE)
        device = new_device(ca)
        assert reason(admission, request(device, None)) == "CA_NOT_IN_CHAIN_AND_NO_SNI"
        assert reason(admission, request(device, None, ca)) == ca.certificate_id
        assert reason(admission, request(device, None, new_ca("Between"), ca)) == ca.certificate_id

    def test_a_ca_that_registers_in_two_regions_is_ambiguous(self, admission: Admission, store: Store) -> None:
        add_ca(store, ca := new_ca(), mode=DEFAULT, automatic=ENABLE)
        add_ca(store, ca, realm=SAME_ACCOUNT_ELSEWHERE, mode=DEFAULT, automatic=ENABLE)
        assert reason(admission, request(new_device(ca), None, ca)) == "AMBIGUOUS_WITHOUT_SNI"

    def test_a_ca_in_the_chain_must_have_signed_the_certificate(self, admission: Admission, store: Store) -> None:
        add_ca(store, namesake := new_ca(), mode=DEFAULT, automatic=ENABLE)
        assert reason(admission, request(new_device(new_ca()), None, namesake)) == "CA_NOT_REGISTERED"

    def test_an_sni_only_ca_needs_sni(self, admission: Admission, store: Store) -> None:
        add_ca(store, ca := new_ca(), mode=SNI_ONLY, automatic=ENABLE)
        assert reason(admission, request(new_device(ca), None, ca)) == "CA_IS_SNI_ONLY_AND_NO_SNI"
        add_ca(store, ca, realm=OTHER_ACCOUNT, mode=DEFAULT)
        assert reason(admission, request(new_device(ca), None, ca)) == "CA_AUTO_REGISTRATION_DISABLED"

    def test_a_self_signed_certificate_without_sni_is_refused_as_not_registered(self, admission: Admission) -> None:
        assert reason(admission, request(new_device(None), None)) == "DEVICE_CERTIFICATE_NOT_REGISTERED"

    def test_unreadable_certificates_in_the_chain_are_ignored(self, admission: Admission, store: Store) -> None:
        add_ca(store, ca := new_ca(), mode=DEFAULT)
        device = new_device(ca)
        asked = AdmissionRequest(None, device.certificate_id, device.der, [b"garbage", ca.der], "pump")
        assert reason(admission, asked) == "CA_AUTO_REGISTRATION_DISABLED"


class TestWithoutSniWhereItIsNotRequired:
    """``require_sni = false``, for clients that send no SNI for ``localhost``."""

    @pytest.fixture
    def admission(self, store: Store) -> Admission:
        return Admission(store, require_sni=False)

    def test_the_only_realm_with_the_certificate_counts(self, admission: Admission, store: Store) -> None:
        certificate = add_device(store, device := new_device(None), realm=OTHER_ACCOUNT, mode=SNI_ONLY)
        answer = reason(admission, request(device, None))
        assert isinstance(answer, Identity)
        assert answer.certificate == certificate
        [known] = admission.known([request(device, None)])
        assert known == answer

    @pytest.mark.parametrize("status", [each for each in CertificateStatus if each.name != "PENDING_TRANSFER"])
    @pytest.mark.parametrize("other", [OTHER_ACCOUNT, SAME_ACCOUNT_ELSEWHERE])
    def test_with_several_realms_the_status_does_not_decide(
        self, admission: Admission, store: Store, status: CertificateStatus, other: Realm
    ) -> None:
        device = new_device(None)
        add_device(store, device, mode=SNI_ONLY, status=status)
        add_device(store, device, realm=other, mode=SNI_ONLY)
        assert reason(admission, request(device, None)) == "AMBIGUOUS_WITHOUT_SNI"
        assert admission.known([request(device, None)]) == [None]
        # With SNI each realm answers for itself.
        for realm in (HOME, other):
            answer = reason(admission, request(device, realm))
            assert isinstance(answer, Identity)
            assert answer.certificate.realm == realm

    def test_default_mode_determines_the_account_here_too(self, admission: Admission, store: Store) -> None:
        device = new_device(None)
        add_device(store, device, realm=OTHER_ACCOUNT, mode=SNI_ONLY)
        certificate = add_device(store, device, mode=DEFAULT)
        answer = reason(admission, request(device, None))
        assert isinstance(answer, Identity)
        assert answer.certificate == certificate

    @pytest.mark.parametrize("mode", CertificateMode)
    @pytest.mark.parametrize("sent", [True, False])
    def test_the_only_realm_whose_ca_registers_the_certificate_counts(
        self, admission: Admission, store: Store, mode: CertificateMode, sent: bool
    ) -> None:
        Endpoints(store, HOME, "localhost").describe(HOME)
        add_ca(store, ca := new_ca(), mode=mode, automatic=ENABLE)
        add_ca(store, new_ca(), mode=mode, automatic=ENABLE)
        [answer] = admission.answer([request(new_device(ca), None, *([ca] if sent else []))])
        assert isinstance(answer, CACertificate)
        assert (answer.realm, answer.certificate_id) == (HOME, ca.certificate_id)

    @pytest.mark.parametrize("sent", [True, False])
    def test_a_ca_in_several_realms_registers_nothing(self, admission: Admission, store: Store, sent: bool) -> None:
        endpoints = Endpoints(store, HOME, "localhost")
        ca = new_ca()
        # Whatever its state in one of them, because another account must not register these devices.
        add_ca(store, ca, active=False)
        add_ca(store, ca, realm=OTHER_ACCOUNT, automatic=ENABLE)
        for realm in (HOME, OTHER_ACCOUNT):
            endpoints.describe(realm)
        assert reason(admission, request(new_device(ca), None, *([ca] if sent else []))) == "AMBIGUOUS_WITHOUT_SNI"

    def test_a_ca_that_does_not_register_is_refused_with_the_reason(self, admission: Admission, store: Store) -> None:
        Endpoints(store, HOME, "localhost").describe(HOME)
        add_ca(store, ca := new_ca(), automatic=DISABLE)
        assert reason(admission, request(new_device(ca), None)) == "CA_AUTO_REGISTRATION_DISABLED"
        assert reason(admission, request(new_device(new_ca()), None)) == "CA_NOT_REGISTERED"

    def test_a_ca_is_searched_for_in_a_bounded_number_of_realms(
        self, admission: Admission, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(rules, "MAX_REALMS_SEARCHED", 1)
        endpoints = Endpoints(store, HOME, "localhost")
        add_ca(store, ca := new_ca(), automatic=ENABLE)
        endpoints.describe(HOME)
        assert reason(admission, request(new_device(ca), None)) == ca.certificate_id
        endpoints.describe(OTHER_ACCOUNT)
        assert reason(admission, request(new_device(ca), None)) == "CA_NOT_IN_CHAIN_AND_NO_SNI"
        assert reason(admission, request(new_device(ca), None, ca)) == ca.certificate_id


def test_a_batch_is_answered_in_its_order_with_one_look_up(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    ca = new_ca()
    add_ca(store, ca)
    known = [add_device(store, new_device(None), mode=DEFAULT) for _ in range(3)]
    issued = {each.certificate_id: each for each in known}
    devices = [new_device(ca) for _ in range(2)]
    requests = [
        *(AdmissionRequest(HOME, each, b"", [], "") for each in issued),
        *(request(device) for device in devices),
        *(AdmissionRequest(None, each, b"", [], "") for each in issued),
    ]
    asked = []
    look_up = IdentityRows.look_up

    def counting(rows: IdentityRows, keys: Sequence[tuple[Realm, str]]) -> Mapping[tuple[Realm, str], Identity]:
        asked.append(keys)
        return look_up(rows, keys)

    monkeypatch.setattr(IdentityRows, "look_up", counting)
    answers = Admission(store).answer(requests)
    assert [each.certificate if isinstance(each, Identity) else name(each) for each in answers] == [
        *known,
        *["CA_AUTO_REGISTRATION_DISABLED"] * 2,
        *known,
    ]
    assert len(asked) == 1
    assert Admission(store).answer([]) == []


def test_the_registrar_can_be_asked_alone(store: Store) -> None:
    add_ca(store, ca := new_ca(), active=False)
    device = new_device(ca)

    def why(tx: Transaction, realm: Realm | None) -> CACertificate | Refused:
        return rules.registrar(tx, realm, device.certificate_id, device.der, [])

    with store.read() as tx:
        assert name(why(tx, HOME)) == "CA_INACTIVE"
        assert why(tx, None) == Refused(RefusalReason.CA_NOT_IN_CHAIN_AND_NO_SNI)
