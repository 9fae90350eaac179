"""Compiles the regular expressions of the model with the meaning that they have in Java.

The patterns are Java's. They differ from Python's in three ways: POSIX classes and `\\w`, `\\d`, `\\s` mean ASCII (so
`[\\p{Graph}\\x20]*` refuses "é") while `\\p{L}` means every letter; Python's `re` does not have `\\p{…}` (the `regex`
library does); and `\\u10000` has as many digits as it needs. A pattern constrains the whole
value.

Source: java.util.regex.Pattern, "POSIX character classes (US-ASCII only)"; the Smithy `pattern` trait.
"""

from __future__ import annotations

from functools import cache

import regex

_ASCII_CLASSES = {
    r"\w": "a-zA-Z0-9_",
    r"\d": "0-9",
    r"\s": r" \t\n\x0b\f\r",
    r"\p{Graph}": r"\x21-\x7e",
    r"\p{Upper}": "A-Z",
    r"\p{Digit}": "0-9",
    r"\p{Cntrl}": r"\x00-\x1f\x7f",
}
_NEGATED = {r"\W": r"\w", r"\D": r"\d", r"\S": r"\s"}

# An escape (\p{…}, a long \u…, any single character), or one plain character.
_PIECE = regex.compile(r"\\p\{\w+\}|\\u[0-9A-Fa-f]{4,6}|\\.|.", regex.DOTALL)


@cache
def whole_value(pattern: str) -> regex.Pattern[str]:
    """Compile a pattern of the model. Use its `fullmatch`.

    Raises:
        regex.error: The pattern is not a valid regular expression.
    """
    return regex.compile(_translate(pattern))


def _translate(pattern: str) -> str:
    translated: list[str] = []
    in_class = False
    for piece in _PIECE.findall(pattern):
        if piece == "[":
            in_class = True
        elif piece == "]":
            in_class = False
        translated.append(_translate_piece(piece, in_class))
    return "".join(translated)


def _translate_piece(piece: str, in_class: bool) -> str:
    if piece in _ASCII_CLASSES:
        return _ASCII_CLASSES[piece] if in_class else f"[{_ASCII_CLASSES[piece]}]"
    # Within a class a negation cannot be expanded; the only one in use, [\s\S], means "anything" in both languages.
    if piece in _NEGATED and not in_class:
        return f"[^{_ASCII_CLASSES[_NEGATED[piece]]}]"
    if piece.startswith("\\u"):
        return f"\\U{int(piece[2:], 16):08x}"
    return piece
