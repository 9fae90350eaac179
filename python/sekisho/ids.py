"""Identifiers: unguessable, and unique without asking anyone."""

from __future__ import annotations

import secrets
import uuid
from typing import Final

_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz0123456789"


def unique() -> str:
    """A random UUID in its usual text form, as AWS uses for thingId and generationId."""
    return str(uuid.uuid4())


def short(length: int = 8) -> str:
    """Lower-case letters and digits, for names that a person may have to read out."""
    return "".join(secrets.choice(_LETTERS) for _ in range(length))


def certificate_id(text: str) -> str:
    """A certificate id as a request gives it, in the form in which it is kept: lower case, without ``0x``."""
    return text.lower().removeprefix("0x")
