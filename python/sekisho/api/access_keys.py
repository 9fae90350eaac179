"""Caches access keys that were looked up recently, so that not every request reads the database."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from sekisho.api.sigv4 import Credentials, SecretKey

ACCESS_KEY_SECONDS: Final = 5.0
"""Seconds for which a found key is not looked up again. A deleted key works for this time at most, also if
another process on the same database deleted it."""

MAX_CACHED_ACCESS_KEYS: Final = 1024
"""Maximum number of cached keys. Beyond it, the key that was looked up first is removed."""


class CachedCredentials:
    """`Credentials` that cache found keys.

    A key that does not exist is looked up each time. So a new key works at once, and invented keys do not remove
    cached keys.

    Args:
        credentials: Looks a key up.
        now: A monotonic clock, in seconds.
    """

    def __init__(self, credentials: Credentials, now: Callable[[], float] = time.monotonic) -> None:
        self._credentials = credentials
        self._now = now
        self._lock = threading.Lock()
        self._found: OrderedDict[str, tuple[float, SecretKey]] = OrderedDict()

    def __call__(self, access_key_id: str, /) -> SecretKey | None:
        """Return the key, or None. Raises what the look-up raises."""
        return self.cached(access_key_id) or self._look_up(access_key_id, self._now())

    def cached(self, access_key_id: str) -> SecretKey | None:
        """Return the key if it is cached, else None."""
        entry = self._found.get(access_key_id)
        return entry[1] if entry is not None and self._now() < entry[0] else None

    def _look_up(self, access_key_id: str, now: float) -> SecretKey | None:
        key = self._credentials(access_key_id)
        with self._lock:
            self._found.pop(access_key_id, None)
            if key is not None:
                # From before the look-up: its result was true at that time.
                self._found[access_key_id] = (now + ACCESS_KEY_SECONDS, key)
                if len(self._found) > MAX_CACHED_ACCESS_KEYS:
                    self._found.popitem(last=False)
        return key
