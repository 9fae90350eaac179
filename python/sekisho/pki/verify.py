"""Checks certificates: whether one may be a CA's, whether one may be a device's, which key signed one.

Source: Developer Guide, x509-client-certs (algorithms, key sizes), register-CA-cert; Device Defender,
audit-chk-ca-cert-key-quality and audit-chk-device-cert-key-quality (what AWS IoT checks when it registers).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.hashes import MD5, SHA1, SHA224, SHA256, SHA384, SHA512, HashAlgorithm

from sekisho.pki import reader
from sekisho.pki.certificate import X509Certificate, loaded
from sekisho.pki.pem import PemError

if TYPE_CHECKING:
    from sekisho.pki.reader import PublicKeyFacts, SignatureFacts

MIN_RSA_BITS: Final = 2048

CURVES: Final = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
"""Name in ``cryptography`` → name for messages."""

_STRONG: Final = frozenset(
    {(scheme, digest) for scheme in ("rsa-pkcs1", "rsa-pss", "ecdsa") for digest in ("sha256", "sha384", "sha512")}
    | {("dsa", "sha256")}
)
"""(scheme, digest) of the signatures that AWS IoT accepts on device certificates."""

_DIGESTS: Final[dict[str, HashAlgorithm]] = {
    # Weak digests are verified too, so that the refusal can name the digest and not the signer.
    "md5": MD5(),  # noqa: S303
    "sha1": SHA1(),  # noqa: S303
    "sha224": SHA224(),
    "sha256": SHA256(),
    "sha384": SHA384(),
    "sha512": SHA512(),
}

_ALLOWED_KEYS: Final = "RSA of 2048 bits and more, P-256, P-384 or P-521"
_ALLOWED_SIGNATURES: Final = (
    "RSA (PKCS #1 or PSS) or ECDSA with SHA-256, SHA-384 or SHA-512, or DSA with SHA-256; with openssl, -sha256"
)


class NotAcceptable(ValueError):
    """A certificate is readable and not acceptable. The message says why, and what would be accepted."""


class NotACA(NotAcceptable):
    """A certificate is not that of a CA."""


def check_ca(certificate: X509Certificate, now: datetime) -> None:
    """Check that a certificate may be registered as a CA: v3, basicConstraints CA:TRUE, a strong key, valid now.

    Key usage and the algorithm of its own signature are not checked: ``openssl req -x509`` writes no key usage, and the
    CA's trust does not come from its own signature.

    Raises:
        NotACA: Not marked as a CA.
        NotAcceptable: The key is weak or unknown, or now is not in its validity.
    """
    check_is_ca(certificate)
    _check_ca_key(certificate)
    check_validity(certificate, now, "The CA certificate")


def check_is_ca(certificate: X509Certificate) -> None:
    """Check for v3 with basicConstraints CA:TRUE. Raises NotACA, or NotAcceptable: its extensions are unreadable."""
    try:
        is_ca = certificate.is_ca
    except PemError as error:
        raise NotAcceptable(f"The CA certificate cannot be used: {error}") from None
    if not is_ca:
        # The first sentence is AWS's; tools search for it.
        raise NotACA(
            f"The CA certificate does not have the basicConstraints extension as true. {_why_no_ca(certificate)}"
        )


def check_device_certificate(certificate: X509Certificate, now: datetime) -> None:
    """Check that a device can connect with it: key, signature algorithm, validity. Version 1 is accepted.

    Raises NotAcceptable.
    """
    check_client_key(certificate.key, "The certificate")
    check_signature_algorithm(certificate)
    check_validity(certificate, now, "The certificate")


def check_client_key(key: PublicKeyFacts, whose: str) -> None:
    """Check that the gateway can verify a client with this key. ``whose`` begins the message. Raises NotAcceptable."""
    if key["client_problem"] is not None:
        raise NotAcceptable(f"{whose} has {key['client_problem']}.")


def check_validity(certificate: X509Certificate, now: datetime, whose: str) -> None:
    """Check that ``now`` is between notBefore and notAfter. Raises NotAcceptable."""
    if now < certificate.not_before:
        raise NotAcceptable(
            f"{whose} is not valid before {_moment(certificate.not_before)}, and this server's clock says "
            f"{_moment(now)}. Wait, or correct the clock of the CA that signed it."
        )
    if now > certificate.not_after:
        raise NotAcceptable(
            f"{whose} expired on {_moment(certificate.not_after)}; this server's clock says {_moment(now)}. "
            "Issue a new one."
        )


def is_signed_by(certificate: X509Certificate, signer: X509Certificate) -> bool:
    """Return whether the private key of ``signer`` made the certificate's signature. Names are not compared."""
    # The algorithm's name outside the signed part can be changed: both names have to be equal.
    return certificate.names_one_algorithm and (
        _verifies_ecdsa(certificate.signature, signer.key["spki"])
        or _is_signature_by(certificate.signature, signer.public_key)
    )


