"""Making and signing certificates and certificate signing requests.

What is signed for a device is X.509 v3 with the extensions that RFC 5280 asks of an end entity: basicConstraints
CA:FALSE and keyUsage (critical), extendedKeyUsage clientAuth, and both key identifiers. AWS IoT asks for none of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sekisho.pki import keys, names, pem, verify
from sekisho.pki.certificate import X509Certificate
from sekisho.pki.keys import KeyType, PrivateKey, PublicKey
from sekisho.pki.pem import PemError

BACKDATED: Final = timedelta(minutes=2)
"""How long before now a certificate begins, for clocks that are behind; AWS IoT does the same."""

MAX_COMMON_NAME: Final = 64
"""Characters of a common name (RFC 5280, appendix A.1, ub-common-name)."""


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signs: a name, a key, and the extension by which the signed points to it."""

    name: x509.Name
    key: PrivateKey = field(repr=False)
    identifier: x509.AuthorityKeyIdentifier

    @classmethod
    def of(cls, certificate: x509.Certificate, key: PrivateKey) -> Signer:
        """The signer whose certificate this is."""
        try:
            own = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
            identifier = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)
        except x509.ExtensionNotFound:
            identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
        return cls(certificate.subject, key, identifier)


@dataclass(frozen=True, slots=True)
class SigningRequest:
    """A certificate signing request whose signature and key have been looked at."""

    subject: x509.Name
    public_key: PublicKey


@dataclass(frozen=True, slots=True)
class Device:
    """A device's papers."""

    private_key_pem: str = field(repr=False)
    request_pem: str
    certificate_pem: str
    certificate_id: str


def common_name(text: str) -> x509.Name:
    """A name of one CN. Raises ValueError where it is empty or longer than 64 bytes of UTF-8."""
    if not 1 <= len(text.encode()) <= MAX_COMMON_NAME:
        raise ValueError(f"A common name has 1 to {MAX_COMMON_NAME} bytes; {text[:80]!r} has {len(text.encode())}.")
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def make_request(key: PrivateKey, subject: x509.Name) -> str:
    """A certificate signing request (PKCS #10) in PEM."""
    request = x509.CertificateSigningRequestBuilder(subject).sign(key, keys.signing_digest(key))
    return request.public_bytes(Encoding.PEM).decode()


def read_request(text: str) -> SigningRequest:
    """The certificate signing request in ``text``.

    Raises:
        PemError: There is none, or it cannot be read.
        NotAcceptable: Its signature is not by its own key, or the key is weak or of a kind that AWS IoT does not take.
    """
    der = pem.read_certificate_request(text)
    try:
        request = x509.load_der_x509_csr(der)
        subject, public_key, is_valid = request.subject, request.public_key(), request.is_signature_valid
    except pem.UNREADABLE:
        found = pem.misnamed(der)
        raise PemError(
            "The certificate signing request cannot be read."
            if found is None
            else f"The text is labelled CERTIFICATE REQUEST and contains {found}."
        ) from None
    whose = f"The certificate signing request ({names.shown(subject)})"
    verify.check_key(public_key, whose)
    if not is_valid:
        raise verify.NotAcceptable(f"{whose} is not signed by the key it contains; it was damaged or put together.")
    if not isinstance(public_key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        raise verify.NotAcceptable(f"{whose} has {verify.describe_key(public_key)}.")
    return SigningRequest(subject, public_key)


def sign_device(
    signer: Signer, subject: x509.Name, public_key: PublicKey, *, not_before: datetime, not_after: datetime
) -> X509Certificate:
    """A device's certificate."""
    builder = (
        _builder(subject, public_key, signer, not_before=not_before, not_after=not_after)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(public_key), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(signer.identifier, critical=False)
    )
    return signed(builder, signer.key)


def sign_server(
    signer: Signer,
    subject: x509.Name,
    public_key: PublicKey,
    *,
    alternative_names: Iterable[x509.GeneralName],
    not_before: datetime,
    not_after: datetime,
) -> X509Certificate:
    """A server's certificate. Clients look at the alternative names and not at the subject (RFC 9525)."""
    builder = (
        _builder(subject, public_key, signer, not_before=not_before, not_after=not_after)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(public_key), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(alternative_names), critical=False)
        .add_extension(signer.identifier, critical=False)
    )
    return signed(builder, signer.key)


def sign_ca(
    signer: Signer | None,
    subject: x509.Name,
    key: PrivateKey,
    *,
    path_length: int | None,
    not_before: datetime,
    not_after: datetime,
) -> X509Certificate:
    """A CA's certificate; ``signer`` None signs itself. ``path_length``: CAs that may follow below, None for any."""
    public_key = key.public_key()
    own = signer or Signer(subject, key, x509.AuthorityKeyIdentifier.from_issuer_public_key(public_key))
    builder = (
        _builder(subject, public_key, own, not_before=not_before, not_after=not_after)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_CA_KEY_USAGE, critical=True)
        .add_extension(own.identifier, critical=False)
    )
    return signed(builder, own.key)


def new_device(signer: Signer, name: str, key_type: KeyType, *, not_before: datetime, not_after: datetime) -> Device:
    """A device's key, its request, and the certificate signed for it. Raises ValueError as ``common_name``."""
    subject = common_name(name)
    key = keys.generate(key_type)
    certificate = sign_device(signer, subject, key.public_key(), not_before=not_before, not_after=not_after)
    return Device(keys.to_pem(key), make_request(key, subject), certificate.pem, certificate.certificate_id)


def new_devices(
    signer: Signer, devices: Iterable[str], key_type: KeyType, *, not_before: datetime, not_after: datetime
) -> Iterator[Device]:
    """As ``new_device`` for each name, one at a time as they are taken."""
    for name in devices:
        yield new_device(signer, name, key_type, not_before=not_before, not_after=not_after)


def key_usage(key: PublicKey) -> x509.KeyUsage:
    """digitalSignature; and keyEncipherment for RSA, which TLS 1.2 peers may ask for."""
    return _usage(digital_signature=True, key_encipherment=isinstance(key, rsa.RSAPublicKey))


def signed(builder: x509.CertificateBuilder, key: PrivateKey) -> X509Certificate:
    """The finished certificate."""
    return X509Certificate.from_der(builder.sign(key, keys.signing_digest(key)).public_bytes(Encoding.DER))


def _builder(
    subject: x509.Name, public_key: PublicKey, signer: Signer, *, not_before: datetime, not_after: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer.name)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _usage(
    *,
    digital_signature: bool = False,
    key_encipherment: bool = False,
    key_cert_sign: bool = False,
    crl_sign: bool = False,
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=key_encipherment,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


_CA_KEY_USAGE: Final = _usage(digital_signature=True, key_cert_sign=True, crl_sign=True)
