"""Compares distinguished names, and writes them for messages.

RFC 5280, section 7.1: two names are equal if their attributes are; case, repeated blanks and the string type have no
effect. Programs differ in the string type that they write, so a comparison of bytes would not find a CA that every
other tool finds. A value that is not text is compared by its bytes.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sekisho.pki import reader

COMMON_NAME: Final = "2.5.4.3"

_LONGEST_SHOWN: Final = 200
_BIT_STRING: Final = 3


@dataclass(frozen=True, slots=True)
class Name:
    """A name as it was read."""

    der: bytes
    text: str
    """The name in the form of RFC 4514; empty for an empty name."""
    components: Sequence[Sequence[tuple[str, str | None, bytes]]]
    """In their order; each a set of (object identifier, text or None where it is not text, DER of the value)."""

    def texts(self, oid: str) -> list[str]:
        """Return the texts of all attributes of a type (object identifier in dotted numbers), in their order."""
        return [
            text for component in self.components for each, text, _ in component if each == oid and text is not None
        ]


def read(der: bytes) -> Name:
    """Read a name. Raises ``reader.Unreadable``."""
    return Name(**reader.read_name(der))


def canonical(name: Name) -> bytes:
    """Return bytes that are equal exactly for equal names."""
    return json.dumps(
        [sorted([oid, _folded(text, der)] for oid, text, der in component) for component in name.components],
        separators=(",", ":"),
    ).encode()


def shown(name: Name) -> str:
    """Return the name for messages, in the form of RFC 4514: ``CN=MyCA``. A long one is shortened."""
    text = name.text or "(empty name)"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def common_names(name: Name) -> list[str]:
    """Return every common name (CN) of the name."""
    return name.texts(COMMON_NAME)


def _folded(text: str | None, der: bytes) -> str:
    if text is not None:
        return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    # Older versions wrote rows with a bit string without its tag and length.
    return f"#{(der[2:] if der[0] == _BIT_STRING and len(der) < 130 else der).hex()}"
