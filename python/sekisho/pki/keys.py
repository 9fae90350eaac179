"""Generates and reads private keys, and checks whether one belongs to a certificate.

No message contains any part of a key.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from sekisho.pki.pem import PemError

PrivateKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
PublicKey: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

_PUBLIC_EXPONENT: Final = 65537


class KeyType(StrEnum):
    """The kinds of key that AWS IoT accepts from devices (Developer Guide, x509-client-certs)."""

    RSA_2048 = "RSA-2048"
    RSA_3072 = "RSA-3072"
    RSA_4096 = "RSA-4096"
    P_256 = "P-256"
    P_384 = "P-384"
    P_521 = "P-521"


_CURVES: Final[Mapping[KeyType, ec.EllipticCurve]] = {
    KeyType.P_256: ec.SECP256R1(),
    KeyType.P_384: ec.SECP384R1(),
    KeyType.P_521: ec.SECP521R1(),
}
_RSA_BITS: Final = {KeyType.RSA_2048: 2048, KeyType.RSA_3072: 3072, KeyType.RSA_4096: 4096}


def generate(key_type: KeyType) -> PrivateKey:
    """Generate a key. RSA takes a tenth of a second or more."""
    curve = _CURVES.get(key_type)
    if curve is not None:
        return ec.generate_private_key(curve)
    return rsa.generate_private_key(public_exponent=_PUBLIC_EXPONENT, key_size=_RSA_BITS[key_type])


def kind_of(public_key: CertificatePublicKeyTypes | None) -> KeyType | None:
    """Return the kind of ``public_key``, or None where ``KeyType`` does not have it."""
    if isinstance(public_key, rsa.RSAPublicKey):
        return next((kind for kind, bits in _RSA_BITS.items() if bits == public_key.key_size), None)
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        return next((kind for kind, curve in _CURVES.items() if curve.name == public_key.curve.name), None)
    return None


def to_pem(key: PrivateKey) -> str:
    """Encode a key as unencrypted PKCS #8, as ``openssl genpkey`` does."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def to_traditional_pem(key: PrivateKey) -> str:
    """Encode a key as unencrypted PKCS #1 (RSA) or SEC 1 (EC), as AWS IoT does."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()


def public_pem(key: PublicKey) -> str:
    """Encode a public key as SubjectPublicKeyInfo in PEM."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def load(text: str, what: str = "The private key", *, made_here: bool = False) -> PrivateKey:
    """Read a private key in PEM, RSA or EC, without a password.

    Args:
        what: Begins the message of an error.
        made_here: This program wrote it. Then the check that an RSA key is well-formed is skipped; it takes 50 ms.

    Raises PemError.
    """
    try:
        key = load_pem_private_key(text.lstrip("\ufeff").encode(), None, unsafe_skip_rsa_key_validation=made_here)
    except TypeError:
        raise PemError(
            f"{what} is protected by a password. Take it off: openssl pkey -in FILE -out FILE.plain"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        if "-----BEGIN CERTIFICATE" in text:
            raise PemError(f"{what} is wanted here, and the text is a certificate.") from None
        raise PemError(f"{what} cannot be read: it is not an unencrypted private key in PEM.") from None
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise PemError(f"{what} is neither RSA nor EC.")
    return key


def fits(key: PrivateKey, public_key: CertificatePublicKeyTypes | None) -> bool:
    """Return whether ``public_key`` is the public half of ``key``."""
    return public_key is not None and key.public_key() == public_key


def signing_digest(key: PrivateKey) -> SHA256 | SHA384 | SHA512:
    """Return the digest to sign with: as strong as the curve; SHA-256 for RSA."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        if key.key_size > 384:
            return SHA512()
        if key.key_size > 256:
            return SHA384()
    return SHA256()
