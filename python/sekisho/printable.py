"""Escapes text from devices and peers, so that it can neither control a terminal nor forge a line of the log."""

from __future__ import annotations


def printable(text: str, keep: str = "") -> str:
    """Return ``text`` with every character that is not printable, except those in ``keep``, escaped as in Python.

    Not printable are control characters (also escape, line feed and C1), separators except the space, and characters
    that change the direction of text.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in keep else repr(character)[1:-1] for character in text
    )
