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
            structlog.get_logger("test").exception("a request failed")
    assert "it failed" in stream.said()
    assert "the-secret" not in stream.said()


def test_elsewhere_than_on_a_terminal_a_line_is_one_json_object(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = configured(monkeypatch, "warning")
    log = structlog.get_logger("test")
    log.info("not wanted")
    log.warning("wanted", number=1)
    [said] = lines(stream)
    assert (said["event"], said["level"], said["number"]) == ("wanted", "warning", 1)


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
    assert "timestamp" in first
    assert "OSError" in second["exception"]


def test_colours_are_left_out_where_the_environment_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", stream := Terminal(is_terminal=True))
    monkeypatch.setenv("NO_COLOR", "1")
    logging.configure("info")
    structlog.get_logger("test").info("plain", word="x")
    assert "\x1b" not in stream.said()


class Unspeakable:
    """A value that has no text."""

    def __repr__(self) -> str:
        raise ValueError("no text")

    __str__ = __repr__


def test_a_line_that_cannot_be_rendered_raises_nothing_and_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = configured(monkeypatch)
    structlog.get_logger("test").info("broken", value=Unspeakable())
    standard_logging.getLogger("a.library").warning("broken %s", Unspeakable())
    structlog.get_logger("test").info("after \ud800", value="\ud800")
    *dropped, last = lines(stream)
    assert {line["event"] for line in dropped} == {"log lines were dropped"}
    assert sum(line["count"] for line in dropped) == 2
    assert last["event"].startswith("after")
    assert logging.state().dropped == 2


def test_without_standard_error_logging_raises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    logging.configure("info")
    structlog.get_logger("test").info("into the void")
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
        log = structlog.get_logger("test")
        # More than a pipe holds.
        for number in range(2000):
            log.info("a line", number=number, filling="x" * 100)
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
    assert (first["event"], first["thread"]) == ("a thread has failed", "mine")
    assert (second["event"], second["level"]) == ("the server has failed", "critical")
    assert all("RuntimeError: it failed" in line["exception"] for line in (first, second))


def test_a_line_on_a_terminal_does_not_steer_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal(is_terminal=True)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("NO_COLOR", "1")
    logging.configure("info")
    structlog.get_logger("test").warning("connection refused", client_id="a\x1b[2J\nforged\x9b", names=["\x1b"])
    standard_logging.getLogger("library").warning("\x1b]0;title\x07")
    try:
        raise RuntimeError("\x1b[31m")
    except RuntimeError:
        structlog.get_logger("test").exception("a request failed")
    said = stream.said()
    assert "a\\x1b[2J\\nforged\\x9b" in said
    assert all(line.isprintable() for line in said.replace("\t", " ").splitlines())
    assert len([line for line in said.splitlines() if "connection refused" in line]) == 1
