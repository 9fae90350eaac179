"""What of a refused value a message repeats."""

from __future__ import annotations

MAX_ECHO = 100
"""How many characters of a value a message repeats."""


def echo(text: str) -> str:
    """The beginning of `text`, with control characters escaped: they would let it forge lines in a terminal or log."""
    cut = text[:MAX_ECHO]
    printable = "".join(character if character.isprintable() else repr(character)[1:-1] for character in cut)
    return printable if len(text) <= MAX_ECHO else printable + "…"
