"""While something stands still that every transaction needs, lets one transaction after the other try it.

The others fail at once. Else each would wait until its deadline, and hold a thread that requests in the queue behind it
need: the last of a long queue would wait many times the deadline.
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
"""An attempt that failed after so long, while no other succeeded, begins an outage."""

OUTAGE_RETRY_SECONDS: Final = 1.0
"""Seconds from one attempt's end to the next during an outage."""


class Outage:
    """Whether there is one, of one thing.

    Args:
        failure: The error of those that fail at once, of the seconds that it has lasted.
    """

    def __init__(self, failure: Callable[[float], StoreError]) -> None:
        self._failure = failure
        self._lock = threading.Lock()
        self._since: float | None = None
        self._next_attempt = 0.0
        self._succeeded_at = 0.0

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """The block tries the thing and raises where that fails. Raises ``failure`` where it is not its turn."""
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
                # It says no at once: asking costs nothing.
                self._since = None
