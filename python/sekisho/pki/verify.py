"""Judging certificates: may this be a CA, may this be a device's, did this key sign that.

Source: Developer Guide, x509-client-certs (algorithms, key sizes), register-CA-cert; Device Defender,
audit-chk-ca-cert-key-quality and audit-chk-device-cert-key-quality (what AWS IoT looks at when it registers).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.hashes import HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import PublicKeyAlgorithmOID, SignatureAlgorithmOID

from sekisho.pki.certificate import X509Certificate
from sekisho.pki.pem import PemError

MIN_RSA_BITS: Final = 2048
MAX_RSA_BITS: Final = 8192
"""The largest RSA key that the data plane's TLS library verifies a client with."""

CURVES: Final = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
"""By the name ``cryptography`` has for them."""

_SIGNATURES: Final = frozenset(
    {
        SignatureAlgorithmOID.RSA_WITH_SHA256,
        SignatureAlgorithmOID.RSA_WITH_SHA384,
        SignatureAlgorithmOID.RSA_WITH_SHA512,
        SignatureAlgorithmOID.RSASSA_PSS,
        SignatureAlgorithmOID.DSA_WITH_SHA256,
        SignatureAlgorithmOID.ECDSA_WITH_SHA256,
        SignatureAlgorithmOID.ECDSA_WITH_SHA384,
        SignatureAlgorithmOID.ECDSA_WITH_SHA512,
    }
)
_PSS_HASHES: Final = frozenset({"sha256", "sha384", "sha512"})

_ALLOWED_KEYS: Final = "RSA of 2048 bits and more, P-256, P-384 or P-521"
_ALLOWED_SIGNATURES: Final = (
    "RSA (PKCS #1 or PSS) or ECDSA with SHA-256, SHA-384 or SHA-512, or DSA with SHA-256; with openssl, -sha256"
)


class NotAcceptable(ValueError):
    """A certificate that can be read and will not do. The message says why and what would."""


class NotACA(NotAcceptable):
    """A certificate that is no CA's."""


def check_ca(certificate: X509Certificate, now: datetime) -> None:
    """That it may be registered as a CA: v3 with basicConstraints CA:TRUE, a strong key, in its validity.

    Key usage and the algorithm of its own signature are not asked for: plain ``openssl req -x509`` writes no key usage,
    and what a CA vouches for is its key.

    Raises:
        NotACA: Not marked as a CA.
        NotAcceptable: The key is weak or unknown, or now is not in its validity.
    """
    check_is_ca(certificate)
    check_key(certificate.public_key, "The CA certificate")
    check_validity(certificate, now, "The CA certificate")


def check_is_ca(certificate: X509Certificate) -> None:
    """That it is v3 with basicConstraints CA:TRUE. Raises NotACA, or NotAcceptable: its extensions cannot be read."""
    try:
        is_ca = certificate.is_ca
    except PemError as error:
        raise NotAcceptable(f"The CA certificate cannot be used: {error}") from None
    if not is_ca:
        # The first sentence is AWS's; tools look for it.
        raise NotACA(
            f"The CA certificate does not have the basicConstraints extension as true. {_why_no_ca(certificate)}"
        )


def check_device_certificate(certificate: X509Certificate, now: datetime) -> None:
    """That AWS IoT lets a device connect by it: key, signature algorithm, validity. Version 1 will do.

    Raises NotAcceptable.
    """
    check_key(certificate.public_key, "The certificate")
    _check_key_can_connect(certificate)
    _check_signature_algorithm(certificate)
    check_validity(certificate, now, "The certificate")


def check_key(key: CertificatePublicKeyTypes | None, whose: str) -> None:
    """That the key is of an allowed kind and size. ``whose`` begins the message. Raises NotAcceptable."""
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size >= MIN_RSA_BITS:
            return
    elif isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in CURVES:
        return
    raise NotAcceptable(f"{whose} has {describe_key(key)}; allowed are {_ALLOWED_KEYS}.")


def check_validity(certificate: X509Certificate, now: datetime, whose: str) -> None:
    """That ``now`` lies between notBefore and notAfter. Raises NotAcceptable."""
    if now < certificate.not_before:
        raise NotAcceptable(
            f"{whose} is not valid before {_moment(certificate.not_before)}, and this server's clock says "
            f"{_moment(now)}. Wait, or set the clock of whoever signed it."
        )
    if now > certificate.not_after:
        raise NotAcceptable(
            f"{whose} expired on {_moment(certificate.not_after)}; this server's clock says {_moment(now)}. "
            "Issue a new one."
        )


