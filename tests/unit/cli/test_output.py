"""Text of devices and peers cannot control the terminal, and is exact everywhere else."""

from __future__ import annotations

import io
import json
import sys

import pytest

from sekisho.cli import output
from sekisho.printable import printable

HOSTILE = "a\x1b[2J\x9b1m\r\nb\x07\x7f\u202ec\u2028 é 関所"
SHOWN = "a\\x1b[2J\\x9b1m\\r\\nb\\x07\\x7f\\u202ec\\u2028 é 関所"


class Stream(io.StringIO):
    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


@pytest.mark.parametrize(("is_terminal", "shown"), [(True, SHOWN), (False, HOSTILE)])
def test_a_line_is_escaped_on_a_terminal_and_unchanged_elsewhere(
    monkeypatch: pytest.MonkeyPatch, is_terminal: bool, shown: str
) -> None:
    stream = Stream(is_terminal=is_terminal)
    monkeypatch.setattr(sys, "stdout", stream)
    output.show_line(HOSTILE)
    assert stream.getvalue() == f"{shown}\n"


@pytest.mark.parametrize("is_terminal", [True, False])
def test_json_has_the_same_values_and_only_printable_characters(
    monkeypatch: pytest.MonkeyPatch, is_terminal: bool
) -> None:
    stream = Stream(is_terminal=is_terminal)
    monkeypatch.setattr(sys, "stdout", stream)
    output.show_json_line({"payload": HOSTILE})
    output.show_json({"payload": HOSTILE})
    first, *rest = stream.getvalue().splitlines()
    assert first.isprintable()
    assert all(line.isprintable() for line in rest)
    assert json.loads(first) == json.loads("\n".join(rest)) == {"payload": HOSTILE}
    assert "関所" in first


def test_printable_text_is_unchanged() -> None:
    assert printable("é 関所 'a\\b'") == "é 関所 'a\\b'"
    assert printable("a\n\tb\x1b", keep="\n\t") == "a\n\tb\\x1b"
