"""The table of connections to the API: their maximum number and duration, and which one ends where they are too many.

A connection is in one of these phases:

| phase | the peer | ends |
|---|---|---|
| ARRIVING | has connected or started a request | `arrival` seconds after its start |
| WORKING | waits for the answer | by the operation's own deadlines |
| SENDING | takes the answer too slowly | `response` seconds after the send buffer was full |
| IDLE | has its answer and may ask again | `idle` seconds after the answer |
| CLOSING | reads the rest of its last answer | `response` seconds after that |
| REFUSED | reads the reason of a refusal | `linger` seconds after that |

Where a bound is reached, the connection that has been idle for longest ends; where none is idle, the one that has been
arriving for longest. So a peer that opens connections faster than others ends its own. Where all are working, the new
connection is refused.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from enum import Enum
from typing import Final, Protocol

MAX_HEADER_BYTES: Final = 32 * 1024
"""Bytes of a request's line and headers together. An MQTT 5 user property of 8 KiB is 11 KiB in its header."""

MAX_HEADER_COUNT: Final = 100
"""Headers of a request."""

MAX_ARRIVING_BYTES: Final = 32 * 1024 * 1024
"""Bytes of all requests together that have arrived in part or wait for their answer, per process."""

ADDRESS_SHARE: Final = 2
"""One source address gets at most one connection in this many. An IPv6 address counts as its /64 network."""


class Phase(Enum):
    """The phase of a connection; see the module."""

    ARRIVING = "arriving"
    WORKING = "working"
    SENDING = "sending"
    IDLE = "idle"
    CLOSING = "closing"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """Limits of connections.

    Attributes:
        connections: Maximum number at a time, per process.
        arrival: Seconds for a request to arrive, headers and body, from its first byte or from the connection's start.
        idle: Seconds between an answer and the next request.
        response: Seconds for a peer to take 64 KiB of an answer.
        linger: Seconds for a refused peer to read the reason.
    """

    connections: int = 1000
    arrival: float = 30.0
    idle: float = 60.0
    response: float = 30.0
    linger: float = 2.0

    @property
    def per_address(self) -> int:
        """Maximum number of connections of one source address at a time."""
        return max(1, self.connections // ADDRESS_SHARE)

    def of(self, phase: Phase) -> float | None:
        """Return the seconds that a connection may stay in `phase`; None: without limit."""
        return {
            Phase.ARRIVING: self.arrival,
            Phase.WORKING: None,
            Phase.SENDING: self.response,
            Phase.IDLE: self.idle,
            Phase.CLOSING: self.response,
            Phase.REFUSED: self.linger,
        }[phase]


@dataclass(slots=True)
class Counters:
    """Counters since the start, for the health report."""

    accepted: int = 0
    """Connections accepted."""
    accept_failures: int = 0
    """Failed accepts, for example because no file descriptor was free."""
    refused: int = 0
    """Connections refused because there were too many, all of them working."""
    displaced: int = 0
    """Idle or arriving connections ended to make room."""
    timed_out: int = 0
    """Connections ended because a request or its answer took too long."""
    invalid: int = 0
    """Requests refused because they were not HTTP, or were too large."""

    def as_dict(self) -> dict[str, int]:
        """Return each counter by its name."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


class Connection(Protocol):
    """The interface of a connection that the table uses."""

    address: str
    """From `address_key`."""
    phase: Phase
    since: float
    """When its phase began, in seconds of the table's clock."""
    received: int
    """Bytes of the request that arrives or is being answered."""

    def displace(self) -> None:
        """End the connection to make room for another one."""
        ...

    def expire(self) -> None:
        """End the connection because its phase has lasted too long."""
        ...


class Connections:
    """All connections of one server. Used in the event loop's thread alone.

    Args:
        now: A monotonic clock, in seconds.
    """

    def __init__(self, limits: ServerLimits, now: Callable[[], float]) -> None:
        self.limits = limits
        self.counters = Counters()
        self._now = now
        self._by_address: dict[str, dict[Connection, None]] = {}
        self._total = 0
        self._received = 0

    def __len__(self) -> int:
        return self._total

    def __iter__(self) -> Iterator[Connection]:
        for connections in list(self._by_address.values()):
            yield from list(connections)

    def make_room(self, address: str) -> bool:
        """Return whether a connection of `address` may be added; ends another one where that is necessary."""
        own = self._by_address.get(address, {})
        if len(own) >= self.limits.per_address:
            return self._displace_one(own)
        if self._total < self.limits.connections:
            return True
        largest_first = sorted(self._by_address.values(), key=len, reverse=True)
        return any(self._displace_one(connections) for connections in largest_first)

    def add(self, connection: Connection) -> None:
        """Add a new connection, as ARRIVING."""
        connection.phase, connection.since, connection.received = Phase.ARRIVING, self._now(), 0
        self._by_address.setdefault(connection.address, {})[connection] = None
        self._total += 1
        self.counters.accepted += 1

    def remove(self, connection: Connection) -> None:
        """Remove a connection; a second call has no effect."""
        own = self._by_address.get(connection.address)
        if own is None or connection not in own:
            return
        self.count_bytes(connection, -connection.received)
        del own[connection]
        self._total -= 1
        if not own:
            del self._by_address[connection.address]

    def enter(self, connection: Connection, phase: Phase) -> None:
        """Set the phase of a connection. The bytes of a request that was answered are no longer counted."""
        if phase is connection.phase:
            return
        connection.phase, connection.since = phase, self._now()
        if phase in (Phase.IDLE, Phase.CLOSING, Phase.REFUSED):
            self.count_bytes(connection, -connection.received)

    def count_bytes(self, connection: Connection, count: int) -> None:
        """Set the bytes of a connection's request. Where the sum is too large, other connections end."""
        connection.received += count
        self._received += count
        while count > 0 and self._received > MAX_ARRIVING_BYTES:
            largest = [each for each in self if each.phase is Phase.ARRIVING and each.received > 0]
            if not largest:
                return
            # The oldest: a request that arrives at the usual speed is not the cause of the full memory.
            self._end(min(largest, key=lambda each: each.since))

    def expire(self) -> None:
        """End connections whose phase has lasted too long."""
        for connection in self:
            allowed = self.limits.of(connection.phase)
            if allowed is not None and self._now() - connection.since > allowed:
                if connection.phase not in (Phase.IDLE, Phase.REFUSED):
                    self.counters.timed_out += 1
                connection.expire()

    def displace_any(self) -> bool:
        """End one connection, in the order of the module, to free a descriptor. Returns whether there was one."""
        return self._displace_one(self)

    def _displace_one(self, connections: Iterable[Connection]) -> bool:
        found = [each for each in connections if each.phase in (Phase.IDLE, Phase.ARRIVING)]
        if not found:
            return False
        self._end(min(found, key=lambda each: (each.phase is Phase.ARRIVING, each.since)))
        return True

    def _end(self, connection: Connection) -> None:
        self.counters.displaced += 1
        self.remove(connection)
        connection.displace()


def address_key(host: str) -> str:
    """Return what connections of one peer have in common: its IPv4 address, or the /64 network of its IPv6 address."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
