"""Waits for conditions, so that no test waits for a fixed time."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Generator
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
    pauses = _pauses(condition, what, within)
    while not (value := condition()):
        time.sleep(pauses.send(value))
    return value


async def eventually_async(
    condition: Callable[[], T], what: str | Callable[[], object] = "", *, within: float = WITHIN_SECONDS
) -> T:
    """Do the same as ``eventually`` while other tasks of the event loop run."""
    pauses = _pauses(condition, what, within)
    while not (value := condition()):
        await asyncio.sleep(pauses.send(value))
    return value


def _pauses(
    condition: Callable[[], object], what: str | Callable[[], object], within: float
) -> Generator[float, object, None]:
    """Return a generator of the seconds between two calls, to which each value that was returned is sent."""

    def pauses() -> Generator[float, object, None]:
        deadline = time.monotonic() + within
        pause = 0.001
        value = yield 0.0
        while time.monotonic() <= deadline:
            value = yield pause
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        described = what() if callable(what) else what
        pytest.fail(f"not so within {within:g} s: {_source(condition)} returned {value!r}\n{described}".rstrip())

    made = pauses()
    next(made)
    return made


def _source(condition: Callable[[], object]) -> str:
    try:
        return inspect.getsource(condition).strip()
    except (OSError, TypeError):
        return repr(condition)
