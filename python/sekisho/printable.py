"""Text that devices and peers have sent, as it may be shown: nothing in it steers a terminal or forges a line."""

from __future__ import annotations


def printable(text: str, keep: str = "") -> str:
    """``text`` with every character that is not printable escaped as in Python, but for those in ``keep``.

    That is control characters (escape, line feed, C1 among them), separators other than the space, and characters that
    change the direction of text.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in keep else repr(character)[1:-1] for character in text
    )
