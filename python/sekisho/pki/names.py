"""Distinguished names: comparing them, and showing them to people.

RFC 5280, section 7.1: two names are the same where their attributes are; upper and lower case, repeated blanks and the
kind of string do not count. Programs differ in the kind of string they write, and comparing bytes would then call a
CA unknown that every other tool finds.
"""

from __future__ import annotations

import json
import unicodedata
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

_LONGEST_SHOWN: Final = 200


def canonical(name: x509.Name) -> bytes:
    """The same bytes for all names that are the same, and for no others."""
    return json.dumps(
        [sorted([each.oid.dotted_string, _folded(each.value)] for each in rdn) for rdn in name.rdns],
        separators=(",", ":"),
    ).encode()


def shown(name: x509.Name) -> str:
    """The name for people, as RFC 4514 writes it: ``CN=MyCA``. A long one is cut."""
    text = name.rfc4514_string() or "(empty name)"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def common_names(name: x509.Name) -> list[str]:
    """Every common name (CN) in the name."""
    return [str(each.value) for each in name.get_attributes_for_oid(NameOID.COMMON_NAME)]


def _folded(value: str | bytes) -> str:
    if isinstance(value, bytes):
        return f"#{value.hex()}"
    return " ".join(unicodedata.normalize("NFKC", value).casefold().split())
