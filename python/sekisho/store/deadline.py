"""The deadline of a transaction, which bounds each of its waits.

The waits are: the process's write lock, a free connection, a new connection, the database's write lock, each statement
and the commit, also one that writers share (``group_commit``). So each transaction ends or fails within the same time,
however many transactions wait.
"""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import Final

STORE_TIMEOUT_SECONDS: float = 5.0
"""Seconds that a transaction may take with all its waits. Then it fails, and the API answers 503."""

_deadline: Final[ContextVar[float | None]] = ContextVar("sekisho_store_deadline", default=None)


class until:  # noqa: N801 - it is used as a function
    """Sets the deadline of the block: ``moment``, on the clock ``time.monotonic``."""

    __slots__ = ("_moment", "_token")

    def __init__(self, moment: float) -> None:
        self._moment = moment

    def __enter__(self) -> None:
        self._token = _deadline.set(self._moment)

    def __exit__(self, *_: object) -> None:
        _deadline.reset(self._token)


def begin() -> until:
    """Set the deadline of the block: ``STORE_TIMEOUT_SECONDS`` from now. A block within another has its own."""
    return until(time.monotonic() + STORE_TIMEOUT_SECONDS)


def moment() -> float:
    """Return the deadline, on the clock ``time.monotonic``; ``STORE_TIMEOUT_SECONDS`` from now outside a block with
    one.
    """
    deadline = _deadline.get()
    return time.monotonic() + STORE_TIMEOUT_SECONDS if deadline is None else deadline


def lift() -> None:
    """Remove the deadline of the rest of the block: for a migration, whose length depends on the data."""
    _deadline.set(None)


def seconds_left() -> float | None:
    """Return the seconds until the deadline, at least 0; None outside a block that has one."""
    deadline = _deadline.get()
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def milliseconds_left() -> int:
    """Return the same in whole milliseconds, at least 1; ``STORE_TIMEOUT_SECONDS`` outside such a block."""
    left = seconds_left()
    return max(1, round((STORE_TIMEOUT_SECONDS if left is None else left) * 1000))
