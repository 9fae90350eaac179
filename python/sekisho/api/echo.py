"""The part of a refused value that a message repeats."""

from __future__ import annotations

from sekisho.printable import printable

MAX_ECHO = 100
"""Maximum number of characters of a value in a message."""


def echo(text: str) -> str:
    """Return the beginning of `text` with control characters escaped, which could forge lines in a terminal or log."""
    shown = printable(text[:MAX_ECHO])
    return shown if len(text) <= MAX_ECHO else shown + "…"
