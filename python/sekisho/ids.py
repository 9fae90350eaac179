"""Identifiers: random, so that they are unique without a look-up and cannot be guessed."""

from __future__ import annotations

import secrets
import uuid
from typing import Final

_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz0123456789"


def unique() -> str:
    """Return a random UUID as text, as AWS uses for ``thingId`` and ``generationId``."""
    return str(uuid.uuid4())


def short(length: int = 8) -> str:
    """Return random lower-case letters and digits, for names that people may have to read out."""
    return "".join(secrets.choice(_LETTERS) for _ in range(length))


def certificate_id(text: str) -> str:
    """Return a request's certificate id in the form in which the store keeps it: lower case, without ``0x``."""
    return text.lower().removeprefix("0x")
