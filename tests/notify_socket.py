"""Receives the messages of sd_notify(3), as a service manager does."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Message = dict[str, str]

WITHIN = 30.0


class ServiceManager:
    """A notify socket; ``address`` is the value of ``NOTIFY_SOCKET``."""

    def __init__(self, address: str, receiver: socket.socket) -> None:
        self.address = address
        self._receiver = receiver

    def message(self) -> Message:
        """Wait for the next message."""
        lines = self._receiver.recv(1 << 16).decode().splitlines()
        return dict(line.split("=", 1) for line in lines)

    @property
    def is_silent(self) -> bool:
        """Whether no message waits."""
        return not select.select([self._receiver], [], [], 0)[0]

    def wait_for(self, where: Callable[[Message], bool]) -> Message:
        """Wait for a message; those before it are skipped."""
        end = time.monotonic() + WITHIN
        while time.monotonic() < end:
            found = self.message()
            if where(found):
                return found
        raise AssertionError("the message has not come")


@contextmanager
def service_manager(address: str) -> Iterator[ServiceManager]:
    """Yield a service manager that listens at ``address``: a path, or ``@`` and the name of an abstract socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        receiver.settimeout(WITHIN)
        yield ServiceManager(address, receiver)
