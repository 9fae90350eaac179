"""Makes and signs certificates and certificate signing requests.

A device certificate is X.509 v3 with the extensions that RFC 5280 requires of an end entity: basicConstraints CA:FALSE
and keyUsage (critical), extendedKeyUsage clientAuth, and both key identifiers. AWS IoT requires none of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sekisho.pki import der, keys, names, pem, reader, verify
from sekisho.pki.certificate import X509Certificate, loaded
from sekisho.pki.keys import KeyType, PrivateKey, PublicKey
from sekisho.pki.names import Name
from sekisho.pki.pem import PemError

BACKDATED: Final = timedelta(minutes=2)
"""notBefore is this much earlier than now, for clients whose clock is slow; AWS IoT does the same."""

MAX_COMMON_NAME: Final = 64
"""Characters of a common name (RFC 5280, appendix A.1, ub-common-name)."""


_REQUEST_SCHEMES: Final = frozenset({"rsa-pkcs1", "rsa-pss", "ecdsa"})
_REQUEST_DIGESTS: Final = frozenset({"sha1", "sha224", "sha256", "sha384", "sha512"})
"""Digests that a certificate signing request may be signed with. The signature only proves possession of the key, so
AWS IoT accepts SHA-1 (aws-amplify/aws-sdk-ios#3345). The certificate is signed with SHA-256 or better."""

Extension = tuple[x509.ExtensionType, bool]
"""An extension, and whether it is critical."""


@dataclass(frozen=True, slots=True)
class Signer:
    """What signs a certificate: a name, a key, and the AuthorityKeyIdentifier of the signed certificates."""

    name: bytes
    """The subject of the signer's certificate, DER."""
    key: PrivateKey = field(repr=False)
    identifier: x509.AuthorityKeyIdentifier

    @classmethod
    def of(cls, certificate: X509Certificate, key: PrivateKey) -> Signer:
        """Make the signer of a CA certificate and its key."""
        own = certificate.subject_key_identifier
        identifier = (
            x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
            if own is None
            else x509.AuthorityKeyIdentifier(bytes.fromhex(own), None, None)
        )
        return cls(certificate.subject_name.der, key, identifier)


@dataclass(frozen=True, slots=True)
class SigningRequest:
    """A certificate signing request whose signature and key were checked."""

    subject: Name
    spki: bytes
    """SubjectPublicKeyInfo, DER."""


@dataclass(frozen=True, slots=True)
class Device:
    """The key, certificate signing request and certificate of a device."""

    private_key_pem: str = field(repr=False)
    request_pem: str
    certificate_pem: str
    certificate_id: str


def common_name(text: str) -> bytes:
    """Encode a name with one CN in DER. Raises ValueError where it is empty or longer than 64 bytes of UTF-8."""
    if not 1 <= len(text.encode()) <= MAX_COMMON_NAME:
        raise ValueError(f"A common name has 1 to {MAX_COMMON_NAME} bytes; {text[:80]!r} has {len(text.encode())}.")
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]).public_bytes()