def is_signature_by(signature: SignatureFacts, spki: bytes) -> bool:
    """Return whether the private half of the key of a SubjectPublicKeyInfo made a signature."""
    return _verifies_ecdsa(signature, spki) or _is_signature_by(signature, loaded(spki))


def _verifies_ecdsa(signature: SignatureFacts, spki: bytes) -> bool:
    """As ``is_signature_by``, in half of OpenSSL's time and without the GIL; False says nothing."""
    return (
        signature["scheme"] == "ecdsa"
        and signature["hash"] is not None
        and reader.verifies_ecdsa(spki, signature["hash"], signature["signed"], signature["value"])
    )


def _is_signature_by(signature: SignatureFacts, key: CertificatePublicKeyTypes | None) -> bool:
    digest = _DIGESTS.get(signature["hash"] or "")
    if digest is None:
        return False
    value, signed = signature["value"], signature["signed"]
    try:
        match key, signature["scheme"]:
            case rsa.RSAPublicKey(), "rsa-pkcs1":
                key.verify(value, signed, padding.PKCS1v15(), digest)
            case rsa.RSAPublicKey(), "rsa-pss":
                key.verify(value, signed, padding.PSS(padding.MGF1(digest), signature["salt_length"]), digest)
            case ec.EllipticCurvePublicKey(), "ecdsa":
                key.verify(value, signed, ec.ECDSA(digest))
            case dsa.DSAPublicKey(), "dsa":
                key.verify(value, signed, digest)
            case _:
                return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def is_issued_by(certificate: X509Certificate, ca: X509Certificate) -> bool:
    """Return whether ``ca`` issued it: its issuer is the CA's subject, and the CA's key made its signature."""
    return certificate.issuer == ca.subject and is_signed_by(certificate, ca)


def is_self_signed(certificate: X509Certificate) -> bool:
    """Return whether it issued itself."""
    return is_issued_by(certificate, certificate)


def check_signature_algorithm(certificate: X509Certificate) -> None:
    """Check that AWS IoT accepts its signature algorithm, and that it names only one. Raises NotAcceptable."""
    if not certificate.names_one_algorithm:
        raise NotAcceptable(
            "The certificate names one signature algorithm in the part that is signed and another beside it, so that "
            "its signature proves nothing. It was damaged or changed; issue it again."
        )
    if (certificate.signature["scheme"], certificate.signature["hash"]) not in _STRONG:
        raise NotAcceptable(
            f"The certificate is signed with {describe_signature(certificate.signature)}; allowed are "
            f"{_ALLOWED_SIGNATURES}."
        )


def describe_signature(signature: SignatureFacts) -> str:
    """Return the signature's algorithm for messages: ``sha1WithRSAEncryption``, ``rsassaPss and sha1``."""
    name, digest = signature["name"], signature["hash"]
    if digest is None or digest in name.lower().replace("-", ""):
        return name
    return f"{name} and {digest}"


def _check_ca_key(certificate: X509Certificate) -> None:
    """Check the kind and size of a CA's key, with which the gateway never verifies a client."""
    key = certificate.public_key
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size >= MIN_RSA_BITS:
            return
    elif isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in CURVES:
        return
    described = certificate.key["described"]
    if key is None and certificate.key["client_problem"] is None:
        described += " that cannot be loaded to verify signatures"
    raise NotAcceptable(f"The CA certificate has {described}; allowed are {_ALLOWED_KEYS}.")


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
