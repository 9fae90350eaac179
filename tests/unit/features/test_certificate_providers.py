"""Certificate providers, and the registration of the certificates that they return."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.hashes import SHA224

from sekisho.ca_certificates.model import CACertificateStatus
from sekisho.ca_certificates.rules import CACertificates
from sekisho.certificate_providers.model import CertificateProvider, CertificateProviderOperation
from sekisho.certificate_providers.rules import CertificateProviders
from sekisho.certificate_providers.signer import CsrNotSigned
from sekisho.certificates.model import CertificateMode, CertificateStatus
from sekisho.certificates.rules import Certificates
from sekisho.change import Change, ChangeKind
from sekisho.errors import (
    AwsException,
    InvalidRequestException,
    LimitExceededException,
    ResourceAlreadyExistsException,
    ResourceNotFoundException,
    ServiceUnavailableException,
)
from sekisho.pages import Window
from sekisho.pki.issuing import IssuingAuthority
from sekisho.realm import Realm
from sekisho.store.store import Store
from sekisho.tags.store import TagRows
from tests.unit.features.arrange import HOME, OTHER_ACCOUNT, SAME_ACCOUNT_ELSEWHERE, SetClock
from tests.x509 import KeyAndCertificate, new_ca, new_device, new_request, p256, v1

FUNCTION = "arn:aws:lambda:eu-central-1:123456789012:function:sign"
FROM_CSR = [CertificateProviderOperation.CREATE_CERTIFICATE_FROM_CSR]
TOKEN = "t" * 36


@pytest.fixture
def providers(store: Store, clock: SetClock) -> CertificateProviders:
    return CertificateProviders(store, clock)


def test_an_account_has_one_provider_in_a_region(providers: CertificateProviders) -> None:
    providers.create(HOME, "one", FUNCTION, FROM_CSR)
    with pytest.raises(LimitExceededException, match="has the certificate provider one"):
        providers.create(HOME, "two", FUNCTION, FROM_CSR)
    with pytest.raises(ResourceAlreadyExistsException):
        providers.create(HOME, "one", FUNCTION, FROM_CSR)
    providers.create(SAME_ACCOUNT_ELSEWHERE, "two", FUNCTION, FROM_CSR)
    providers.create(OTHER_ACCOUNT, "two", FUNCTION, FROM_CSR)
    providers.delete(HOME, "one")
    two = providers.create(HOME, "two", FUNCTION, FROM_CSR)
    assert providers.list(HOME, Window(limit=5)).items == [two]


def test_the_same_request_with_the_same_token_gets_the_same_answer(
    providers: CertificateProviders, clock: SetClock
) -> None:
    made = providers.create(HOME, "one", FUNCTION, FROM_CSR, client_token=TOKEN)
    clock.move(1)
    assert providers.create(HOME, "one", FUNCTION, FROM_CSR, client_token=TOKEN) == made
    for token, function in (("u" * 36, FUNCTION), (None, FUNCTION), (TOKEN, f"{FUNCTION}2")):
        with pytest.raises(ResourceAlreadyExistsException):
            providers.create(HOME, "one", function, FROM_CSR, client_token=token)


def test_only_given_properties_change(providers: CertificateProviders, clock: SetClock) -> None:
    made = providers.create(HOME, "one", FUNCTION, FROM_CSR)
    clock.move(1)
    assert providers.update(HOME, "one", operations=FROM_CSR) == made
    changed = providers.update(HOME, "one", function_arn=f"{FUNCTION}:live")
    assert (changed.function_arn, changed.operations) == (f"{FUNCTION}:live", tuple(FROM_CSR))
    assert (changed.created_at, changed.modified_at) == (made.created_at, clock.now)
    assert providers.describe(HOME, "one") == changed
    with pytest.raises(ResourceNotFoundException):
        providers.update(HOME, "two", operations=FROM_CSR)
    with pytest.raises(ResourceNotFoundException):
        providers.delete(HOME, "two")


@pytest.mark.parametrize(
    "function",
    [
        "",
        "sign",
        "https://example.com/sign",
        "arn:aws:lambda:eu-central-1:123456789012:layer:sign",
        "arn:aws:lambda:eu-central-1:12345:function:sign",
        "arn:aws:lambda:eu-central-1:123456789012:function:",
        "arn:aws:lambda:eu-central-1:123456789012:function:a b",
    ],
)
def test_the_signer_must_be_a_function(providers: CertificateProviders, function: str) -> None:
    with pytest.raises(InvalidRequestException, match="not the ARN of a Lambda function"):
        providers.create(HOME, "one", function, FROM_CSR)
    providers.create(HOME, "one", FUNCTION, FROM_CSR)
    with pytest.raises(InvalidRequestException):
        providers.update(HOME, "one", function_arn=function)


@pytest.mark.parametrize("operations", [[], FROM_CSR * 2])
def test_a_provider_signs_for_exactly_one_operation(
    providers: CertificateProviders, operations: list[CertificateProviderOperation]
) -> None:
    with pytest.raises(InvalidRequestException, match=f"has {len(operations)} operations"):
        providers.create(HOME, "one", FUNCTION, operations)


class Signer:
    """Returns the answer that a test sets, and records its calls."""

    def __init__(self) -> None:
        self.answer: Callable[[], str] = str
        self.asked: list[tuple[Realm, str, str, str, str]] = []

    def sign(self, realm: Realm, provider: CertificateProvider, csr_pem: str, principal_id: str, client_id: str) -> str:
        self.asked.append((realm, provider.name, csr_pem, principal_id, client_id))
        return self.answer()


class TestSigning:
    @pytest.fixture
    def signer(self) -> Signer:
        return Signer()

    @pytest.fixture
    def certificates(
        self,
        store: Store,
        clock: SetClock,
        authority: IssuingAuthority,
        signer: Signer,
        providers: CertificateProviders,
    ) -> Certificates:
        providers.create(HOME, "step-ca", FUNCTION, FROM_CSR)
        return Certificates(store, clock, authority, signer)

    def test_the_provider_signs_and_without_one_the_service(
        self, certificates: Certificates, signer: Signer, providers: CertificateProviders, announced: list[Change]
    ) -> None:
        device = new_device(new_ca("Their own"))
        request = new_request(device.key)
        signer.answer = lambda: device.pem
        made = certificates.create_from_csr(HOME, request, set_as_active=True, principal_id="me", client_id="lamp")
        assert signer.asked == [(HOME, "step-ca", request, "me", "lamp")]
        assert (made.certificate_id, made.certificate_pem) == (device.certificate_id, device.pem)
        assert (made.status, made.mode) == (CertificateStatus.ACTIVE, CertificateMode.SNI_ONLY)
        assert made.ca_certificate_id is None
        assert certificates.describe(HOME, made.certificate_id) == made
        assert Change(HOME, ChangeKind.CERTIFICATE, made.certificate_id) in announced

        assert certificates.create_from_csr(OTHER_ACCOUNT, request).mode is CertificateMode.DEFAULT
        providers.delete(HOME, "step-ca")
        assert certificates.create_from_csr(HOME, request).mode is CertificateMode.DEFAULT
        assert len(signer.asked) == 1

    def test_a_certificate_belongs_to_the_registered_ca_that_signed_it_and_has_its_mode(
        self, certificates: Certificates, signer: Signer, store: Store, clock: SetClock
    ) -> None:
        cas = CACertificates(store, clock)
        one, many = new_ca("One"), new_ca("Many")
        code = cas.get_registration_code(HOME)
        cas.register(HOME, one.pem, verification_certificate_pem=new_device(one, code).pem, set_as_active=True)
        cas.register(HOME, many.pem, mode=CertificateMode.SNI_ONLY, set_as_active=True)
        # Of the same name with another key: not this CA.
        cas.register(HOME, new_ca("Many").pem, mode=CertificateMode.SNI_ONLY, set_as_active=True)
        for ca, mode in ((one, CertificateMode.DEFAULT), (many, CertificateMode.SNI_ONLY)):
            device = new_device(ca)
            signer.answer = lambda device=device: device.pem  # type: ignore[misc]
            made = certificates.create_from_csr(HOME, new_request(device.key))
            assert (made.ca_certificate_id, made.mode) == (ca.certificate_id, mode)

    def test_a_certificate_of_an_inactive_ca_is_not_registered(
        self, certificates: Certificates, signer: Signer, store: Store, clock: SetClock
    ) -> None:
        cas = CACertificates(store, clock)
        ca = new_ca()
        cas.register(HOME, ca.pem, mode=CertificateMode.SNI_ONLY)
        device = new_device(ca)
        signer.answer = lambda: device.pem
        with pytest.raises(
            InvalidRequestException, match=f"INACTIVE CA certificate .certificateId={ca.certificate_id}"
        ):
            certificates.create_from_csr(HOME, new_request(device.key))
        cas.update(HOME, ca.certificate_id, status=CACertificateStatus.ACTIVE)
        certificates.create_from_csr(HOME, new_request(device.key))

    def test_a_certificate_of_version_1_is_accepted(self, certificates: Certificates, signer: Signer) -> None:
        ca = new_ca()
        device = new_device(ca)
        signer.answer = lambda: v1(device, ca)
        certificates.create_from_csr(HOME, new_request(device.key))

    @pytest.mark.parametrize(
        ("answer", "says"),
        [
            (lambda _device, _ca: "", "something other than one certificate"),
            (lambda _device, _ca: "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", "cannot be read"),
            (lambda device, _ca: new_request(device.key), "certificate signing request"),
            (lambda device, ca: device.pem + ca.pem, "2 objects"),
            (lambda _device, ca: new_device(ca).pem, "whose public key is not that of the request"),
            (lambda device, ca: new_device(ca, "Other", key=device.key).pem, "subject CN=Other; .* CN=MyDevice"),
            (lambda device, ca: new_device(ca, key=device.key, digest=SHA224()).pem, "signed with"),
            (
                lambda device, ca: new_device(ca, key=device.key, ends=datetime(2025, 6, 1, tzinfo=UTC)).pem,
                "expired on 2025-06-01",
            ),
            (
                lambda device, ca: new_device(ca, key=device.key, begins=datetime(2027, 6, 1, tzinfo=UTC)).pem,
                "not valid before 2027-06-01",
            ),
        ],
    )
    def test_a_certificate_that_does_not_fit_the_request_is_not_registered(
        self,
        certificates: Certificates,
        signer: Signer,
        answer: Callable[[KeyAndCertificate, KeyAndCertificate], str],
        says: str,
    ) -> None:
        ca = new_ca()
        device = new_device(ca)
        signer.answer = lambda: answer(device, ca)
        with pytest.raises(InvalidRequestException, match=f"(?s)certificate provider step-ca returned.*{says}"):
            certificates.create_from_csr(HOME, new_request(device.key))
        assert certificates.list(HOME, Window(limit=1)).items == []

    def test_a_registered_certificate_of_a_provider_is_refused(
        self, certificates: Certificates, signer: Signer
    ) -> None:
        device = new_device(new_ca())
        signer.answer = lambda: device.pem
        certificates.create_from_csr(HOME, new_request(device.key))
        with pytest.raises(ResourceAlreadyExistsException, match=device.certificate_id):
            certificates.create_from_csr(HOME, new_request(device.key))

    @pytest.mark.parametrize(
        ("failure", "refusal"),
        [
            (CsrNotSigned("it is not configured"), InvalidRequestException),
            (CsrNotSigned("no answer in 5 s", is_permanent=False), ServiceUnavailableException),
        ],
    )
    def test_temporary_and_permanent_errors_of_a_provider_differ(
        self, certificates: Certificates, signer: Signer, failure: CsrNotSigned, refusal: type[AwsException]
    ) -> None:
        def fail() -> str:
            raise failure

        signer.answer = fail
        with pytest.raises(refusal, match=f"step-ca did not sign the request: {failure}"):
            certificates.create_from_csr(HOME, new_request(p256()))

    def test_an_invalid_request_does_not_reach_the_provider(self, certificates: Certificates, signer: Signer) -> None:
        with pytest.raises(InvalidRequestException, match="certificateSigningRequest: "):
            certificates.create_from_csr(HOME, "hello")
        assert signer.asked == []

    def test_the_store_can_be_written_to_during_the_call_of_a_provider(
        self, certificates: Certificates, signer: Signer, store: Store
    ) -> None:
        device = new_device(new_ca())

        def answer() -> str:
            with store.write() as tx:
                TagRows(tx).put(HOME, "arn:a", {"k": "v"})
            return device.pem

        signer.answer = answer
        certificates.create_from_csr(HOME, new_request(device.key))

    def test_without_a_signer_the_error_says_so(
        self, certificates: Certificates, store: Store, clock: SetClock, authority: IssuingAuthority
    ) -> None:
        del certificates
        alone = Certificates(store, clock, authority)
        with pytest.raises(InvalidRequestException, match="step-ca cannot be called"):
            alone.create_from_csr(HOME, new_request(p256()))
