"""Reads JSON and keeps the line and column of each value, for error messages.

The syntax is strictly RFC 8259: no NaN, no name twice in an object, no half of a surrogate pair.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sekisho.templates.error import Place, TemplateError

MAX_DEPTH: Final = 32
"""Nesting of objects and arrays."""

_BLANKS: Final = re.compile(r"[ \t\n\r]*")
_STRING: Final = re.compile(r'"(?:[^"\\\x00-\x1f]++|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*+"')
_STRING_UP_TO_FAULT: Final = re.compile(r'"(?:[^"\\\x00-\x1f]++|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*+')
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_WORDS: Final[Mapping[str, bool | None]] = {"true": True, "false": False, "null": None}
_WORD: Final = re.compile(r"[A-Za-z]+")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")

Value = str | int | float | bool | None | tuple["Node", ...] | Mapping[str, "Node"]


@dataclass(frozen=True, slots=True)
class Node:
    """A JSON value and its position."""

    value: Value
    place: Place
    name_place: Place
    """The position of its name in the object that contains it; without a name its own position."""

    @property
    def kind(self) -> str:
        """The kind of value, for a message."""
        match self.value:
            case None:
                return "null"
            case bool():
                return "a boolean"
            case str():
                return "a string"
            case int() | float():
                return "a number"
            case tuple():
                return "an array"
            case _:
                return "an object"


def plain(node: Node) -> Any:
    """Return the value as ``json.loads`` does."""
    if isinstance(node.value, tuple):
        return [plain(each) for each in node.value]
    if isinstance(node.value, Mapping):
        return {name: plain(each) for name, each in node.value.items()}
    return node.value


def read(text: str) -> Node:
    """Read a JSON text. Raises TemplateError."""
    reader = _Reader(text)
    node = reader.value(reader.after_blanks(0), 0)
    end = reader.after_blanks(reader.end)
    if end < len(text):
        raise reader.fault("there is something after the end of the template", end)
    return node


def is_text(value: str) -> bool:
    """Return whether it can be encoded as UTF-8: half of a surrogate pair cannot."""
    return _SURROGATE.search(value) is None


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._lines = [0, *(found.end() for found in re.finditer("\n", text))]
        self.end = 0
        """The position after the last value that was read."""

    def value(self, start: int, depth: int, name_place: Place | None = None) -> Node:
        place = self._place(start)
        value: Value
        match self._text[start : start + 1]:
            case "{":
                value = self._object(start, depth + 1)
            case "[":
                value = self._array(start, depth + 1)
            case '"':
                value = self._string(start)
            case _:
                value = self._scalar(start)
        return Node(value, place, name_place or place)

    def after_blanks(self, start: int) -> int:
        found = _BLANKS.match(self._text, start)
        return start if found is None else found.end()

    def fault(self, what: str, position: int) -> TemplateError:
        return TemplateError(f"not JSON: {what}.", self._place(position))

    def _object(self, start: int, depth: int) -> Mapping[str, Node]:
        self._require_depth(start, depth)
        members: dict[str, Node] = {}
        position = self.after_blanks(start + 1)
        if self._text.startswith("}", position):
            self.end = position + 1
            return members
        while True:
            if not self._text.startswith('"', position):
                raise self.fault(self._missing("a name in double quotes", position), position)
            name, name_place = self._string(position), self._place(position)
            if name in members:
                raise TemplateError(
                    f"{name[:100]!r} is given twice in one object, first in line {members[name].name_place.line}.",
                    name_place,
                )
            position = self.after_blanks(self.end)
            if not self._text.startswith(":", position):
                raise self.fault(self._missing("a colon", position), position)
            members[name] = self.value(self.after_blanks(position + 1), depth, name_place)
            position = self.after_blanks(self.end)
            if self._text.startswith("}", position):
                self.end = position + 1
                return members
            if not self._text.startswith(",", position):
                raise self.fault(self._missing("a comma or a closing brace", position), position)
            position = self.after_blanks(position + 1)

    def _array(self, start: int, depth: int) -> tuple[Node, ...]:
        self._require_depth(start, depth)
        items: list[Node] = []
        position = self.after_blanks(start + 1)
        if self._text.startswith("]", position):
            self.end = position + 1
            return ()
        while True:
            items.append(self.value(position, depth))
            position = self.after_blanks(self.end)
            if self._text.startswith("]", position):
                self.end = position + 1
                return tuple(items)
            if not self._text.startswith(",", position):
                raise self.fault(self._missing("a comma or a closing bracket", position), position)
            position = self.after_blanks(position + 1)

    def _string(self, start: int) -> str:
        found = _STRING.match(self._text, start)
        if found is None:
            raise self._string_fault(start)
        # The syntax is checked here; the standard library decodes the escapes.
        value: str = json.loads(found[0])
        if not is_text(value):
            raise self.fault("the string has half of a surrogate pair, which is not a character", start)
        self.end = found.end()
        return value

    def _string_fault(self, start: int) -> TemplateError:
        found = _STRING_UP_TO_FAULT.match(self._text, start)
        position = start if found is None else found.end()
        match self._text[position : position + 1]:
            case "\\":
                return self.fault("the backslash does not begin an escape of JSON", position)
            case "":
                return self.fault("the string that begins here does not end", start)
            case _:
                return self.fault("a line break or control character inside a string has to be escaped", position)

    def _scalar(self, start: int) -> int | float | bool | None:
        word = _WORD.match(self._text, start)
        if word is not None and word[0] in _WORDS:
            self.end = word.end()
            return _WORDS[word[0]]
        number = _NUMBER.match(self._text, start)
        if number is None:
            raise self.fault(self._missing("a value", start), start)
        self.end = number.end()
        try:
            value: int | float = json.loads(number[0])
        except ValueError:
            # Python reads no integers of more than 4300 digits.
            raise TemplateError("the number has too many digits.", self._place(start)) from None
        return value

    def _missing(self, what: str, position: int) -> str:
        if position >= len(self._text):
            return f"it ends where {what} is expected"
        return f"{what} is expected here"

    def _require_depth(self, position: int, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise TemplateError(
                f"it is nested too deeply: at most {MAX_DEPTH} objects and arrays stand inside each other.",
                self._place(position),
            )

    def _place(self, position: int) -> Place:
        line = bisect_right(self._lines, position)
        return Place(line, position - self._lines[line - 1] + 1)
