"""Renders log lines for people: time, level and what happened first, then the reason, other fields, the code last."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sekisho.observe.event_fields import LINE_FIELDS
from sekisho.printable import printable

_BOLD, _DIM, _RESET = "\x1b[1m", "\x1b[2m", "\x1b[0m"
_COLOURS: Final = {"warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[31;1m"}

_BLOCKS: Final = ("stack_trace", "exception")
"""Fields of several lines, which are shown below the line, indented: so none of them looks like a line of the log."""

_FIRST: Final = ("reason", "detail")


class TerminalRenderer:
    """The last processor of structlog on a terminal. Control characters are escaped: peers choose parts of lines."""

    def __init__(self, *, has_colours: bool) -> None:
        self._has_colours = has_colours

    def __call__(self, _logger: object, _method: str, line: Mapping[str, Any]) -> str:
        """Return the line without its line feed."""
        level = str(line.get("level", ""))
        what = [printable(str(line.get("event", "")))]
        what += [printable(str(line[name])) for name in _FIRST if line.get(name) is not None]
        sentence = self._styled(_BOLD, what[0]) + "".join(f": {each}" for each in what[1:])
        facts = [
            f"{self._styled(_DIM, f'{printable(name)}=')}{_value(value)}"
            for name, value in line.items()
            if value is not None and name not in (*LINE_FIELDS, *_FIRST, *_BLOCKS)
        ]
        start = f"{_local(line.get('timestamp'))} {self._styled(_COLOURS.get(level, ''), f'{printable(level):8}')}"
        code = self._styled(_DIM, f"[{printable(str(line.get('code', '')))}]")
        blocks = [_indented(str(line[name])) for name in _BLOCKS if line.get(name) is not None]
        return "\n".join([f"{start} {'  '.join([sentence, *([' '.join(facts)] if facts else []), code])}", *blocks])

    def _styled(self, style: str, text: str) -> str:
        return f"{style}{text}{_RESET}" if self._has_colours and style else text


def _value(value: object) -> str:
    """A value in one word or in quotes: text of a peer cannot look like another field."""
    text = value if isinstance(value, str) else str(value)
    return text if text and text.isprintable() and not set(text) & set(" ='\"\\") else printable(repr(text))


def _indented(text: str) -> str:
    return "\n".join(f"    {printable(each, keep=chr(9))}" for each in text.split("\n"))


def _local(timestamp: object) -> str:
    return f"{datetime.fromisoformat(str(timestamp)).astimezone():%Y-%m-%d %H:%M:%S}" if timestamp else "-"
