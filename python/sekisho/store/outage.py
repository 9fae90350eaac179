"""Outages: while something fails that every transaction needs, one transaction at a time tries it.

The others fail at once. Otherwise each would wait until its deadline and block a thread, so that the last request of a
long queue would wait many times the deadline.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from sekisho.store import deadline
from sekisho.store.errors import StoreError

OUTAGE_AFTER_SECONDS: Final = 2.0
"""An attempt that fails after this time, while no other succeeded, begins an outage."""

OUTAGE_RETRY_SECONDS: Final = 1.0
"""Seconds from the end of an attempt to the next one, during an outage."""


class Outage:
    """The state of one thing that may fail: whether there is an outage, and since when.

    Args:
        failure: Makes the error of attempts that fail at once, from the seconds since the outage began.
    """

    def __init__(self, failure: Callable[[float], StoreError]) -> None:
        self._failure = failure
        self._lock = threading.Lock()
        self._since: float | None = None
        self._next_attempt = 0.0
        self._succeeded_at = 0.0

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Run the block, which tries the thing and raises if it fails. Raises ``failure`` where another one tries."""
        began = time.monotonic()
        with self._lock:
            if self._since is not None:
                if began < self._next_attempt:
                    raise self._failure(began - self._since)
                # No other attempt while this one lasts.
                self._next_attempt = began + deadline.STORE_TIMEOUT_SECONDS + OUTAGE_RETRY_SECONDS
        try:
            yield
        except BaseException:
            self._failed(began)
            raise
        with self._lock:
            self._since = None
            self._succeeded_at = time.monotonic()

    def _failed(self, began: float) -> None:
        now = time.monotonic()
        with self._lock:
            if self._succeeded_at > began:
                return
            if now - began >= OUTAGE_AFTER_SECONDS:
                self._since = self._since or began
                self._next_attempt = now + OUTAGE_RETRY_SECONDS
            else:
                # It fails at once, so attempts need not be limited.
                self._since = None
