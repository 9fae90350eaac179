"""Keeps the server lock of the database for as long as the server runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Protocol

from sekisho.observe.event_log import log
from sekisho.observe.events import LogEvent
from sekisho.observe.threads import SupervisedThread
from sekisho.store.errors import OtherServer, StoreError

CHECK_INTERVAL_SECONDS: Final = 1.0
"""Seconds between two checks that the lock is still held. One costs no request to the database."""

_STOP_SECONDS: Final = 5.0


class LockedStore(Protocol):
    """The store, as its server lock is used."""

    def hold(self) -> None: ...
    def keep_hold(self) -> None: ...
    def release(self) -> None: ...


class HeldDatabase:
    """The server lock of a database. ``start`` once, ``stop`` once.

    Where the connection that holds the lock is lost, the lock is taken again. Where another server took it first, this
    one has to end: devices that the other one refuses must not stay connected here.

    Args:
        on_taken: Called once, where another server has taken the lock. It asks this server to stop.
    """

    def __init__(
        self, store: LockedStore, on_taken: Callable[[], None], interval: float = CHECK_INTERVAL_SECONDS
    ) -> None:
        self._store = store
        self._on_taken = on_taken
        self._interval = interval
        self._stopping = threading.Event()
        self._thread = SupervisedThread(self._watch, "server-lock", stopping=self._stopping)
        self.taken: OtherServer | None = None
        """The error that names the other server, once it has taken the lock."""

    def start(self) -> None:
        """Take the lock. Raises OtherServer, StoreUnavailable."""
        self._store.hold()
        self._thread.start()

    def stop(self) -> None:
        """Release the lock."""
        self._stopping.set()
        self._thread.join(_STOP_SECONDS)
        self._store.release()

    def _watch(self) -> None:
        while not self._stopping.wait(self._interval):
            try:
                self._store.keep_hold()
            except OtherServer as error:
                if self.taken is None:
                    self.taken = error
                    log.write(LogEvent.DATABASE_TAKEN, reason=str(error))
                    self._on_taken()
            except StoreError:
                # The probe of the store reports it.
                continue
