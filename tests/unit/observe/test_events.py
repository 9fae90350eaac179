"""The registry of log events, and every call that writes one."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import sekisho
from sekisho.observe.event_fields import FIELDS, LINE_FIELDS
from sekisho.observe.events import LogEvent

SOURCES = Path(sekisho.__file__).parent
_WRITERS = {"log.write", "log.exception", "self._occasional.write"}
_ADDED = {"exc_info"}


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Yield each call that writes a log line, with its place."""
    for file in sorted(SOURCES.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in _WRITERS:
                yield f"{file.relative_to(SOURCES)}:{node.lineno}", node


def members(node: ast.AST) -> set[str]:
    """Return the names of the events in an expression."""
    return set(re.findall(r"\bLogEvent\.([A-Z_]+)", ast.unparse(node)))


@pytest.mark.parametrize("event", LogEvent, ids=lambda event: event.code)
def test_an_event_has_a_code_a_sentence_and_fields_with_a_meaning(event: LogEvent) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", event.code)
    assert event.sentence
    assert not event.sentence.endswith(".")
    assert len(set(event.fields)) == len(event.fields)
    assert set(event.fields) <= set(FIELDS)
    assert not set(event.fields) & {*LINE_FIELDS, "exc_info"}


def test_no_two_events_have_one_sentence() -> None:
    assert len({event.sentence for event in LogEvent}) == len(LogEvent)


def test_every_field_is_one_of_an_event() -> None:
    assert set(FIELDS) == {field for event in LogEvent for field in event.fields}


def test_calls_pass_only_fields_that_their_event_declares() -> None:
    found = list(calls())
    assert len(found) > 80
    for place, call in found:
        for name in members(call.args[0]):
            passed = {keyword.arg for keyword in call.keywords if keyword.arg is not None}
            undeclared = passed - {*LogEvent[name].fields, *_ADDED}
            assert not undeclared, f"{place}: {name} does not declare {sorted(undeclared)}"


def test_every_event_is_written_somewhere() -> None:
    written: set[str] = set()
    for file in SOURCES.rglob("*.py"):
        if file.name != "events.py":
            written |= members(ast.parse(file.read_text()))
    assert written == {event.name for event in LogEvent}


def test_log_lines_are_written_by_their_event_alone() -> None:
    """No module but those of the log itself uses structlog or writes to the standard library's logging."""
    others = {
        str(file.relative_to(SOURCES))
        for file in SOURCES.rglob("*.py")
        if re.search(
            r"^\s*(import|from) structlog|\blog\.(debug|info|warning|error|critical)\(", file.read_text(), re.M
        )
    }
    assert others == {"observe/event_log.py", "observe/logging.py"}
