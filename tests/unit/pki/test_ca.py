"""A CA made here, and the devices that it signs; checked by openssl."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from sekisho.pki import ca, issue, keys, verify
from sekisho.pki.certificate import X509Certificate
from sekisho.pki.keys import KeyType
from sekisho.pki.pem import PemError
from sekisho.pki.verify import NotACA, NotAcceptable
from tests.x509 import new_ca, new_device, new_request, openssl, p256

NOW = datetime.now(UTC)
YEAR = timedelta(days=365)


@pytest.fixture(scope="module")
def authority() -> ca.CertificateAuthority:
    return ca.create("My CA", KeyType.P_256, now=NOW, lifetime=10 * YEAR)


@pytest.mark.parametrize(
    ("of_ca", "of_device"),
    [
        (KeyType.RSA_2048, KeyType.RSA_3072),
        (KeyType.RSA_3072, KeyType.P_256),
        (KeyType.RSA_4096, KeyType.P_384),
        (KeyType.P_256, KeyType.RSA_4096),
        (KeyType.P_384, KeyType.P_521),
        (KeyType.P_521, KeyType.RSA_2048),
    ],
)
def test_every_kind_of_key_is_accepted_by_openssl_and_aws_iot(
    of_ca: KeyType, of_device: KeyType, tmp_path: Path
) -> None:
    made = ca.create("My CA", of_ca, now=NOW, lifetime=10 * YEAR)
    device = made.new_device("pump-1", of_device, now=NOW, lifetime=YEAR)
    (tmp_path / "ca.crt").write_text(made.certificate_pem)
    (tmp_path / "ca.key").write_text(made.key_pem)
    (tmp_path / "d.crt").write_text(device.certificate_pem)
    (tmp_path / "d.csr").write_text(device.request_pem)
    (tmp_path / "d.key").write_text(device.private_key_pem)

    assert "OK" in openssl(
        "verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", "ca.crt", "d.crt", cwd=tmp_path
    )
    public = openssl("pkey", "-in", "d.key", "-pubout", cwd=tmp_path)
    assert openssl("x509", "-in", "d.crt", "-noout", "-pubkey", cwd=tmp_path) == public
    assert openssl("req", "-in", "d.csr", "-noout", "-pubkey", "-verify", cwd=tmp_path) == public
    assert "CN = pump-1" in openssl("x509", "-in", "d.crt", "-noout", "-subject", "-nameopt", "space_eq", cwd=tmp_path)
    verify.check_ca(made.certificate, NOW)
    verify.check_device_certificate(X509Certificate.from_pem(device.certificate_pem), NOW)
    assert ca.load(made.certificate_pem, made.key_pem).certificate_id == made.certificate_id


def test_a_device_certificate_has_the_usages_of_a_client(authority: ca.CertificateAuthority) -> None:
    device = authority.new_device("pump-1", KeyType.RSA_2048, now=NOW, lifetime=YEAR)
    extensions = X509Certificate.from_pem(device.certificate_pem).parsed.extensions
    constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca) == (True, False)
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert (usage.value.digital_signature, usage.value.key_encipherment, usage.value.key_cert_sign) == (
        True,
        True,
        False,
    )
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    own = authority.certificate.parsed.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == own


def test_an_ec_device_has_no_key_encipherment(authority: ca.CertificateAuthority) -> None:
    device = authority.new_device("pump-1", KeyType.P_256, now=NOW, lifetime=YEAR)
    usage = X509Certificate.from_pem(device.certificate_pem).parsed.extensions.get_extension_for_class(x509.KeyUsage)
    assert not usage.value.key_encipherment


def test_a_certificate_is_valid_from_a_little_before_now(authority: ca.CertificateAuthority) -> None:
    certificate = X509Certificate.from_pem(
        authority.new_device("pump-1", KeyType.P_256, now=NOW, lifetime=YEAR).certificate_pem
    )
    assert certificate.not_before == (NOW - timedelta(minutes=2)).replace(microsecond=0)
    assert certificate.not_after == (NOW + YEAR).replace(microsecond=0)


def test_a_request_made_by_openssl_is_signed_with_its_subject(
    authority: ca.CertificateAuthority, tmp_path: Path
) -> None:
    openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "d.key", "-subj", "/O=Works/CN=pump 2", "-out",
            "d.csr", cwd=tmp_path)  # fmt: skip
    certificate = authority.sign((tmp_path / "d.csr").read_text(), now=NOW, lifetime=YEAR)
    assert certificate.subject_text == "CN=pump 2,O=Works"
    assert verify.is_issued_by(certificate, authority.certificate)
    key = keys.load((tmp_path / "d.key").read_text())
    assert keys.fits(key, certificate.public_key)


def test_a_ca_without_key_identifier_still_signs() -> None:
    issued = new_device(None, "x")
    assert isinstance(issued.key, ec.EllipticCurvePrivateKey)
    signer = issue.Signer.of(X509Certificate.from_der(issued.der), issued.key)
    certificate = issue.sign_device(
        signer, issue.common_name("d"), issued.key.public_key(), not_before=NOW, not_after=NOW + YEAR
    )
    assert certificate.authority_key_identifier is not None


def test_private_keys_are_in_no_representation(authority: ca.CertificateAuthority) -> None:
    device = authority.new_device("pump-1", KeyType.P_256, now=NOW, lifetime=YEAR)
    for each in (repr(device), repr(authority), repr(authority.signer)):
        assert "PRIVATE" not in each
        assert "private" not in each
        assert "PrivateKey" not in each


@pytest.mark.parametrize("name", ["", "x" * 65, "関" * 22])
def test_a_name_that_does_not_fit_is_refused(authority: ca.CertificateAuthority, name: str) -> None:
    with pytest.raises(ValueError, match="A common name has 1 to 64 bytes"):
        authority.new_device(name, KeyType.P_256, now=NOW, lifetime=YEAR)


def test_files_that_do_not_belong_together_are_refused(authority: ca.CertificateAuthority) -> None:
    other = ca.create("Other", KeyType.P_256, now=NOW, lifetime=YEAR)
    device = authority.new_device("pump-1", KeyType.P_256, now=NOW, lifetime=YEAR)
    with pytest.raises(PemError, match=r"does not belong to the certificate of CN=My CA"):
        ca.load(authority.certificate_pem, other.key_pem)
    with pytest.raises(NotACA, match="CA:FALSE"):
        ca.load(device.certificate_pem, device.private_key_pem)
    with pytest.raises(PemError, match="The CA's private key is wanted here, and the text is a certificate"):
        ca.load(authority.certificate_pem, authority.certificate_pem)
    with pytest.raises(PemError, match="contains a private key"):
        ca.load(authority.key_pem, authority.key_pem)


def test_unusable_keys_are_refused_and_never_repeated(tmp_path: Path) -> None:
    (tmp_path / "k").write_text(keys.to_pem(keys.generate(KeyType.P_256)))
    locked = openssl("pkey", "-in", "k", "-aes256", "-passout", "pass:secret", cwd=tmp_path)
    with pytest.raises(PemError, match="protected by a password") as refusal:
        keys.load(locked)
    assert locked.splitlines()[1] not in str(refusal.value)
    ed = new_ca(key=ed25519.Ed25519PrivateKey.generate(), digest=None)
    with pytest.raises(PemError, match="neither RSA nor EC"):
        keys.load(ed.key_pem)
    with pytest.raises(PemError, match="not an unencrypted private key in PEM"):
        keys.load("hello")


def test_keys_are_written_as_openssl_writes_them() -> None:
    key = keys.generate(KeyType.RSA_2048)
    assert keys.to_pem(key).startswith("-----BEGIN PRIVATE KEY-----\n")
    assert keys.to_traditional_pem(key).startswith("-----BEGIN RSA PRIVATE KEY-----\n")
    assert isinstance(key, rsa.RSAPrivateKey)
    assert keys.public_pem(key.public_key()).startswith("-----BEGIN PUBLIC KEY-----\n")
    assert load_pem_private_key(keys.to_traditional_pem(key).encode(), None) is not None


def test_requests_that_cannot_be_signed_are_refused() -> None:
    good = new_request(p256())
    lines = good.splitlines()
    tampered = "\n".join([lines[0], lines[1][:40] + ("A" if lines[1][40] != "A" else "B") + lines[1][41:], *lines[2:]])
    with pytest.raises((PemError, NotAcceptable)):
        issue.read_request(tampered)
    other = new_request(p256(), "OtherDevice")
    with pytest.raises(NotAcceptable, match="not signed by the key it contains"):
        issue.read_request(_with_the_signature_of(good, other))
    weak = new_request(rsa.generate_private_key(65537, 1024))  # noqa: S505
    with pytest.raises(NotAcceptable, match=r"\(CN=MyDevice\) has an RSA key of 1024 bits"):
        issue.read_request(weak)
    with pytest.raises(NotAcceptable, match="a key of the kind Ed25519"):
        issue.read_request(new_request(ed25519.Ed25519PrivateKey.generate()))
    certificate = new_device(new_ca()).pem.replace("CERTIFICATE", "CERTIFICATE REQUEST")
    with pytest.raises(PemError, match="labelled CERTIFICATE REQUEST and contains a certificate"):
        issue.read_request(certificate)
    with pytest.raises(PemError, match="cannot be read"):
        issue.read_request("-----BEGIN CERTIFICATE REQUEST-----\nMAMCAQE=\n-----END CERTIFICATE REQUEST-----")


def _with_the_signature_of(one: str, other: str) -> str:
    """Return ``one`` with another signature: well-formed, and not valid."""
    from sekisho.pki import pem

    first, second = (x509.load_pem_x509_csr(text.encode()) for text in (one, other))
    signature = bytes(second.signature)[: len(first.signature)].ljust(len(first.signature), b"\0")
    der = pem.read_certificate_request(one).replace(first.signature, signature)
    return pem.write(pem.CERTIFICATE_REQUEST, der)
