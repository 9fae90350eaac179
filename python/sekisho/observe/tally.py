"""Counts events that may happen thousands of times a second, for one log line per owner and interval."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Final

LOG_INTERVAL_SECONDS: Final = 10.0
"""Between two log lines about the same owner, such as an account."""

MAX_OWNERS: Final = 10_000
"""Owners in one tally; beyond, all are removed, and the next line of each is due at once."""


class Tally:
    """Determines when a log line is due, and how many events it is about. Methods may be called from any thread.

    Args:
        seconds: Between two lines about one owner.
        clock: A monotonic clock, in seconds.
    """

    def __init__(self, seconds: float = LOG_INTERVAL_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._total = 0
        self._counts: dict[Hashable, tuple[int, float]] = {}

    @property
    def total(self) -> int:
        """Events of all owners since the start."""
        return self._total

    def add(self, owner: Hashable, count: int = 1) -> int:
        """Count events. Returns the number for a log line that is due now, these included; 0 where none is due."""
        with self._lock:
            self._total += count
            now = self._clock()
            if owner not in self._counts and len(self._counts) >= MAX_OWNERS:
                self._counts.clear()
            untold, not_before = self._counts.get(owner, (0, now))
            due = untold + count if now >= not_before else 0
            self._counts[owner] = (0, now + self._seconds) if due else (untold + count, not_before)
            return due

    def due(self) -> list[tuple[Hashable, int]]:
        """Return owners with events that are not logged yet and whose interval is over; remove owners without any."""
        with self._lock:
            now = self._clock()
            over = {owner: untold for owner, (untold, not_before) in self._counts.items() if now >= not_before}
            for owner in over:
                del self._counts[owner]
            told = [(owner, untold) for owner, untold in over.items() if untold]
            self._counts.update((owner, (0, now + self._seconds)) for owner, _ in told)
            return told
