"""Log lines as people read them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from sekisho.observe.terminal import TerminalRenderer


def shown(**line: Any) -> str:
    return TerminalRenderer(has_colours=False)(None, "", {"level": "warning", "code": "x_happened", **line})


def test_what_happened_comes_first_then_the_reason_and_the_code_last() -> None:
    line = shown(account_id="1", event="connection refused", detail="It is so.", reason="INACTIVE", peer="[::1]:9")
    assert line == "- warning  connection refused: INACTIVE: It is so.  account_id=1 peer=[::1]:9  [x_happened]"


@pytest.fixture
def in_tokyo() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("in_tokyo")
def test_a_line_begins_with_the_local_time() -> None:
    line = shown(timestamp="2026-11-28T20:00:00.123456Z", event="it stops")
    assert line == "2026-11-29 05:00:00 warning  it stops  [x_happened]"


def test_a_field_without_a_value_is_left_out() -> None:
    assert shown(event="it stops", reason=None, peer=None) == "- warning  it stops  [x_happened]"


@pytest.mark.parametrize("value", ["a b", "a=b", "", "it's", 'a"b', "a\\b", "a\nb"])
def test_a_value_that_could_look_like_another_field_is_in_quotes(value: str) -> None:
    assert shown(event="e", client_id=value) == f"- warning  e  client_id={value!r}  [x_happened]"


def test_a_traceback_is_below_the_line_and_no_line_of_it_looks_like_one_of_the_log() -> None:
    first, *below = shown(
        event="it failed", exception="Traceback:\n\t\x1b[1mx\n2026-11-28 10:00:00 error forged"
    ).split("\n")
    assert first == "- warning  it failed  [x_happened]"
    assert below == ["    Traceback:", "    \t\\x1b[1mx", "    2026-11-28 10:00:00 error forged"]


def test_colours_are_styles_of_level_sentence_and_code() -> None:
    renderer = TerminalRenderer(has_colours=True)
    line = renderer(None, "", {"level": "error", "code": "x_happened", "event": "it failed"})
    assert "\x1b[31merror   \x1b[0m" in line
    assert line.endswith("\x1b[2m[x_happened]\x1b[0m")
