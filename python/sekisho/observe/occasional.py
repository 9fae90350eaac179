"""Logs events that a peer can cause thousands of times a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Any

from sekisho.observe.event_log import log
from sekisho.observe.events import LogEvent
from sekisho.observe.tally import LOG_INTERVAL_SECONDS, Tally


class OccasionalLog:
    """Writes the first event of a kind at once, and after that one line per interval with the number of events.

    Call `flush` regularly, so that the last events of a burst are logged.

    Args:
        interval: Seconds between two lines about the same event.
        now: A monotonic clock, in seconds.
    """

    def __init__(self, interval: float = LOG_INTERVAL_SECONDS, now: Callable[[], float] = time.monotonic) -> None:
        self._tally = Tally(interval, now)
        self._last: dict[Hashable, tuple[LogEvent, dict[str, Any]]] = {}

    def write(self, event: LogEvent, **fields: Any) -> None:
        """Count an event, which declares ``count``. A line about several events has the fields of the last."""
        self._last[event] = event, fields
        self._write(event, self._tally.add(event))

    def flush(self) -> None:
        """Write the lines that are due."""
        for owner, count in self._tally.due():
            self._write(owner, count)

    def _write(self, owner: Hashable, count: int) -> None:
        if count:
            event, fields = self._last[owner]
            log.write(event, **fields, count=count)
