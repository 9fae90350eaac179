"""Certificates, verification certificates and requests in odd encodings: what OpenSSL verifies is accepted.

Every operation has the same outcome, and every refusal has a message.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from sekisho.admission.rules import Admission, AdmissionRequest
from sekisho.ca_certificates.model import CACertificate
from sekisho.ca_certificates.rules import CACertificates
from sekisho.certificates.model import CertificateMode, CertificateStatus
from sekisho.certificates.rules import Certificates
from sekisho.errors import CertificateValidationException, InvalidRequestException
from sekisho.pki import der, pem
from sekisho.pki.certificate import X509Certificate
from sekisho.pki.issuing import IssuingAuthority
from sekisho.store.store import Store
from tests.der import A_CA, BMP, PRINTABLE, TELETEX, SigningKey, attribute, certificate, name, request, spki
from tests.odd_certificates import ODD, WEAK, Odd
from tests.stores import empty_store
from tests.unit.features.arrange import HOME, OTHER_ACCOUNT, SetClock
from tests.x509 import openssl, p256

RSA_CA = rsa.generate_private_key(65537, 2048)
EC_CA = p256()
CA_NAME = name(attribute(b"Odd CA"))


@dataclass
class World:
    store: Store
    certificates: Certificates
    cas: CACertificates

    def trust(self, ca: bytes) -> CACertificate:
        return self.cas.register(
            HOME,
            pem.write(pem.CERTIFICATE, ca),
            mode=CertificateMode.SNI_ONLY,
            set_as_active=True,
            allow_auto_registration=True,
        )


@pytest.fixture
def world(authority: IssuingAuthority) -> Iterator[World]:
    with empty_store() as store:
        clock = SetClock()
        yield World(store, Certificates(store, clock, authority), CACertificates(store, clock))


def a_ca(key: SigningKey, subject: bytes = CA_NAME) -> bytes:
    return certificate(key, subject, subject, spki(key), extensions=[A_CA])


@pytest.mark.parametrize(
    ("odd", "key"),
    [
        *(
            pytest.param(odd, key, id=f"{what}, {kind}")
            for what, odd in ODD.items()
            for kind, key in (("EC", EC_CA), ("RSA", RSA_CA))
        ),
        *(pytest.param(odd, RSA_CA, id=what) for what, odd in WEAK.items()),
    ],
)
def test_a_device_certificate_has_the_same_outcome_in_every_operation(
    world: World, tmp_path: Path, odd: Odd, key: SigningKey
) -> None:
    ca, made = a_ca(key), odd.make(key, CA_NAME, spki(p256()))
    text = pem.write(pem.CERTIFICATE, made)
    (tmp_path / "ca.pem").write_text(pem.write(pem.CERTIFICATE, ca))
    (tmp_path / "odd.pem").write_text(text)
    try:
        verified = "OK" in openssl("verify", "-CAfile", "ca.pem", "odd.pem", cwd=tmp_path)
    except subprocess.CalledProcessError:
        verified = False
    assert verified == odd.openssl

    world.trust(ca)
    asked = AdmissionRequest(HOME, hashlib.sha256(made).hexdigest(), made, [], "c")
    [answer] = Admission(world.store).answer([asked])
    if odd.refusal:
        for register in (world.certificates.register, world.certificates.register_without_ca):
            with pytest.raises(CertificateValidationException) as refused:
                register(HOME, text)
            assert odd.refusal in str(refused.value)
            # The message does not have the words of a parser.
            assert "ParseError" not in str(refused.value)
            assert str(refused.value).endswith(".")
        return
    assert isinstance(answer, CACertificate)
    registered = world.certificates.register(HOME, text, status=CertificateStatus.ACTIVE)
    assert registered.ca_certificate_id == answer.certificate_id
    assert registered.certificate_id == asked.certificate_id
    elsewhere = world.certificates.register_without_ca(OTHER_ACCOUNT, text)
    assert (elsewhere.not_before, elsewhere.not_after) == (registered.not_before, registered.not_after)
    assert world.certificates.describe(HOME, registered.certificate_id).certificate_pem == text


@pytest.mark.parametrize(
    "subject",
    [
        name(attribute(b"forge_ca", PRINTABLE)),
        name(attribute("Würfel CA".encode("latin-1"), TELETEX)),
        name(attribute("関所".encode("utf-16-be"), BMP), attribute(b"", PRINTABLE, "2.5.4.10")),
        name(),
    ],
    ids=["PrintableString with _", "TeletexString in Latin-1", "BMPString and an empty value", "empty"],
)
def test_a_ca_certificate_and_its_verification_certificate_may_have_any_name(world: World, subject: bytes) -> None:
    ca = a_ca(EC_CA, subject)
    code = world.cas.get_registration_code(HOME)
    proof = certificate(EC_CA, subject, name(attribute(code.encode(), PRINTABLE)), spki(p256()))
    registered = world.cas.register(
        HOME,
        pem.write(pem.CERTIFICATE, ca),
        verification_certificate_pem=pem.write(pem.CERTIFICATE, proof),
        set_as_active=True,
    )
    device = certificate(EC_CA, subject, name(attribute(b"d")), spki(p256()))
    kept = world.certificates.register(HOME, pem.write(pem.CERTIFICATE, device))
    assert kept.ca_certificate_id == registered.certificate_id


def test_a_ca_certificate_with_two_basic_constraints_is_refused(world: World) -> None:
    no_ca = der.sequence(der.object_identifier("2.5.29.19"), der.octet_string(der.sequence()))
    ca = certificate(EC_CA, CA_NAME, CA_NAME, spki(EC_CA), extensions=[A_CA, no_ca])
    with pytest.raises(CertificateValidationException, match="its basicConstraints extension is there twice"):
        world.trust(ca)


def test_a_version_1_ca_certificate_with_the_extension_is_accepted_as_openssl_accepts_it(world: World) -> None:
    ca = certificate(EC_CA, CA_NAME, CA_NAME, spki(EC_CA), version=b"", extensions=[A_CA])
    assert world.trust(ca).certificate_id == hashlib.sha256(ca).hexdigest()


@pytest.mark.parametrize(
    "subject",
    [
        name(attribute(b"sensor_02@plant*", PRINTABLE)),
        name(attribute("Gerät".encode("latin-1"), TELETEX), attribute(b"", PRINTABLE, "2.5.4.10")),
        name(attribute(b"x" * 300)),
        name(attribute(b"\xff\xfe")),
        name(),
    ],
    ids=["PrintableString with _", "TeletexString in Latin-1", "long", "not UTF-8", "empty"],
)
def test_the_certificate_has_the_subject_of_the_request_byte_for_byte(world: World, subject: bytes) -> None:
    key = p256()
    asked = pem.write(pem.CERTIFICATE_REQUEST, request(key, subject))
    issued = world.certificates.create_from_csr(HOME, asked, set_as_active=True)
    read = X509Certificate.from_pem(issued.certificate_pem)
    assert read.subject_name.der == subject
    assert read.key["spki"] == spki(key)


@pytest.mark.parametrize(("digest", "name_of_it"), [("sha1", None), ("sha224", None), ("md5", "md5WithRSAEncryption")])
def test_a_request_signed_with_sha1_is_accepted_and_its_certificate_signed_with_sha256(
    world: World, tmp_path: Path, digest: str, name_of_it: str | None
) -> None:
    openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "k", f"-{digest}", "-subj", "/CN=old", "-out",
            "r", cwd=tmp_path)  # fmt: skip
    asked = (tmp_path / "r").read_text()
    if name_of_it is not None:
        with pytest.raises(InvalidRequestException, match=rf"\(CN=old\) is signed with {name_of_it}; allowed are RSA"):
            world.certificates.create_from_csr(HOME, asked)
        return
    issued = world.certificates.create_from_csr(HOME, asked)
    signed_with = x509.load_pem_x509_certificate(issued.certificate_pem.encode()).signature_algorithm_oid
    assert signed_with == x509.SignatureAlgorithmOID.RSA_WITH_SHA256


def test_an_invalid_request_is_refused(world: World) -> None:
    broken = request(p256(), b"\x30\x05\x31\x03\x30\x01\x06")
    with pytest.raises(InvalidRequestException, match="signing request cannot be read: its subject breaks off"):
        world.certificates.create_from_csr(HOME, pem.write(pem.CERTIFICATE_REQUEST, broken))
