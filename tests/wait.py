"""Waits for conditions, so that no test waits for a fixed time."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from typing import TypeVar

import pytest

WITHIN_SECONDS = 20.0
"""More seconds than any condition needs. Only a test that fails waits so long."""

_LONGEST_PAUSE_SECONDS = 0.02

T = TypeVar("T")


def eventually(
    condition: Callable[[], T], what: str | Callable[[], object] = "", *, within: float = WITHIN_SECONDS
) -> T:
    """Call ``condition`` again and again until it returns something true, and return that.

    Fails the test after ``within`` seconds, naming the condition, what it returned last, and ``what``: words, or a
    function that describes the state.
    """
    deadline = time.monotonic() + within
    pause = 0.001
    while not (value := condition()):
        if time.monotonic() > deadline:
            described = what() if callable(what) else what
            pytest.fail(f"not so within {within:g} s: {_source(condition)} returned {value!r}\n{described}".rstrip())
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
    return value


def _source(condition: Callable[[], object]) -> str:
    try:
        return inspect.getsource(condition).strip()
    except (OSError, TypeError):
        return repr(condition)
