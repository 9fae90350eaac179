"""Reads PEM as people paste it. An error says what was found instead.

Accepted: text around the armour (``openssl x509 -text``, bag attributes), a byte order mark, any line ends, any line
length. Refused: a private key, another kind of object, more than one object, base64 without armour, DER, damage.

A message never contains the input, which may be a private key.

Source: RFC 7468.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key

from sekisho.pki import names, reader

CERTIFICATE: Final = "CERTIFICATE"
CERTIFICATE_REQUEST: Final = "CERTIFICATE REQUEST"

_ALIASES: Final = {
    "X509 CERTIFICATE": CERTIFICATE,
    "X.509 CERTIFICATE": CERTIFICATE,
    "NEW CERTIFICATE REQUEST": CERTIFICATE_REQUEST,
}
"""Label of old programs → label of today (RFC 7468, sections 5.1 and 7)."""

_NAMES: Final = {
    CERTIFICATE: "a certificate",
    CERTIFICATE_REQUEST: "a certificate signing request (CSR)",
    "PUBLIC KEY": "a public key",
    "RSA PUBLIC KEY": "a public key",
    "PKCS7": "a PKCS #7 bundle",
    "CMS": "a CMS message",
    "X509 CRL": "a certificate revocation list",
    "EC PARAMETERS": "the name of a curve",
    "DH PARAMETERS": "Diffie-Hellman parameters",
    "TRUSTED CERTIFICATE": "a certificate with OpenSSL's trust settings",
}

_REMEDIES: Final = {
    CERTIFICATE_REQUEST: "Have it signed by the CA (openssl x509 -req …) and give the certificate that comes out.",
    "PKCS7": "Take the certificate out of it: openssl pkcs7 -print_certs -in FILE",
    "TRUSTED CERTIFICATE": "Leave those out: openssl x509 -in FILE -out cert.pem",
}

_BEGIN: Final = re.compile(r"-----BEGIN ([A-Z0-9][A-Z0-9 .#_-]{0,60}?)-----")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_SHORTEST_UNARMOURED: Final = 64
"""Characters of base64; shorter text may be a word or a path."""

_UNREADABLE: Final = (ValueError, TypeError, UnsupportedAlgorithm)
"""What ``cryptography`` and ``reader`` raise for bytes that they cannot read."""


class PemError(ValueError):
    """The input is not the expected object. The message is one or two sentences for its sender."""


@dataclass(frozen=True, slots=True)
class Block:
    """One armoured object."""

    label: str
    der: bytes


def read_file(path: Path) -> str:
    """Return the text of a PEM file. Raises OSError, and PemError where it is not text."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise PemError(f"{path} is not text: it has to be PEM.") from None


def read_certificate(text: str) -> bytes:
    """Return the DER of the only certificate in ``text``. Raises PemError. ``reader`` checks that it is X.509."""
    return _read_one(text, CERTIFICATE)


def read_certificate_request(text: str) -> bytes:
    """Return the DER of the only certificate signing request in ``text``. Raises PemError."""
    return _read_one(text, CERTIFICATE_REQUEST)


def read_chain(text: str) -> list[bytes]:
    """Return the DER of every certificate in ``text``, in its order. Raises PemError, also where there is none."""
    ders = [block.der for block in _blocks(text, CERTIFICATE) if block.label == CERTIFICATE]
    if not ders:
        raise PemError(_nothing_found(text, CERTIFICATE))
    return ders


