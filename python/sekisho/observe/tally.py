"""Counts what may happen thousands of times a second, so that the log has one line of it per owner and interval."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Final

LOG_INTERVAL_SECONDS: Final = 10.0
"""Seconds between two log lines about the same owner (an account, say)."""

MAX_OWNERS: Final = 10_000
"""Owners remembered by one tally; where more come, all are forgotten, and the next line of each comes at once."""


class Tally:
    """Says when a log line is due, and how many occurrences it is about. May be used from any thread.

    Args:
        seconds: Between two lines about one owner.
        clock: Seconds, monotonic.
    """

    def __init__(self, seconds: float = LOG_INTERVAL_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._total = 0
        self._counts: dict[Hashable, tuple[int, float]] = {}

    @property
    def total(self) -> int:
        """Occurrences since the start, of all owners."""
        return self._total

    def add(self, owner: Hashable, count: int = 1) -> int:
        """Count occurrences. Returns how many a log line is to tell of now, these included; 0 where none is due."""
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
        """Owners with occurrences that no line has told of, and whose interval is over; forgets who has none."""
        with self._lock:
            now = self._clock()
            over = {owner: untold for owner, (untold, not_before) in self._counts.items() if now >= not_before}
            for owner in over:
                del self._counts[owner]
            told = [(owner, untold) for owner, untold in over.items() if untold]
            self._counts.update((owner, (0, now + self._seconds)) for owner, _ in told)
            return told
