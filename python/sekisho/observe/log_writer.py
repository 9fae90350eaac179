"""Writes log lines to a file descriptor, and neither fails nor delays the caller.

Callers put lines into a bounded queue; one thread writes them. So a pipe whose reader does not read, a full disk or a
closed terminal costs log lines and nothing else. Lines beyond the bound are dropped and counted, and a line in their
place says how many there were.
"""

from __future__ import annotations

import select
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sekisho.observe.threads import SupervisedThread

MAX_WAITING_LINES: Final = 10_000
"""Log lines that wait to be written; further ones are dropped and counted."""

MAX_WAITING_BYTES: Final = 8 * 1024 * 1024
"""Bytes of log lines that wait to be written; further lines are dropped and counted."""

RETRY_SECONDS: Final = 1.0
"""Between two attempts to write a line after an error."""

FLUSH_TIMEOUT_SECONDS: Final = 2.0
"""Time that the end of the process waits for lines that are not written yet."""

Write = Callable[[bytes | memoryview], int]
"""Writes some of the bytes and returns how many; raises OSError. It may block: only one thread calls it."""


@dataclass(frozen=True, slots=True)
class LogState:
    """The state of the log."""

    written: int
    """Lines written since the start."""
    dropped: int
    """Lines dropped since the start."""
    waiting: int
    """Lines that are not written yet."""
    error: str | None
    """The error of the last attempt to write; None where it succeeded."""
    blocked_seconds: float
    """Duration of the write in progress."""


class LogWriter:
    """A queue of lines and the thread that writes them. The thread starts with the first line.

    Args:
        write: Writes to the log's destination.
        fileno: The descriptor that ``write`` uses, if it may be non-blocking.
        describe_gap: Returns the line (with its newline) for a number of dropped lines.
    """

    def __init__(self, write: Write, describe_gap: Callable[[int], bytes], fileno: int | None = None) -> None:
        self._write_some = write
        self._describe_gap = describe_gap
        self._fileno = fileno
        self._changed = threading.Condition()
        self._queue: deque[bytes | _Gap] = deque()
        self._waiting_lines = 0
        self._waiting_bytes = 0
        self._written = 0
        self._dropped = 0
        self._error: str | None = None
        self._began: float | None = None
        self._stopping = threading.Event()
        self._thread: SupervisedThread | None = None

    def put(self, line: bytes) -> None:
        """Queue a line, or drop it where too many wait. Returns at once; raises nothing."""
        with self._changed:
            if self._waiting_lines >= MAX_WAITING_LINES or self._waiting_bytes + len(line) > MAX_WAITING_BYTES:
                self._count_dropped()
                return
            self._queue.append(line)
            self._waiting_lines += 1
            self._waiting_bytes += len(line)
            self._changed.notify_all()
            self._ensure_thread()

    def drop(self) -> None:
        """Count a line that could not be rendered."""
        with self._changed:
            self._count_dropped()
            self._changed.notify_all()
            self._ensure_thread()

    def flush(self, timeout: float = FLUSH_TIMEOUT_SECONDS) -> bool:
        """Wait up to ``timeout`` seconds until every line is written, unless writing fails. Returns whether all is."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_idle() or self._error is not None, timeout)
            return self._is_idle()

    def stop(self) -> None:
        """End the thread when all lines are written; a write that blocks is not interrupted."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()

    @property
    def state(self) -> LogState:
        """Return the state of the log."""
        with self._changed:
            blocked = 0.0 if self._began is None else time.monotonic() - self._began
            return LogState(self._written, self._dropped, self._waiting_lines, self._error, blocked)

    def _is_idle(self) -> bool:
        return not self._queue and self._waiting_lines == 0

    def _count_dropped(self) -> None:
        self._dropped += 1
        if self._queue and isinstance(self._queue[-1], _Gap):
            self._queue[-1].count += 1
        else:
            self._queue.append(_Gap(1))

    def _ensure_thread(self) -> None:
        if self._thread is None:
            try:
                thread = SupervisedThread(self._run, "log-writer", stopping=self._stopping)
                thread.start()
            except RuntimeError:
                # The system has no thread left, or the interpreter ends: the next line tries again.
                return
            self._thread = thread

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._stopping.is_set())
                if not self._queue:
                    return
                first = self._queue.popleft()
                if isinstance(first, _Gap):
                    # Counts as waiting until it is written, like a line.
                    self._waiting_lines += 1
                    self._waiting_bytes += 1
            size = 1 if isinstance(first, _Gap) else len(first)
            is_written = False
            try:
                is_written = self._write(self._describe_gap(first.count) if isinstance(first, _Gap) else first)
            finally:
                with self._changed:
                    self._waiting_lines -= 1
                    self._waiting_bytes -= size
                    self._written += is_written
                    self._changed.notify_all()

    def _write(self, line: bytes) -> bool:
        """Write all of a line, however long it takes. Returns False where the writer was stopped before."""
        rest = memoryview(line)
        while rest:
            self._set_began(time.monotonic())
            try:
                count = self._write_some(rest)
            except BlockingIOError:
                # A terminal or pipe is full, and another program has made it non-blocking.
                self._wait_until_writable()
            except OSError as error:
                self._set_error(f"{type(error).__name__}: {error.strerror or error}")
                if len(rest) < len(line):
                    # A part of the line is on disk: the next attempt begins a new line.
                    line = b"\n" + line.removeprefix(b"\n")
                rest = memoryview(line)
                if self._stopping.wait(RETRY_SECONDS):
                    return False
            else:
                rest = rest[count:]
                self._set_error(None)
            finally:
                self._set_began(None)
        return True

    def _wait_until_writable(self) -> None:
        if self._fileno is None:
            self._stopping.wait(RETRY_SECONDS)
            return
        poll = select.poll()
        poll.register(self._fileno, select.POLLOUT)
        poll.poll(RETRY_SECONDS * 1000)

    def _set_began(self, began: float | None) -> None:
        with self._changed:
            self._began = began

    def _set_error(self, error: str | None) -> None:
        with self._changed:
            self._error = error
            self._changed.notify_all()


@dataclass(slots=True)
class _Gap:
    """The entry of the queue for lines that were dropped."""

    count: int
