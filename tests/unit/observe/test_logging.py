"""What the log says, on a terminal and elsewhere."""

from __future__ import annotations

import io
import json
import logging as standard_logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from sekisho.observe import logging
from sekisho.observe.event_log import log
from sekisho.observe.events import LogEvent
from tests.logs import check


class Terminal(io.StringIO):
    """A stream that says whether it is a terminal."""

    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal

    def said(self) -> str:
        """All of it, once it is written."""
        assert logging.flush(10)
        return self.getvalue()


@pytest.fixture(autouse=True)
def default_logging_afterwards() -> Iterator[None]:
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    root = standard_logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    log.use(None)
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
    standard_logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)


def configured(monkeypatch: pytest.MonkeyPatch, level: str = "info") -> Terminal:
    """The log's destination. Called in the test itself, since pytest puts its own in place before that."""
    made = Terminal(is_terminal=False)
    monkeypatch.setattr(sys, "stderr", made)
    logging.configure(level)
    return made


def lines(stream: Terminal) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.said().splitlines()]


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_traceback_in_the_log_shows_no_values(monkeypatch: pytest.MonkeyPatch, is_terminal: bool) -> None:
    stream = Terminal(is_terminal=is_terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    logging.configure("info")

    def failing(_private_key: str) -> None:
        raise RuntimeError("it failed")

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            failing("".join(("the", "-", "secret")))
        except RuntimeError:
            log.exception(LogEvent.API_REQUEST_FAILED)
    assert "it failed" in stream.said()
    assert "the-secret" not in stream.said()


def test_elsewhere_than_on_a_terminal_a_line_is_one_json_object(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = configured(monkeypatch, "warning")
    log.write(LogEvent.SERVER_STOPPING, reason="SIGTERM")
    log.write(LogEvent.MQTT_ACCEPT_FAILED, reason="too many open files", count=1)
    [line] = lines(stream)
    check(line)
    assert list(line) == ["timestamp", "level", "code", "event", "reason", "count"]
    assert (line["code"], line["level"], line["count"]) == ("mqtt_accept_failed", "warning", 1)


def test_a_field_that_is_none_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = configured(monkeypatch)
    log.write(LogEvent.CONNECTION_REFUSED, reason="TLS_FAILED", client_id=None, peer="127.0.0.1:1")
    [line] = lines(stream)
    assert set(line) == {"timestamp", "level", "code", "event", "reason", "peer"}


def test_fields_of_a_block_are_in_each_of_its_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = configured(monkeypatch)
    with log.fields(task_id="t"):
        log.write(LogEvent.BULK_REGISTRATION_TAKEN)
    log.write(LogEvent.BULK_REGISTRATION_TAKEN)
    assert [line.get("task_id") for line in lines(stream)] == ["t", None]


def test_what_a_library_logs_has_the_same_form(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = configured(monkeypatch)
    library = standard_logging.getLogger("a.library")
    library.info("chatter")
    library.warning("it has %d troubles", 2)
    try:
        raise OSError(5, "bad")
    except OSError:
        library.exception("it failed")
    first, second = lines(stream)
    assert (first["event"], first["level"], first["logger"]) == ("it has 2 troubles", "warning", "a.library")
    assert first["code"] == "library_message"
    check(first)
    check(second)
    assert "OSError" in second["exception"]


def test_a_warning_of_python_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = configured(monkeypatch)
    # By the logger of captureWarnings: pytest records those of the warnings module itself.
    standard_logging.getLogger("py.warnings").warning("%s", "a.py:1: DeprecationWarning: it is old")
    [line] = lines(stream)
    check(line)
    assert line["code"] == "python_warning"
    assert "it is old" in line["event"]


def test_colours_are_left_out_where_the_environment_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", stream := Terminal(is_terminal=True))
    monkeypatch.setenv("NO_COLOR", "1")
    logging.configure("info")
    log.write(LogEvent.SERVER_STOPPING, reason="SIGTERM")
    assert "\x1b" not in stream.said()


class Unspeakable:
    """A value that has no text."""

    def __repr__(self) -> str:
        raise ValueError("no text")

    __str__ = __repr__


def test_a_line_that_cannot_be_rendered_raises_nothing_and_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = configured(monkeypatch)
    log.write(LogEvent.SERVER_STOPPING, reason=Unspeakable())
    standard_logging.getLogger("a.library").warning("broken %s", Unspeakable())
    log.write(LogEvent.SERVER_STOPPING, reason="\ud800")
    *dropped, last = lines(stream)
    assert {line["code"] for line in dropped} == {"log_lines_dropped"}
    assert sum(line["count"] for line in dropped) == 2
    assert last["code"] == "server_stopping"
    assert logging.state().dropped == 2


def test_without_standard_error_logging_raises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    logging.configure("info")
    log.write(LogEvent.SERVER_STOPPING, reason="SIGTERM")
    assert logging.flush(10)


@pytest.mark.parametrize("is_closed", [True, False])
def test_a_pipe_that_is_closed_or_stands_still_raises_nothing_and_delays_nobody(
    monkeypatch: pytest.MonkeyPatch, is_closed: bool
) -> None:
    reader, pipe = os.pipe()
    if is_closed:
        os.close(reader)
    with os.fdopen(pipe, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        logging.configure("info")
        # More than a pipe holds.
        for _ in range(2000):
            log.write(LogEvent.SERVER_STOPPING, reason="x" * 100)
        state = logging.state()
        assert state.dropped == 0
        assert state.waiting > 0
        if not is_closed:
            # So that the thread can end.
            os.close(reader)


def test_errors_at_the_end_of_a_thread_or_of_the_program_are_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = configured(monkeypatch)

    def failing() -> None:
        raise RuntimeError("it failed")

    thread = threading.Thread(target=failing, name="mine")
    thread.start()
    thread.join()
    try:
        failing()
    except RuntimeError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    first, second = lines(stream)
    assert (first["code"], first["thread"]) == ("thread_failed", "mine")
    assert (second["code"], second["level"]) == ("server_failed", "critical")
    assert all("RuntimeError: it failed" in line["exception"] for line in (first, second))


def test_a_line_on_a_terminal_does_not_steer_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal(is_terminal=True)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("NO_COLOR", "1")
    logging.configure("info")
    log.write(LogEvent.CONNECTION_REFUSED, client_id="a\x1b[2J\nforged\x9b", reason="\r\x1b[1A", regions=["\x1b"])
    standard_logging.getLogger("library").warning("\x1b]0;title\x07")
    try:
        raise RuntimeError("\x1b[31m")
    except RuntimeError:
        log.exception(LogEvent.API_REQUEST_FAILED)
    said = stream.said()
    assert "a\\x1b[2J\\nforged\\x9b" in said
    assert all(line.isprintable() for line in said.replace("\t", " ").splitlines())
    assert len([line for line in said.splitlines() if "connection refused" in line]) == 1
