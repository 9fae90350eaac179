"""What of a refused value a message repeats."""

from __future__ import annotations

from sekisho.printable import printable

MAX_ECHO = 100
"""How many characters of a value a message repeats."""


def echo(text: str) -> str:
    """The beginning of `text`, with control characters escaped: they would let it forge lines in a terminal or log."""
    shown = printable(text[:MAX_ECHO])
    return shown if len(text) <= MAX_ECHO else shown + "…"