def make_request(key: PrivateKey, common_name: str) -> str:
    """Make a certificate signing request (PKCS #10) in PEM. Raises ValueError as ``common_name``."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    request = x509.CertificateSigningRequestBuilder(subject).sign(key, keys.signing_digest(key))
    return request.public_bytes(Encoding.PEM).decode()


def read_request(text: str) -> SigningRequest:
    """Read and check the certificate signing request in ``text``.

    Raises:
        PemError: ``text`` has none, or it cannot be read.
        NotAcceptable: Another key made its signature, or the digest is weak; or the gateway cannot verify a client with
            its key.
    """
    read = pem.read_certificate_request(text)
    try:
        request = reader.read_request(read)
    except reader.Unreadable as error:
        found = pem.misnamed(read)
        raise PemError(
            f"The certificate signing request cannot be read: {error}."
            if found is None
            else f"The text is labelled CERTIFICATE REQUEST and contains {found}."
        ) from None
    subject, signature, spki = Name(**request["subject"]), request["signature"], request["key"]["spki"]
    whose = f"The certificate signing request ({names.shown(subject)})"
    verify.check_client_key(request["key"], whose)
    if signature["scheme"] not in _REQUEST_SCHEMES or signature["hash"] not in _REQUEST_DIGESTS:
        raise verify.NotAcceptable(
            f"{whose} is signed with {verify.describe_signature(signature)}; allowed are RSA and ECDSA with SHA-256, "
            "SHA-384 or SHA-512, and SHA-1 for old devices; with openssl, -sha256."
        )
    if not verify.is_signature_by(signature, spki):
        raise verify.NotAcceptable(f"{whose} is not signed by the key it contains; it was damaged or put together.")
    return SigningRequest(subject, spki)


def sign_device(
    signer: Signer, subject: bytes, public_key: PublicKey | bytes, *, not_before: datetime, not_after: datetime
) -> X509Certificate:
    """Sign a device certificate.

    Args:
        subject: A name in DER, which the certificate gets byte for byte.
        public_key: A key, or a SubjectPublicKeyInfo in DER, which the certificate gets byte for byte.
    """
    spki = _spki(public_key)
    key = loaded(spki)
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        raise ValueError("A device certificate is for an RSA or EC key.")
    extensions: list[Extension] = [
        (x509.SubjectKeyIdentifier.from_public_key(key), False),
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (key_usage(key), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False),
        (signer.identifier, False),
    ]
    return _signed(signer, subject, spki, extensions, not_before=not_before, not_after=not_after)


def sign_server(
    signer: Signer,
    subject: bytes,
    public_key: PublicKey,
    *,
    alternative_names: Iterable[x509.GeneralName],
    not_before: datetime,
    not_after: datetime,
) -> X509Certificate:
    """Sign a server certificate. Clients check the alternative names and not the subject (RFC 9525)."""
    extensions: list[Extension] = [
        (x509.SubjectKeyIdentifier.from_public_key(public_key), False),
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (key_usage(public_key), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.SubjectAlternativeName(alternative_names), False),
        (signer.identifier, False),
    ]
    return _signed(signer, subject, _spki(public_key), extensions, not_before=not_before, not_after=not_after)


def sign_ca(
    signer: Signer | None,
    subject: bytes,
    key: PrivateKey,
    *,
    path_length: int | None,
    not_before: datetime,
    not_after: datetime,
) -> X509Certificate:
    """Sign a CA certificate, self-signed where ``signer`` is None. ``path_length``: CAs below it; None: any number."""
    public_key = key.public_key()
    own = signer or Signer(subject, key, x509.AuthorityKeyIdentifier.from_issuer_public_key(public_key))
    extensions: list[Extension] = [
        (x509.SubjectKeyIdentifier.from_public_key(public_key), False),
        (x509.BasicConstraints(ca=True, path_length=path_length), True),
        (_CA_KEY_USAGE, True),
        (own.identifier, False),
    ]
    return _signed(own, subject, _spki(public_key), extensions, not_before=not_before, not_after=not_after)


def new_device(signer: Signer, name: str, key_type: KeyType, *, not_before: datetime, not_after: datetime) -> Device:
    """Make a device's key, request and certificate. Raises ValueError as ``common_name``."""
    subject = common_name(name)
    key = keys.generate(key_type)
    certificate = sign_device(signer, subject, key.public_key(), not_before=not_before, not_after=not_after)
    return Device(keys.to_pem(key), make_request(key, name), certificate.pem, certificate.certificate_id)


def key_usage(key: PublicKey) -> x509.KeyUsage:
    """Return digitalSignature, and for RSA keyEncipherment, which TLS 1.2 peers may require."""
    return _usage(digital_signature=True, key_encipherment=isinstance(key, rsa.RSAPublicKey))


def _spki(key: PublicKey | bytes) -> bytes:
    return key if isinstance(key, bytes) else key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _signed(
    signer: Signer,
    subject: bytes,
    spki: bytes,
    extensions: Sequence[Extension],
    *,
    not_before: datetime,
    not_after: datetime,
) -> X509Certificate:
    """Sign a certificate of version 3 (RFC 5280, section 4.1)."""
    algorithm = _algorithm(signer.key)
    to_be_signed = der.sequence(
        der.explicit(0, der.integer(2)),
        der.integer(x509.random_serial_number()),
        algorithm,
        signer.name,
        der.sequence(der.time(not_before), der.time(not_after)),
        subject,
        spki,
        der.explicit(3, der.sequence(*map(_extension, extensions))),
    )
    digest = keys.signing_digest(signer.key)
    if isinstance(signer.key, rsa.RSAPrivateKey):
        signature = signer.key.sign(to_be_signed, padding.PKCS1v15(), digest)
    else:
        signature = signer.key.sign(to_be_signed, ec.ECDSA(digest))
    return X509Certificate.from_der(der.sequence(to_be_signed, algorithm, der.bit_string(signature)))


def _algorithm(key: PrivateKey) -> bytes:
    """Encode the AlgorithmIdentifier of ``keys.signing_digest`` (RFC 5758, section 3.2; RFC 4055, section 5)."""
    if isinstance(key, rsa.RSAPrivateKey):
        return der.sequence(der.object_identifier("1.2.840.113549.1.1.11"), der.NULL)
    digest = keys.signing_digest(key)
    number = 2 if isinstance(digest, SHA256) else 3 if isinstance(digest, SHA384) else 4
    return der.sequence(der.object_identifier(f"1.2.840.10045.4.3.{number}"))


def _extension(extension: Extension) -> bytes:
    value, is_critical = extension
    return der.sequence(
        der.object_identifier(value.oid.dotted_string),
        der.TRUE if is_critical else b"",
        der.octet_string(value.public_bytes()),
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
