"""Requirements for CA and device certificates, and who signed a certificate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import ExtensionOID

from sekisho.pki import verify
from sekisho.pki.certificate import X509Certificate
from sekisho.pki.pem import PemError
from sekisho.pki.verify import NotACA, NotAcceptable
from tests.x509 import BEGINS, ENDS, KeyAndCertificate, named, new_ca, new_device, openssl, p256, signed_by_openssl, v1

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def read(issued: KeyAndCertificate) -> X509Certificate:
    return X509Certificate.from_pem(issued.pem)


@pytest.fixture(scope="module")
def ca() -> KeyAndCertificate:
    return new_ca()


def test_the_facts_of_a_certificate_are_read(ca: KeyAndCertificate) -> None:
    certificate = read(new_device(ca, "関所"))
    assert certificate.certificate_id == certificate.parsed.fingerprint(SHA256()).hex()
    assert (certificate.subject_text, certificate.issuer_text) == ("CN=関所", "CN=MyCA")
    assert certificate.common_names == ["関所"]
    assert (certificate.version, certificate.is_ca, certificate.authority_key_identifier) == (3, None, None)
    assert (certificate.not_before, certificate.not_after) == (BEGINS, ENDS)
    assert read(ca).is_ca is True
    assert read(ca).subject_key_identifier is not None


def test_the_id_is_the_sha256_fingerprint_of_openssl(ca: KeyAndCertificate, tmp_path: Path) -> None:
    certificate = X509Certificate.from_pem(signed_by_openssl(tmp_path, ca))
    printed = openssl("x509", "-in", "d.crt", "-noout", "-fingerprint", "-sha256", cwd=tmp_path)
    assert certificate.certificate_id == printed.strip().split("=")[1].replace(":", "").lower()


def test_version_1_is_read_and_its_signature_verified(ca: KeyAndCertificate) -> None:
    certificate = X509Certificate.from_pem(v1(new_device(ca), ca))
    assert (certificate.version, certificate.is_ca, certificate.subject_key_identifier) == (1, None, None)
    assert verify.is_issued_by(certificate, read(ca))
    verify.check_device_certificate(certificate, NOW)


def test_a_certificate_signed_by_openssl_is_verified(ca: KeyAndCertificate, tmp_path: Path) -> None:
    certificate = X509Certificate.from_pem(signed_by_openssl(tmp_path, ca))
    assert verify.is_issued_by(certificate, read(ca))
    verify.check_device_certificate(certificate, datetime.now(UTC) + timedelta(seconds=1))


@pytest.mark.parametrize(
    "key", [p256(), ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP521R1())]
)
def test_an_ec_ca_differs_from_another_of_the_same_name(key: ec.EllipticCurvePrivateKey) -> None:
    mine, namesake = new_ca(key=key, digest=SHA384()), new_ca()
    device = read(new_device(mine, digest=SHA512()))
    assert verify.is_issued_by(device, read(mine))
    assert not verify.is_issued_by(device, read(namesake))


def test_an_rsa_ca_signs_with_pkcs1_and_with_pss(tmp_path: Path) -> None:
    mine = new_ca(key=rsa.generate_private_key(65537, 2048))
    namesake = new_ca(key=rsa.generate_private_key(65537, 2048))
    for options in ([], ["-sigopt", "rsa_padding_mode:pss"]):
        device = X509Certificate.from_pem(signed_by_openssl(tmp_path, mine, "-sha256", *options))
        assert verify.is_issued_by(device, read(mine))
        assert not verify.is_issued_by(device, read(namesake))
        assert not verify.is_issued_by(device, read(new_ca()))
        verify.check_device_certificate(device, datetime.now(UTC) + timedelta(seconds=1))


def test_an_issuer_must_have_both_the_key_and_the_name(ca: KeyAndCertificate) -> None:
    same_key = new_ca("OtherName", key=ca.key)
    device = read(new_device(ca))
    assert verify.is_signed_by(device, read(same_key))
    assert not verify.is_issued_by(device, read(same_key))


def test_an_issuer_in_another_kind_of_string_is_the_same(ca: KeyAndCertificate) -> None:
    attribute = x509.NameAttribute(x509.NameOID.COMMON_NAME, "MyCA", _ASN1Type.PrintableString)
    device = new_device(ca, issuer_name=x509.Name([attribute]))
    assert device.certificate.issuer.public_bytes() != ca.certificate.subject.public_bytes()
    assert verify.is_issued_by(read(device), read(ca))


def test_self_signed_means_signed_by_its_own_key(ca: KeyAndCertificate) -> None:
    assert verify.is_self_signed(read(ca))
    assert not verify.is_self_signed(read(new_device(ca)))
    # Its subject is its issuer's name, and its key is another.
    assert not verify.is_self_signed(read(new_device(ca, "MyCA")))


def test_a_plain_openssl_ca_is_accepted_without_key_usage(ca: KeyAndCertificate) -> None:
    verify.check_ca(read(ca), NOW)


def test_an_intermediate_is_accepted_by_itself(ca: KeyAndCertificate) -> None:
    verify.check_ca(read(new_ca("Intermediate", issuer=ca)), NOW)


@pytest.mark.parametrize("spoilt", ["v1", "no extension", "CA:FALSE"])
def test_a_ca_without_basic_constraints_is_refused_with_the_text_of_aws(spoilt: str) -> None:
    end_entity = x509.BasicConstraints(ca=False, path_length=None)
    if spoilt == "v1":
        plain = new_device(None, "MyCA")
        certificate, found = X509Certificate.from_pem(v1(plain, plain)), "version 1"
    elif spoilt == "no extension":
        certificate, found = read(new_ca(basic_constraints=None)), "It has no basicConstraints extension"
    else:
        certificate, found = read(new_ca(basic_constraints=end_entity)), "CA:FALSE"
    with pytest.raises(NotACA) as refusal:
        verify.check_ca(certificate, NOW)
    message = str(refusal.value)
    assert message.startswith("The CA certificate does not have the basicConstraints extension as true")
    assert found in message
    assert "openssl req -x509" in message


@pytest.mark.parametrize(
    ("key", "described"),
    [
        (
            rsa.generate_private_key(65537, 1024),  # noqa: S505
            "an RSA key of 1024 bits",
        ),
        (ed25519.Ed25519PrivateKey.generate(), "a key of the kind Ed25519"),
        (ec.generate_private_key(ec.SECP256K1()), "an EC key on the curve secp256k1"),
        (ec.generate_private_key(ec.SECP224R1()), "an EC key on the curve secp224r1"),
        (ec.generate_private_key(ec.BrainpoolP256R1()), "an EC key on the curve brainpoolP256r1"),
    ],
    ids=["RSA-1024", "Ed25519", "secp256k1", "P-224", "brainpool"],
)
def test_a_weak_or_unknown_key_is_refused_by_name(
    ca: KeyAndCertificate,
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey,
    described: str,
) -> None:
    with pytest.raises(
        NotAcceptable, match=f"The certificate has {described}; allowed are RSA of 2048 bits and more, P-256"
    ):
        verify.check_device_certificate(read(new_device(ca, key=key)), NOW)
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else SHA384()
    with pytest.raises(NotAcceptable, match=f"The CA certificate has {described}"):
        verify.check_ca(read(new_ca(key=key, digest=digest)), NOW)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_the_nist_curves_are_accepted(ca: KeyAndCertificate, curve: ec.EllipticCurve) -> None:
    verify.check_device_certificate(read(new_device(ca, key=ec.generate_private_key(curve))), NOW)


def test_a_curve_with_explicit_parameters_is_refused(tmp_path: Path) -> None:
    openssl("ecparam", "-name", "prime256v1", "-param_enc", "explicit", "-genkey", "-out", "x.key", cwd=tmp_path)
    openssl("req", "-x509", "-key", "x.key", "-subj", "/CN=x", "-out", "x.crt", cwd=tmp_path)
    certificate = X509Certificate.from_pem((tmp_path / "x.crt").read_text())
    with pytest.raises(NotAcceptable, match="needs a named curve"):
        verify.check_device_certificate(certificate, datetime.now(UTC) + timedelta(seconds=1))


def test_weak_signatures_are_refused_by_name(tmp_path: Path) -> None:
    mine = new_ca(key=rsa.generate_private_key(65537, 2048))
    certificate = X509Certificate.from_pem(signed_by_openssl(tmp_path, mine, "-sha1"))
    with pytest.raises(NotAcceptable, match="is signed with sha1WithRSAEncryption; allowed are RSA"):
        verify.check_device_certificate(certificate, datetime.now(UTC) + timedelta(seconds=1))
    pss = X509Certificate.from_pem(signed_by_openssl(tmp_path, mine, "-sha1", "-sigopt", "rsa_padding_mode:pss"))
    with pytest.raises(NotAcceptable, match="is signed with rsassaPss and sha1"):
        verify.check_device_certificate(pss, datetime.now(UTC) + timedelta(seconds=1))
    by_ed25519 = new_device(new_ca(key=ed25519.Ed25519PrivateKey.generate(), digest=None), digest=None)
    with pytest.raises(NotAcceptable, match="is signed with ed25519"):
        verify.check_device_certificate(read(by_ed25519), NOW)


def test_validity_is_compared_with_the_given_clock(ca: KeyAndCertificate) -> None:
    device = read(new_device(ca, begins=NOW, ends=NOW + timedelta(days=1)))
    verify.check_device_certificate(device, NOW)
    verify.check_device_certificate(device, NOW + timedelta(days=1))
    with pytest.raises(NotAcceptable, match=r"not valid before 2026-01-02T03:04:05Z.*clock says 2026-01-02T03:04:04Z"):
        verify.check_device_certificate(device, NOW - timedelta(seconds=1))
    with pytest.raises(NotAcceptable, match="The certificate expired on 2026-01-03T03:04:05Z"):
        verify.check_device_certificate(device, NOW + timedelta(days=1, seconds=1))
    with pytest.raises(NotAcceptable, match="The CA certificate expired"):
        verify.check_ca(read(ca), ENDS + timedelta(seconds=1))


def test_unreadable_extensions_are_reported() -> None:
    broken = x509.UnrecognizedExtension(ExtensionOID.BASIC_CONSTRAINTS, b"\x30\x03\x01\x01")
    builder = (
        x509.CertificateBuilder()
        .subject_name(named("x"))
        .issuer_name(named("x"))
        .public_key(p256().public_key())
        .serial_number(1)
        .not_valid_before(BEGINS)
        .not_valid_after(ENDS)
        .add_extension(broken, critical=True)
    )
    certificate = read(KeyAndCertificate(builder.sign(p256(), SHA384()), p256()))
    with pytest.raises(PemError, match="extensions cannot be read"):
        _ = certificate.is_ca
    with pytest.raises(NotAcceptable, match="extensions cannot be read"):
        verify.check_ca(certificate, NOW)