def is_signed_by(certificate: X509Certificate, key: CertificatePublicKeyTypes | None) -> bool:
    """Whether the certificate's signature was made with the private half of ``key``. Names play no part."""
    parsed = certificate.parsed
    try:
        parameters = parsed.signature_algorithm_parameters
        signed, signature = parsed.tbs_certificate_bytes, parsed.signature
        digest = parsed.signature_hash_algorithm
        match key:
            case rsa.RSAPublicKey() if digest is not None and not isinstance(parameters, ec.ECDSA) and parameters:
                key.verify(signature, signed, parameters, digest)
            case ec.EllipticCurvePublicKey() if isinstance(parameters, ec.ECDSA):
                key.verify(signature, signed, parameters)
            case dsa.DSAPublicKey() if digest is not None and parameters is None:
                key.verify(signature, signed, digest)
            case _:
                return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def is_issued_by(certificate: X509Certificate, ca: X509Certificate) -> bool:
    """Whether ``ca`` issued it: its issuer is the CA's subject, and the CA's key made its signature."""
    return certificate.issuer == ca.subject and is_signed_by(certificate, ca.public_key)


def is_self_signed(certificate: X509Certificate) -> bool:
    """Whether it issued itself."""
    return is_issued_by(certificate, certificate)


def describe_key(key: CertificatePublicKeyTypes | None) -> str:
    """The key for people: ``an RSA key of 1024 bits``."""
    match key:
        case None:
            return "a key of an unknown kind"
        case rsa.RSAPublicKey():
            return f"an RSA key of {key.key_size} bits"
        case ec.EllipticCurvePublicKey():
            return f"an EC key on the curve {CURVES.get(key.curve.name, key.curve.name)}"
        case dsa.DSAPublicKey():
            return f"a DSA key of {key.key_size} bits"
        case _:
            return f"a key of the kind {type(key).__name__.removesuffix('PublicKey')}"


def _check_key_can_connect(certificate: X509Certificate) -> None:
    key = certificate.public_key
    if isinstance(key, rsa.RSAPublicKey) and key.key_size > MAX_RSA_BITS:
        raise NotAcceptable(
            f"The certificate has {describe_key(key)}; this server verifies clients with up to {MAX_RSA_BITS} bits."
        )
    if isinstance(key, ec.EllipticCurvePublicKey):
        named = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if (
            certificate.parsed.public_key_algorithm_oid != PublicKeyAlgorithmOID.EC_PUBLIC_KEY
            or named not in certificate.der
        ):
            raise NotAcceptable(
                "The certificate's EC key writes its curve out or its point compressed; TLS needs a named curve and an "
                "uncompressed point (openssl: -pkeyopt ec_param_enc:named_curve)."
            )


def _check_signature_algorithm(certificate: X509Certificate) -> None:
    parsed = certificate.parsed
    algorithm = parsed.signature_algorithm_oid
    digest = _digest(certificate)
    if algorithm in _SIGNATURES and (
        algorithm != SignatureAlgorithmOID.RSASSA_PSS or (digest is not None and digest.name in _PSS_HASHES)
    ):
        return
    # `_name` is the name the library prints; the dotted number is all there is for an algorithm it has no name for.
    name = getattr(algorithm, "_name", "Unknown OID")
    shown = algorithm.dotted_string if name == "Unknown OID" else name
    if digest is not None and digest.name not in shown.lower().replace("-", ""):
        shown = f"{shown} and {digest.name}"
    raise NotAcceptable(f"The certificate is signed with {shown}; allowed are {_ALLOWED_SIGNATURES}.")


def _digest(certificate: X509Certificate) -> HashAlgorithm | None:
    try:
        return certificate.parsed.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return None


def _why_no_ca(certificate: X509Certificate) -> str:
    if certificate.version == 1:
        found = "It is X.509 version 1, which has no extensions"
    elif certificate.is_ca is None:
        found = "It has no basicConstraints extension"
    else:
        found = "Its basicConstraints extension says CA:FALSE, as a device's does"
    return (
        f"{found} (subject {certificate.subject_text}). Make a CA with 'openssl req -x509 -new -key ca.key -days 3650 "
        "-out ca.crt', or add -addext basicConstraints=critical,CA:TRUE."
    )


def _moment(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
