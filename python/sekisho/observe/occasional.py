"""A log of events that a peer can cause thousands of times a second."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

LOG_INTERVAL_SECONDS: Final = 10.0
"""The least time between two lines about the same event."""


@dataclass(slots=True)
class _Event:
    """One kind of event: when its last line was written, and what has happened since."""

    logged_at: float
    count: int = 0
    facts: dict[str, Any] = field(default_factory=dict)


class OccasionalLog:
    """Writes the first event of a kind at once, and after that one line per interval with the number of events.

    Not thread-safe: one thread calls it. Call `flush` from time to time, so that the last events of a burst are told.

    Args:
        log: Where the lines go.
        interval: Seconds between two lines about the same event.
        now: Seconds on a clock that never goes back.
    """

    def __init__(
        self,
        log: structlog.typing.FilteringBoundLogger,
        interval: float = LOG_INTERVAL_SECONDS,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._interval = interval
        self._now = now
        self._events: dict[str, _Event] = {}

    def warn(self, event: str, **facts: Any) -> None:
        """Count one event. `facts` are those of the line; a line about several events has those of the last one."""
        known = self._events.get(event)
        if known is None:
            self._events[event] = _Event(self._now())
            self._log.warning(event, **facts, count=1)
            return
        known.count += 1
        known.facts = facts
        self._write_if_due(event, known)

    def flush(self) -> None:
        """Write the lines that are due, and forget events that have stopped."""
        for event, known in list(self._events.items()):
            if known.count:
                self._write_if_due(event, known)
            elif self._now() - known.logged_at >= self._interval:
                del self._events[event]

    def _write_if_due(self, event: str, known: _Event) -> None:
        if self._now() - known.logged_at >= self._interval:
            self._log.warning(event, **known.facts, count=known.count)
            known.logged_at, known.count = self._now(), 0
