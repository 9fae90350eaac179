"""Which names with a dot lead to this machine, by its hosts file, its resolver or its DNS.

Java clients send no server name for ``localhost``, so a name with a dot is offered beside it where there is one.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

RESOLVE_TIMEOUT_SECONDS: Final = 0.5
"""How long a start waits for the resolver, counted from the beginning: DNS may be away. Later answers do not count."""


class LoopbackNames:
    """Looks names up in the background, from the moment that it is made."""

    def __init__(
        self,
        names: Sequence[str],
        resolve: Callable[[str], Sequence[str]] | None = None,
        *,
        timeout: float = RESOLVE_TIMEOUT_SECONDS,
    ) -> None:
        """``resolve`` gives the addresses of a name, and raises OSError where there are none."""
        self._names = tuple(names)
        self._resolve = resolve or addresses_of
        self._deadline = time.monotonic() + timeout
        self._lead_here: dict[str, bool] = {}
        self._threads = [
            threading.Thread(target=self._look_up, args=(name,), name=f"resolve-{name}", daemon=True)
            for name in self._names
        ]
        for thread in self._threads:
            thread.start()

    def lead_here(self) -> Sequence[str]:
        """Those of the names all of whose addresses are loopback addresses."""
        for thread in self._threads:
            thread.join(max(0.0, self._deadline - time.monotonic()))
        return [name for name in self._names if self._lead_here.get(name)]

    def _look_up(self, name: str) -> None:
        try:
            addresses = self._resolve(name)
        except (OSError, UnicodeError):
            return
        self._lead_here[name] = bool(addresses) and all(ipaddress.ip_address(each).is_loopback for each in addresses)


def addresses_of(name: str) -> Sequence[str]:
    """The addresses of a name, as clients on this machine find them. Raises OSError."""
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return [str(address[0]).partition("%")[0] for *_, address in found]
