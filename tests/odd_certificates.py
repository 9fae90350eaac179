"""Device certificates that programs in the field write and libraries do not, each with its outcome.

After digitalbazaar/forge#778, voltone/x509#45, wbond/asn1crypto#27, pyca/cryptography#12665 and OpenSSL's tolerance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.hashes import MD5, SHA1

from sekisho.pki import der
from tests.der import (
    BMP,
    IA5,
    NUMERIC,
    PRINTABLE,
    TELETEX,
    UNIVERSAL,
    UTF8,
    SigningKey,
    algorithm,
    attribute,
    certificate,
    name,
)

Make = Callable[[SigningKey, bytes, bytes], bytes]
"""Makes a certificate from the CA's key, its name and the device's SubjectPublicKeyInfo."""


@dataclass(frozen=True)
class Odd:
    """One certificate."""

    make: Make
    openssl: bool
    """The result of ``openssl verify`` of OpenSSL 3.0."""
    refusal: str = ""
    """Words of the message with which it is refused; empty where it is registered."""


def _made(subject: bytes | None = None, **parts: object) -> Make:
    subject = name(attribute(b"odd")) if subject is None else subject
    return lambda key, issuer, spki: certificate(key, issuer, subject, spki, **parts)  # type: ignore[arg-type]


def _extension(oid: str, value: bytes, *, critical: bool = False) -> bytes:
    return der.sequence(der.object_identifier(oid), der.TRUE if critical else b"", der.octet_string(value))


def _hash_name(oid: str) -> bytes:
    return der.sequence(der.object_identifier(oid), der.NULL)


def _other_parameters(parameters: bytes) -> Make:
    """Make a certificate whose algorithm has these parameters, in both places."""

    def make(key: SigningKey, issuer: bytes, spki: bytes) -> bytes:
        return certificate(key, issuer, name(attribute(b"odd")), spki, inner=algorithm(key, parameters))

    return make


def _other_outer(key: SigningKey, issuer: bytes, spki: bytes) -> bytes:
    usual = algorithm(key)
    other = algorithm(key, b"" if usual.endswith(der.NULL) else der.NULL)
    return certificate(key, issuer, name(attribute(b"odd")), spki, outer=other)


def _with_digest(digest: MD5 | SHA1, oid: str) -> Make:
    def make(key: SigningKey, issuer: bytes, spki: bytes) -> bytes:
        return certificate(key, issuer, name(attribute(b"odd")), spki, inner=_hash_name(oid), digest=digest)

    return make


_LATIN_1 = "Gerät-7".encode("latin-1")
_UTC = 0x17
_GENERALIZED = 0x18

ODD: Final[dict[str, Odd]] = {
    "PrintableString with _ @ *": Odd(_made(name(attribute(b"dev_01@plant*", PRINTABLE))), True),
    "PrintableString in Latin-1": Odd(_made(name(attribute(_LATIN_1, PRINTABLE))), True),
    "TeletexString in Latin-1": Odd(_made(name(attribute(_LATIN_1, TELETEX))), True),
    "BMPString": Odd(_made(name(attribute("関所".encode("utf-16-be"), BMP))), True),
    "UniversalString": Odd(_made(name(attribute("関所".encode("utf-32-be"), UNIVERSAL))), True),
    "NumericString with letters": Odd(_made(name(attribute(b"A7", NUMERIC))), True),
    "IA5String with 8 bits": Odd(_made(name(attribute(_LATIN_1, IA5))), True),
    "empty common name": Odd(_made(name(attribute(b""))), True),
    "common name of 300 characters": Odd(_made(name(attribute(b"x" * 300))), True),
    "country of three letters": Odd(_made(name(attribute(b"JPN", PRINTABLE, "2.5.4.6"))), True),
    "attribute of an unknown type": Odd(_made(name(attribute(b"x", UTF8, "1.3.6.1.4.1.99999.7"))), True),
    "attribute that is an integer": Odd(_made(name(attribute(b"\x07", 0x02))), False),
    "empty subject": Odd(_made(name()), True),
    "serial number 0": Odd(_made(serial=b"\0"), True),
    "negative serial number": Odd(_made(serial=b"\xff\x04"), True),
    "serial number of 40 bytes": Odd(_made(serial=b"\x7f" * 40), True),
    "serial number with bytes too many": Odd(_made(serial=b"\0\0\x07"), False),
    "UTCTime without seconds": Odd(_made(begins=der.element(_UTC, b"2501010000Z")), False),
    "UTCTime with an offset": Odd(_made(begins=der.element(_UTC, b"250101000000+0900")), False),
    "GeneralizedTime before 2050": Odd(_made(begins=der.element(_GENERALIZED, b"20250101000000Z")), True),
    "GeneralizedTime with a fraction": Odd(_made(begins=der.element(_GENERALIZED, b"20250101000000.5Z")), False),
    "valid for ever": Odd(_made(ends=der.element(_GENERALIZED, b"99991231235959Z")), True),
    "ECDSA or RSA with NULL": Odd(_other_parameters(der.NULL), True),
    "ECDSA or RSA without parameters": Odd(_other_parameters(b""), True),
    "unknown critical extension": Odd(
        _made(extensions=[_extension("1.3.6.1.4.1.99999.8", b"\x05\0", critical=True)]), False
    ),
    "extension that is there twice": Odd(_made(extensions=[_extension("1.3.6.1.4.1.99999.8", b"\x05\0")] * 2), True),
    "alternative name: IP address of five bytes": Odd(
        _made(extensions=[_extension("2.5.29.17", der.sequence(der.element(0x87, b"\x01\x02\x03\x04\x05")))]), True
    ),
    "alternative name: URI in UTF-8": Odd(
        _made(extensions=[_extension("2.5.29.17", der.sequence(der.element(0x86, "http://関所".encode())))]), True
    ),
    "version 1 with extensions": Odd(
        _made(version=b"", extensions=[_extension("1.3.6.1.4.1.99999.8", b"\x05\0")]), True
    ),
    "version 2 with unique identifiers": Odd(
        _made(
            version=der.explicit(0, der.integer(1)),
            unique_identifiers=der.element(0x81, b"\0\x01") + der.element(0x82, b"\0\x02"),
        ),
        True,
    ),
    "length in more bytes than needed": Odd(_made(wrap=True), True),
    "common name that is not UTF-8": Odd(_made(name(attribute(b"\xff\xfe"))), False),
    "a month 13": Odd(_made(begins=der.element(_UTC, b"251301000000Z")), False, 'notBefore is not a time: "2513010'),
    "version 4": Odd(_made(version=der.explicit(0, der.integer(3))), True, "its version is none of 1, 2 and 3"),
    "two signature algorithms": Odd(_other_outer, False, "names one signature algorithm in the part that is signed"),
    "signature of no whole number of bytes": Odd(
        _made(signature_unused_bits=1), False, "its signature is not a whole number of bytes"
    ),
}

WEAK: Final[dict[str, Odd]] = {
    "RSA with MD5": Odd(
        _with_digest(MD5(), "1.2.840.113549.1.1.4"),  # noqa: S303
        True,
        "is signed with md5WithRSAEncryption",
    ),
    "RSA with SHA-1": Odd(
        _with_digest(SHA1(), "1.2.840.113549.1.1.5"),  # noqa: S303
        True,
        "is signed with sha1WithRSAEncryption",
    ),
}
"""Of an RSA CA."""
