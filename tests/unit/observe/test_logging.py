"""What the log says, on a terminal and elsewhere."""

from __future__ import annotations

import io
import json
import sys
import warnings
from collections.abc import Iterator

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


@pytest.fixture(autouse=True)
def default_logging_afterwards() -> Iterator[None]:
    yield
    structlog.reset_defaults()


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
    assert "it failed" in stream.getvalue()
    assert "the-secret" not in stream.getvalue()


def test_elsewhere_than_on_a_terminal_a_line_is_one_json_object(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal(is_terminal=False)
    monkeypatch.setattr(sys, "stderr", stream)
    logging.configure("warning")
    log = structlog.get_logger("test")
    log.info("not wanted")
    log.warning("wanted", number=1)
    [line] = stream.getvalue().splitlines()
    said = json.loads(line)
    assert (said["event"], said["level"], said["number"]) == ("wanted", "warning", 1)
