"""Reads log lines by the code of their event, and holds each line to what its event declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from structlog.testing import capture_logs

from sekisho.observe.event_fields import LINE_FIELDS
from sekisho.observe.events import LogEvent

Line = TypeVar("Line", bound=Mapping[str, Any])


@contextmanager
def captured_log() -> Iterator[list[MutableMapping[str, Any]]]:
    """Collect the lines that are logged in a block, and check each of them at its end."""
    with capture_logs() as lines:
        yield lines
    for line in lines:
        check(line, "log_level", "exc_info")


def lines_of(lines: Sequence[Line], code: str, **fields: Any) -> list[Line]:
    """Return the lines of an event that have these fields. Raises KeyError where no event has the code."""
    wanted = {"code": LogEvent[code.upper()].code, **fields}
    return [line for line in lines if all(line.get(name) == value for name, value in wanted.items())]


def check(line: Mapping[str, Any], *allowed: str) -> None:
    """Assert that a line is one of its event: no sentence without a code, no field that the event does not declare."""
    event = LogEvent[str(line["code"]).upper()]
    undeclared = set(line) - {*LINE_FIELDS, *event.fields, *allowed}
    assert not undeclared, f"{event} does not declare {sorted(undeclared)}"
    if event not in (LogEvent.LIBRARY_MESSAGE, LogEvent.PYTHON_WARNING):
        assert line["event"] == event.sentence