def write(label: str, der: bytes) -> str:
    """Write an object as PEM: 64 characters per line, with a line end after the last."""
    encoded = base64.b64encode(der).decode()
    lines = [encoded[start : start + 64] for start in range(0, len(encoded), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


def misnamed(der: bytes) -> str | None:
    """Return what ``der`` is if it is often mistaken for a certificate or a CSR, else None."""
    for name, load in (
        (_NAMES[CERTIFICATE], reader.read_certificate),
        (_NAMES[CERTIFICATE_REQUEST], reader.read_request),
        ("a public key", load_der_public_key),
    ):
        try:
            load(der)
        except _UNREADABLE:
            continue
        return name
    try:
        load_der_private_key(der, None)
    except (ValueError, UnsupportedAlgorithm):
        return None
    except TypeError:
        pass  # It is a private key with a password.
    return "a private key"


def _read_one(text: str, wanted: str) -> bytes:
    blocks = _blocks(text, wanted)
    # `openssl ecparam -genkey` writes the parameters of a key before it; they are not needed.
    blocks = [block for block in blocks if block.label != "EC PARAMETERS"]
    if not blocks:
        raise PemError(_nothing_found(text, wanted))
    others = [block for block in blocks if block.label != wanted]
    if others:
        raise PemError(_other_kind(others[0].label, wanted))
    if len(blocks) > 1:
        raise PemError(_too_many(blocks, wanted))
    return blocks[0].der


def _blocks(text: str, wanted: str) -> list[Block]:
    blocks = []
    position = 0
    while begin := _BEGIN.search(text, position):
        label = begin[1]
        if label.endswith("PRIVATE KEY"):
            # Before any other check.
            raise PemError(
                f"The text contains a private key, where {_NAMES[wanted]} is wanted. It was not kept. A private key "
                "stays with its device; now that it has been sent, consider making a new one."
            )
        armour = f"-----END {label}-----"
        end = text.find(armour, begin.end())
        if end == -1:
            raise PemError(f"The PEM text is cut off: there is no line {armour} after -----BEGIN {label}-----.")
        if text.find("-----BEGIN ", begin.end(), end) != -1:
            raise PemError(f"The PEM text is damaged: another object begins before the line {armour}.")
        blocks.append(Block(_ALIASES.get(label, label), _decode(text[begin.end() : end], label)))
        position = end + len(armour)
    return blocks


def _decode(body: str, label: str) -> bytes:
    if "\\n" in body or "\\r" in body:
        raise PemError(
            "The PEM text has backslash and n where its lines should end, as text copied out of JSON has. "
            "Put line ends there."
        )
    packed = "".join(body.split())
    name = f"The base64 between the lines of {label}"
    if not packed:
        raise PemError(f"There is nothing between the BEGIN and END lines of {label}.")
    try:
        der = base64.b64decode(packed, validate=True)
    except ValueError:
        if _BASE64.fullmatch(packed.rstrip("=") or "A"):
            why = f"{len(packed)} characters are no whole number of bytes"
        else:
            why = "it has characters that base64 does not have"
        raise PemError(f"{name} is damaged: {why}. Copy the whole text again.") from None
    declared = _declared_length(der)
    if declared is not None and declared > len(der):
        raise PemError(
            f"{name} is cut off: it announces {declared} bytes and has {len(der)}. Copy the whole text again."
        )
    return der


def _declared_length(der: bytes) -> int | None:
    """Return the length of the SEQUENCE at the start of ``der`` with its header, or None where there is none."""
    if len(der) < 2 or der[0] != 0x30:
        return None
    if der[1] < 0x80:
        return 2 + der[1]
    size = der[1] & 0x7F
    if not 1 <= size <= 4 or len(der) < 2 + size:
        return None
    return 2 + size + int.from_bytes(der[2 : 2 + size], "big")


def _nothing_found(text: str, wanted: str) -> str:
    plain = text.lstrip("\ufeff").strip()
    armour = f"-----BEGIN {wanted}----- and -----END {wanted}-----"
    if "\x00" in plain or plain.startswith("0\x82") or plain.startswith("0�"):
        return (
            f"This is binary (DER), not PEM text. Convert it: openssl "
            f"{'x509' if wanted == CERTIFICATE else 'req'} -inform DER -in FILE -out FILE.pem"
        )
    packed = "".join(plain.split())
    if len(packed) >= _SHORTEST_UNARMOURED and _BASE64.fullmatch(packed):
        return f"This is base64 without PEM's armour. Put it between the lines {armour}."
    if "BEGIN" in plain or "-----" in plain:
        return f"The PEM armour is damaged. The lines have to read exactly {armour}, five hyphens at each end."
    if plain.startswith(("file://", "fileb://", "/", "./", "~/")) and len(plain) < 1024 and "\n" not in plain:
        return f"This is the name of a file, not {_NAMES[wanted]} in PEM. The AWS CLI reads a file as file://PATH."
    return f"This is not {_NAMES[wanted]} in PEM: there are no lines {armour}."


def _other_kind(label: str, wanted: str) -> str:
    found = _NAMES.get(label, f"an object of the kind {label}")
    message = f"The text contains {found}, where {_NAMES[wanted]} is wanted and nothing else."
    if wanted == CERTIFICATE and label in _REMEDIES:
        return f"{message} {_REMEDIES[label]}"
    return message


def _too_many(blocks: Sequence[Block], wanted: str) -> str:
    message = f"The text contains {len(blocks)} objects, where one is wanted"
    if wanted != CERTIFICATE:
        return f"{message}: give one certificate signing request at a time."
    subjects = [_subject(block.der) for block in blocks[:5]]
    listed = "; ".join(f"{number}: {subject}" for number, subject in enumerate(subjects, 1))
    return f"{message}, and it is not known which one is meant. Give that certificate alone. Found: {listed}."


def _subject(der: bytes) -> str:
    try:
        return names.shown(names.Name(**reader.read_certificate(der)["subject"]))
    except reader.Unreadable:
        return "(unreadable)"
