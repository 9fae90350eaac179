"""Background threads that start again after an error, and their list for the server's health.

A thread whose function raises logs the error and runs the function again after a delay, even if logging raises.
``states`` returns whether each thread runs, its last error and the time of that.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from sekisho.observe.event_log import log
from sekisho.observe.events import LogEvent

RESTART_DELAY_SECONDS: Final = 1.0
"""Before a thread's function runs again after it has raised."""

FAILURE_SHOWN_SECONDS: Final = 30.0
"""A thread counts as failing for this time after an unexpected error, although it runs again."""


@dataclass(frozen=True, slots=True)
class ThreadState:
    """The state of a background thread."""

    name: str
    is_alive: bool
    """False where the thread itself has ended, which nothing restarts."""
    is_running: bool
    """False while it waits to run again after an error, and where the thread itself has ended."""
    failures: int
    """Unexpected errors since its start."""
    last_error: str | None
    seconds_since_failure: float | None
    seconds_silent: float | None
    """Since its last ``beat``; None where it does not call ``beat``."""
    max_silent_seconds: float | None
    """Maximum time between two beats; None where it does not call ``beat``."""

    @property
    def is_stuck(self) -> bool:
        """Whether its last ``beat`` is longer ago than the maximum."""
        return (
            self.seconds_silent is not None
            and self.max_silent_seconds is not None
            and self.seconds_silent > self.max_silent_seconds
        )

    @property
    def problem(self) -> str | None:
        """A sentence about what is wrong, or None."""
        if not self.is_running:
            return f"thread {self.name} does not run: {self.last_error or 'it has ended'}"
        if self.is_stuck:
            return f"thread {self.name} has been stuck for {self.seconds_silent or 0.0:.0f} s"
        if self.seconds_since_failure is not None and self.seconds_since_failure < FAILURE_SHOWN_SECONDS:
            return f"thread {self.name} failed {self.seconds_since_failure:.0f} s ago: {self.last_error}"
        return None


class SupervisedThread:
    """A daemon thread that runs ``function`` until it returns, and again whenever it raises.

    Args:
        name: Its name in health and log; unique where possible.
        stopping: While it is set, the function does not run again. If given, a return of the function before it is set
            counts as an error.
        max_silent_seconds: Maximum time between two calls of ``beat`` by the function.
        restart_delay: In seconds.
    """

    def __init__(
        self,
        function: Callable[[], None],
        name: str,
        *,
        stopping: threading.Event | None = None,
        max_silent_seconds: float | None = None,
        restart_delay: float | None = None,
    ) -> None:
        self.name = name
        self._function = function
        self._may_return = stopping is None
        self._stopping = stopping or threading.Event()
        self._max_silent_seconds = max_silent_seconds
        self._restart_delay = RESTART_DELAY_SECONDS if restart_delay is None else restart_delay
        self._is_waiting = False
        self._failures = 0
        self._last_error: str | None = None
        self._failed_at: float | None = None
        self._beat_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread. Raises RuntimeError where the system has no thread left."""
        self._beat_at = time.monotonic()
        with _lock:
            _supervised.add(self)
        try:
            self._thread.start()
        except BaseException:
            with _lock:
                _supervised.discard(self)
            raise

    def join(self, timeout: float | None = None) -> None:
        """Wait up to ``timeout`` seconds until the function has returned. Call it after ``start``."""
        self._thread.join(timeout)

    def is_alive(self) -> bool:
        """Return whether it was started and has not ended."""
        return self._thread.is_alive()

    @property
    def state(self) -> ThreadState:
        """Return its present state."""
        now = time.monotonic()
        return ThreadState(
            name=self.name,
            is_alive=self._thread.is_alive(),
            is_running=self._thread.is_alive() and not self._is_waiting,
            failures=self._failures,
            last_error=self._last_error,
            seconds_since_failure=None if self._failed_at is None else now - self._failed_at,
            seconds_silent=None if self._max_silent_seconds is None else now - self._beat_at,
            max_silent_seconds=self._max_silent_seconds,
        )

    def beat(self) -> None:
        """Record that the function works; see the module's ``beat``."""
        self._beat_at = time.monotonic()

    def record_failure(self, error: BaseException) -> None:
        """Record an unexpected error; see the module's ``record_failure``."""
        self._failures += 1
        self._last_error = " ".join(f"{type(error).__name__}: {error}".split())[:500]
        self._failed_at = time.monotonic()

    def _run(self) -> None:
        _current.thread = self
        while True:
            try:
                self._function()
                if not self._may_return and not self._stopping.is_set():
                    raise RuntimeError("it has returned though it was not stopped")
            except BaseException as error:
                # SystemExit too: it would end a thread silently.
                self._is_waiting = True
                self.record_failure(error)
                with suppress(Exception):
                    log.exception(LogEvent.THREAD_RESTARTING, thread=self.name)
                if self._stopping.wait(self._restart_delay):
                    break
                self._is_waiting = False
                self.beat()
            else:
                break
        with _lock:
            _supervised.discard(self)


def beat() -> None:
    """Record that the current thread works. Does nothing outside a supervised thread."""
    if (thread := getattr(_current, "thread", None)) is not None:
        thread.beat()


def record_failure(error: BaseException) -> None:
    """Record an unexpected error after which the current thread continues, for the server's health."""
    if (thread := getattr(_current, "thread", None)) is not None:
        thread.record_failure(error)


def states() -> Sequence[ThreadState]:
    """Return the states of all supervised threads that were started and have not returned, by name."""
    with _lock:
        threads = list(_supervised)
    return sorted((thread.state for thread in threads), key=lambda state: state.name)


_lock = threading.Lock()
_supervised: set[SupervisedThread] = set()
_current = threading.local()
