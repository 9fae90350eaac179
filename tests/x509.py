"""Makes certificates, valid and invalid, with ``cryptography`` and with the openssl command line."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.tools import require

BEGINS: Final = datetime(2025, 1, 1, tzinfo=UTC)
ENDS: Final = datetime(2045, 1, 1, tzinfo=UTC)

A_CA: Final = x509.BasicConstraints(ca=True, path_length=None)
A_DIGEST: Final = SHA256()

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True)
class KeyAndCertificate:
    """A certificate with its private key."""

    certificate: x509.Certificate
    key: Key

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def key_pem(self) -> str:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    @property
    def certificate_id(self) -> str:
        return self.certificate.fingerprint(SHA256()).hex()


def named(common_name: str) -> x509.Name:
    """Return a name of one CN."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def p256() -> ec.EllipticCurvePrivateKey:
    """Generate a key, in less than a millisecond."""
    return ec.generate_private_key(ec.SECP256R1())


def new_ca(
    name: str | x509.Name = "MyCA",
    *,
    key: Key | None = None,
    issuer: KeyAndCertificate | None = None,
    basic_constraints: x509.BasicConstraints | None = A_CA,
    begins: datetime = BEGINS,
    ends: datetime = ENDS,
    digest: HashAlgorithm | None = A_DIGEST,
) -> KeyAndCertificate:
    """Make a CA as ``openssl req -x509`` does, or an invalid one as the arguments say."""
    key = key or p256()
    subject = named(name) if isinstance(name, str) else name
    extensions: list[tuple[Any, bool]] = [(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)]
    if basic_constraints is not None:
        extensions.append((basic_constraints, True))
    signer = issuer or KeyAndCertificate(None, key)  # type: ignore[arg-type]
    return _signed(subject, key, signer, subject if issuer is None else None, extensions, begins, ends, digest)


def new_device(
    ca: KeyAndCertificate | None,
    name: str = "MyDevice",
    *,
    key: Key | None = None,
    issuer_name: x509.Name | None = None,
    begins: datetime = BEGINS,
    ends: datetime = ENDS,
    digest: HashAlgorithm | None = A_DIGEST,
    extensions: Sequence[x509.ExtensionType] = (),
) -> KeyAndCertificate:
    """Make a v3 device certificate, by default without extensions; self-signed where there is no CA."""
    key = key or p256()
    subject = named(name)
    uncritical = [(extension, False) for extension in extensions]
    if ca is None:
        return _signed(subject, key, KeyAndCertificate(None, key), subject, uncritical, begins, ends, digest)  # type: ignore[arg-type]
    return _signed(subject, key, ca, issuer_name, uncritical, begins, ends, digest)


def new_request(key: Key, name: str = "MyDevice") -> str:
    """Make a certificate signing request."""
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else SHA256()
    request = x509.CertificateSigningRequestBuilder(named(name)).sign(key, digest)
    return request.public_bytes(Encoding.PEM).decode()


def _signed(
    subject: x509.Name,
    key: Key,
    signer: KeyAndCertificate,
    issuer_name: x509.Name | None,
    extensions: Sequence[tuple[Any, bool]],
    begins: datetime,
    ends: datetime,
    digest: HashAlgorithm | None,
) -> KeyAndCertificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer_name or signer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return KeyAndCertificate(builder.sign(signer.key, digest), key)  # type: ignore[arg-type]


def openssl(*arguments: str | Path, cwd: Path) -> str:
    """Run openssl in a folder and return its standard output."""
    command = [require("openssl"), *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True, errors="replace", cwd=cwd).stdout


def v1(issued: KeyAndCertificate, signer: KeyAndCertificate) -> str:
    """Return the PEM of the same certificate as X.509 v1, signed again by ``signer``, whose key is EC.

    ``openssl x509 -req`` writes v1 up to 3.1 and v3 from 3.2 on, so it cannot make one everywhere. The certificate must
    have no extensions.
    """
    assert not list(issued.certificate.extensions)
    assert isinstance(signer.key, ec.EllipticCurvePrivateKey)
    to_be_signed = issued.certificate.tbs_certificate_bytes
    version = bytes.fromhex("a003020102")
    body = _content(to_be_signed)
    assert body.startswith(version)
    to_be_signed = _sequence(body.removeprefix(version))
    algorithm = _sequence(bytes.fromhex("06082a8648ce3d040302"))  # ecdsa-with-SHA256
    signature = signer.key.sign(to_be_signed, ec.ECDSA(SHA256()))
    der = _sequence(to_be_signed + algorithm + _tagged(0x03, b"\0" + signature))
    read = x509.load_der_x509_certificate(der)
    assert read.version is x509.Version.v1
    return read.public_bytes(Encoding.PEM).decode()


def signed_by_openssl(folder: Path, ca: KeyAndCertificate, *options: str, name: str = "MyDevice") -> str:
    """Return the PEM of a device certificate as ``openssl x509 -req`` makes it: v1 up to OpenSSL 3.1."""
    (folder / "ca.crt").write_text(ca.pem)
    (folder / "ca.key").write_text(ca.key_pem)
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "d.key", cwd=folder)
    openssl("req", "-new", "-key", "d.key", "-subj", f"/CN={name}", "-out", "d.csr", cwd=folder)
    openssl(
        "x509", "-req", "-in", "d.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "500",
        "-out", "d.crt", *options, cwd=folder,
    )  # fmt: skip
    return (folder / "d.crt").read_text()


def _content(der: bytes) -> bytes:
    size = 2 + (der[1] & 0x7F if der[1] & 0x80 else 0)
    return der[size:]


def _sequence(content: bytes) -> bytes:
    return _tagged(0x30, content)


def _tagged(tag: int, content: bytes) -> bytes:
    if len(content) < 0x80:
        return bytes([tag, len(content)]) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def around_now() -> tuple[datetime, datetime]:
    """Return a validity that includes the present time."""
    now = datetime.now(UTC)
    return now - timedelta(days=1), now + timedelta(days=365)
