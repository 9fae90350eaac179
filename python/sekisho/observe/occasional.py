"""Logs events that a peer can cause thousands of times a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Any

import structlog

from sekisho.observe.tally import LOG_INTERVAL_SECONDS, Tally


class OccasionalLog:
    """Writes the first event of a kind at once, and after that one line per interval with the number of events.

    Call `flush` regularly, so that the last events of a burst are logged.

    Args:
        log: The logger.
        interval: Seconds between two lines about the same event.
        now: A monotonic clock, in seconds.
    """

    def __init__(
        self,
        log: structlog.typing.FilteringBoundLogger,
        interval: float = LOG_INTERVAL_SECONDS,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._tally = Tally(interval, now)
        self._facts: dict[Hashable, dict[str, Any]] = {}

    def warn(self, event: str, **facts: Any) -> None:
        """Count an event. A line has `facts`; one about several events has those of the last."""
        self._facts[event] = facts
        self._write(event, self._tally.add(event))

    def flush(self) -> None:
        """Write the lines that are due."""
        for event, count in self._tally.due():
            self._write(event, count)

    def _write(self, event: Hashable, count: int) -> None:
        if count:
            self._log.warning(str(event), **self._facts[event], count=count)
