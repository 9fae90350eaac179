"""Background threads that do not end by accident, and a list of them for the server's health.

A thread whose function raises logs the error and runs the function again after a delay; also where the logging itself
raises. ``states`` says of each thread whether it runs, and what failed last and when.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog

log = structlog.get_logger(__name__)

RESTART_DELAY_SECONDS: Final = 1.0
"""Seconds before a thread's function runs again after it has raised."""

FAILURE_SHOWN_SECONDS: Final = 30.0
"""Seconds for which a thread counts as failing after an unexpected error, though it runs again."""


@dataclass(frozen=True, slots=True)
class ThreadState:
    """How one background thread is."""

    name: str
    is_alive: bool
    """False where the thread itself is gone, which nothing restarts."""
    is_running: bool
    """False while it waits to run again after an error, and where the thread itself is gone."""
    failures: int
    """Unexpected errors since its start."""
    last_error: str | None
    seconds_since_failure: float | None
    seconds_silent: float | None
    """Since its last ``beat``; None where it promises none."""
    max_silent_seconds: float | None
    """How long it may be silent."""

    @property
    def is_stuck(self) -> bool:
        """It has not come round for longer than it promises to."""
        return (
            self.seconds_silent is not None
            and self.max_silent_seconds is not None
            and self.seconds_silent > self.max_silent_seconds
        )

    @property
    def problem(self) -> str | None:
        """A sentence about what is not well, or None."""
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
        name: As it is shown; unique where that is possible.
        stopping: While it is set, the function does not run again. Given, the function must not return before it is
            set: that counts as an error too.
        max_silent_seconds: The function promises to call ``beat`` at least this often.
        restart_delay: Seconds; ``RESTART_DELAY_SECONDS`` unless given.
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
        """Begin. Raises RuntimeError where the system gives no thread."""
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
        """Wait until the function has returned, at most ``timeout`` seconds. Not before ``start``."""
        self._thread.join(timeout)

    def is_alive(self) -> bool:
        """Whether it was started and has not ended."""
        return self._thread.is_alive()

    @property
    def state(self) -> ThreadState:
        """How it is at this moment."""
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
        """See the module's ``beat``."""
        self._beat_at = time.monotonic()

    def record_failure(self, error: BaseException) -> None:
        """See the module's ``record_failure``."""
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
                # SystemExit too: in a thread it would end it without a word.
                self._is_waiting = True
                self.record_failure(error)
                with suppress(Exception):
                    log.exception("a background thread failed and runs again", thread=self.name)
                if self._stopping.wait(self._restart_delay):
                    break
                self._is_waiting = False
                self.beat()
            else:
                break
        with _lock:
            _supervised.discard(self)


def beat() -> None:
    """Say that the current thread comes round. Outside a supervised thread nothing happens."""
    if (thread := getattr(_current, "thread", None)) is not None:
        thread.beat()


def record_failure(error: BaseException) -> None:
    """Record an unexpected error after which the current thread goes on by itself, for the server's health."""
    if (thread := getattr(_current, "thread", None)) is not None:
        thread.record_failure(error)


def states() -> Sequence[ThreadState]:
    """Every supervised thread that was started and has not returned, by name."""
    with _lock:
        threads = list(_supervised)
    return sorted((thread.state for thread in threads), key=lambda state: state.name)


_lock = threading.Lock()
_supervised: set[SupervisedThread] = set()
_current = threading.local()
