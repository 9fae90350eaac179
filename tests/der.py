"""Makes certificates and certificate signing requests that no library writes, directly in DER."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sekisho.pki import der

UTF8, PRINTABLE, TELETEX, IA5, NUMERIC, BMP, UNIVERSAL, BIT_STRING = 0x0C, 0x13, 0x14, 0x16, 0x12, 0x1E, 0x1C, 0x03

SigningKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

V3: Final = der.explicit(0, der.integer(2))
A_CA: Final = der.sequence(der.object_identifier("2.5.29.19"), der.TRUE, der.octet_string(der.sequence(der.TRUE)))
BEGINS: Final = der.element(0x17, b"250101000000Z")
ENDS: Final = der.element(0x17, b"450101000000Z")


def attribute(value: bytes, kind: int = UTF8, oid: str = "2.5.4.3") -> bytes:
    """Return an attribute of a name, by default a common name."""
    return der.sequence(der.object_identifier(oid), der.element(kind, value))


def name(*attributes: bytes) -> bytes:
    """Return a name of these attributes, each in a separate component."""
    return der.sequence(*(der.element(0x31, each) for each in attributes))


def algorithm(key: SigningKey, parameters: bytes | None = None) -> bytes:
    """Return the AlgorithmIdentifier of the key's signature with SHA-256. ``parameters``: others than usual."""
    if isinstance(key, rsa.RSAPrivateKey):
        identifier, usual = "1.2.840.113549.1.1.11", der.NULL
    else:
        identifier, usual = "1.2.840.10045.4.3.2", b""
    return der.sequence(der.object_identifier(identifier), usual if parameters is None else parameters)


def sign(key: SigningKey, data: bytes, digest: HashAlgorithm | None = None) -> bytes:
    """Return a signature, by default with SHA-256."""
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), digest or SHA256())
    return key.sign(data, ec.ECDSA(digest or SHA256()))


def spki(key: SigningKey) -> bytes:
    """Return a SubjectPublicKeyInfo."""
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def certificate(
    signer: SigningKey,
    issuer: bytes,
    subject: bytes,
    public_key: bytes,
    *,
    version: bytes = V3,
    serial: bytes = b"\x11",
    inner: bytes | None = None,
    outer: bytes | None = None,
    begins: bytes = BEGINS,
    ends: bytes = ENDS,
    unique_identifiers: bytes = b"",
    extensions: Sequence[bytes] = (),
    signature_unused_bits: int = 0,
    digest: HashAlgorithm | None = None,
    wrap: bool = False,
) -> bytes:
    """Return a certificate of these parts.

    Args:
        serial: Contents of the INTEGER.
        inner: AlgorithmIdentifier within what is signed; ``outer``: beside it.
        wrap: Write the length of the signed part's subject in more bytes than needed.
    """
    inner = inner or algorithm(signer)
    if wrap:
        subject = bytes((subject[0], 0x82, 0, subject[1])) + subject[2:]
    signed = der.sequence(
        version,
        der.element(0x02, serial),
        inner,
        issuer,
        der.sequence(begins, ends),
        subject,
        public_key,
        unique_identifiers,
        der.explicit(3, der.sequence(*extensions)) if extensions else b"",
    )
    signature = der.element(0x03, bytes((signature_unused_bits,)) + sign(signer, signed, digest))
    return der.sequence(signed, outer or inner, signature)


def request(key: SigningKey, subject: bytes, *, public_key: bytes | None = None) -> bytes:
    """Return a certificate signing request."""
    signed = der.sequence(der.integer(0), subject, public_key or spki(key), der.explicit(0, b""))
    return der.sequence(signed, algorithm(key), der.bit_string(sign(key, signed)))


def with_other_signature(certificate: bytes, order: int = P256_ORDER) -> bytes:
    """Return the same certificate with the other valid ECDSA signature: (r, n - s) in place of (r, s).

    No private key is needed. The length of the outermost SEQUENCE has two bytes.
    """
    body = certificate[4:]
    signed_length = 4 + int.from_bytes(body[2:4], "big") if body[1] == 0x82 else 3 + body[2]
    algorithm_end = signed_length + 2 + body[signed_length + 1]
    signature = body[algorithm_end:]
    r, s = decode_dss_signature(signature[3:])
    return der.sequence(body[:algorithm_end], der.bit_string(encode_dss_signature(r, order - s)))
