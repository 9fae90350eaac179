"""Tells systemd about the server's state, with the messages of sd_notify(3).

Without ``NOTIFY_SOCKET`` nothing is sent. A socket that is missing, full or broken costs
nothing but the message.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from typing import Final

from sekisho.observe.threads import SupervisedThread, beat
from sekisho.server.health import Part

SEND_TIMEOUT_SECONDS: Final = 0.5
"""Seconds that a message waits while the receiver's buffer is full. Then it is dropped."""

STATUS_INTERVAL_SECONDS: Final = 5.0
"""Seconds between two looks at the parts, where no shorter watchdog asks for more."""

_STOP_SECONDS: Final = 2.0


class Notifier:
    """The service manager of one server. Its methods raise nothing.

    Args:
        address: A path, or an abstract socket's name after ``@``; None or empty: no service manager.
        watchdog_seconds: The service manager ends a server from which it has not heard for so long; None: it does not.
    """

    def __init__(self, address: str | None, watchdog_seconds: float | None = None) -> None:
        self._address = address
        self._interval = STATUS_INTERVAL_SECONDS
        if watchdog_seconds is not None:
            self._interval = min(watchdog_seconds / 2, STATUS_INTERVAL_SECONDS)
        self._has_watchdog = watchdog_seconds is not None
        self._live: Callable[[], Sequence[Part]] = tuple
        self._ready: Callable[[], Sequence[Part]] = tuple
        self._status = ""
        self._is_stopping = False
        self._ended = threading.Event()
        self._thread = SupervisedThread(self._watch, "service-manager", stopping=self._ended)

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str] = os.environ) -> Notifier:
        """Make that of ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID``, and remove these three.

        Processes of handlers must not speak for the server.
        """
        address = environment.pop("NOTIFY_SOCKET", None)
        microseconds = environment.pop("WATCHDOG_USEC", "")
        is_for_us = environment.pop("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        has_watchdog = is_for_us and microseconds.isdecimal() and int(microseconds) > 0
        return cls(address, int(microseconds) / 1_000_000 if has_watchdog else None)

    def ready(self, live: Callable[[], Sequence[Part]], ready: Callable[[], Sequence[Part]]) -> None:
        """Say that everything answers; from now on, say at an interval that the server is live, and what fails.

        Args:
            live: The parts of which a restart is the cure (``Health.live``). While one fails, the
                watchdog gets nothing.
            ready: The parts that requests and devices need (``Health.ready``).
        """
        if not self._address:
            return
        self._live, self._ready = live, ready
        self._status = self._sentence()
        self._send("READY=1", f"STATUS={self._status}")
        self._thread.start()

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Say that the settings are read again, and after the block that this is over."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")
        try:
            yield
        finally:
            self._send("READY=1")

    def stopping(self) -> None:
        """Say that the server ends. From now on the service manager's time limit for stopping applies."""
        self._is_stopping = True
        self._send("STOPPING=1", "STATUS=stopping")

    def close(self) -> None:
        """Say nothing more."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)

    def _watch(self) -> None:
        while True:
            # The end is bounded in time by the service manager, and ends what is looked at here.
            if self._has_watchdog and (self._is_stopping or all(part.problem is None for part in self._live())):
                self._send("WATCHDOG=1")
            status = self._sentence()
            if status != self._status and not self._is_stopping:
                self._status = status
                self._send(f"STATUS={status}")
            beat()
            if self._ended.wait(self._interval):
                return

    def _sentence(self) -> str:
        failing = [part for part in self._ready() if part.problem is not None]
        return "; ".join(f"{part.name}: {part.problem}" for part in failing) or "ready"

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        # A line ends at a line feed, which a path or an error of the operating system may contain.
        message = "\n".join(" ".join(line.splitlines()) for line in lines)
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(SEND_TIMEOUT_SECONDS)
            sender.connect(address)
            sender.send(message.encode())
