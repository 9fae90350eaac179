"""Writes DER, the elements of a certificate (X.690).

``cryptography`` writes only names that it can read. A subject that is copied from a certificate signing request has to
keep its bytes, so certificates are written with this module.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

_INTEGER: Final = 0x02
_BIT_STRING: Final = 0x03
_OCTET_STRING: Final = 0x04
_OBJECT_IDENTIFIER: Final = 0x06
_UTC_TIME: Final = 0x17
_GENERALIZED_TIME: Final = 0x18
_SEQUENCE: Final = 0x30

TRUE: Final = b"\x01\x01\xff"
NULL: Final = b"\x05\x00"

_FIRST_YEAR_OF_GENERALIZED_TIME: Final = 2050
"""RFC 5280, section 4.1.2.5."""


def element(tag: int, content: bytes) -> bytes:
    """Encode an element with a tag of one byte."""
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    digits = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(digits))) + digits + content


def explicit(number: int, content: bytes) -> bytes:
    """Encode ``[number]`` EXPLICIT around an element."""
    return element(0xA0 | number, content)


def sequence(*members: bytes) -> bytes:
    """Encode a SEQUENCE."""
    return element(_SEQUENCE, b"".join(members))


def integer(value: int) -> bytes:
    """Encode an INTEGER that is not negative."""
    return element(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def octet_string(content: bytes) -> bytes:
    """Encode an OCTET STRING."""
    return element(_OCTET_STRING, content)


def bit_string(content: bytes) -> bytes:
    """Encode a BIT STRING of whole bytes."""
    return element(_BIT_STRING, b"\0" + content)


def object_identifier(dotted: str) -> bytes:
    """Encode an OBJECT IDENTIFIER given as dotted numbers."""
    first, second, *rest = map(int, dotted.split("."))
    content = bytearray()
    for arc in (first * 40 + second, *rest):
        digits = [arc & 0x7F]
        while arc := arc >> 7:
            digits.append(arc & 0x7F | 0x80)
        content.extend(reversed(digits))
    return element(_OBJECT_IDENTIFIER, bytes(content))


def time(moment: datetime) -> bytes:
    """Encode a UTCTime or GeneralizedTime, as RFC 5280 requires, without fractions of a second."""
    moment = moment.astimezone(UTC)
    if moment.year < _FIRST_YEAR_OF_GENERALIZED_TIME:
        return element(_UTC_TIME, moment.strftime("%y%m%d%H%M%SZ").encode())
    return element(_GENERALIZED_TIME, moment.strftime("%Y%m%d%H%M%SZ").encode())
