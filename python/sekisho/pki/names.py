"""Distinguished names: comparing them, and showing them to people.

RFC 5280, section 7.1: two names are the same where their attributes are; upper and lower case, repeated blanks and the
kind of string do not count. Programs differ in the kind of string they write, and comparing bytes would then call a
CA unknown that every other tool finds. A value that is no text is compared by its bytes.
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
    """As RFC 4514 writes it; empty for an empty name."""
    components: Sequence[Sequence[tuple[str, str | None, bytes]]]
    """In their order, each a set of (object identifier, text or None where it is no text, DER of the value)."""

    def texts(self, oid: str) -> list[str]:
        """Texts of every attribute of this type (object identifier in dotted numbers), in their order."""
        return [
            text for component in self.components for each, text, _ in component if each == oid and text is not None
        ]


def read(der: bytes) -> Name:
    """The name in these bytes. Raises ``reader.Unreadable``."""
    return Name(**reader.read_name(der))


def canonical(name: Name) -> bytes:
    """The same bytes for all names that are the same, and for no others."""
    return json.dumps(
        [sorted([oid, _folded(text, der)] for oid, text, der in component) for component in name.components],
        separators=(",", ":"),
    ).encode()


def shown(name: Name) -> str:
    """The name for people, as RFC 4514 writes it: ``CN=MyCA``. A long one is cut."""
    text = name.text or "(empty name)"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def common_names(name: Name) -> list[str]:
    """Every common name (CN) in the name."""
    return name.texts(COMMON_NAME)


def _folded(text: str | None, der: bytes) -> str:
    if text is not None:
        return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    # Rows that older versions wrote have a bit string without its tag and length.
    return f"#{(der[2:] if der[0] == _BIT_STRING and len(der) < 130 else der).hex()}"
