"""Access keys that were looked up a moment ago, so that not every request reads them from the database."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from sekisho.api.sigv4 import Credentials, SecretKey

ACCESS_KEY_SECONDS: Final = 5.0
"""Seconds for which a key that was found is not looked up again. A key that is deleted, by this server or by another
process on the same database, stops working after as many seconds at most."""

MAX_CACHED_ACCESS_KEYS: Final = 1024
"""Keys that are remembered; beyond, the one that was looked up first is forgotten."""


class CachedCredentials:
    """`Credentials` that remember what others found.

    A key that does not exist is looked up each time: one that is created works at once, and requests with invented keys
    take no place of others.

    Args:
        credentials: Looks a key up.
        now: Seconds on a clock that never goes back.
    """

    def __init__(self, credentials: Credentials, now: Callable[[], float] = time.monotonic) -> None:
        self._credentials = credentials
        self._now = now
        self._lock = threading.Lock()
        self._found: OrderedDict[str, tuple[float, SecretKey]] = OrderedDict()

    def __call__(self, access_key_id: str, /) -> SecretKey | None:
        """The key, or None. Raises what the look-up raises."""
        return self.cached(access_key_id) or self._look_up(access_key_id, self._now())

    def cached(self, access_key_id: str) -> SecretKey | None:
        """The key, where it is known without looking it up."""
        entry = self._found.get(access_key_id)
        return entry[1] if entry is not None and self._now() < entry[0] else None

    def _look_up(self, access_key_id: str, now: float) -> SecretKey | None:
        key = self._credentials(access_key_id)
        with self._lock:
            self._found.pop(access_key_id, None)
            if key is not None:
                # Counted from before the look-up: what it found was true then.
                self._found[access_key_id] = (now + ACCESS_KEY_SECONDS, key)
                if len(self._found) > MAX_CACHED_ACCESS_KEYS:
                    self._found.popitem(last=False)
        return key
