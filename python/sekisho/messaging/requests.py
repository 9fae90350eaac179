"""The interface of services that answer messages of devices on reserved topics.

Source: Developer Guide, reserved-topics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sekisho.realm import Realm


@dataclass(frozen=True, slots=True)
class Request:
    """A message of a device on a topic of a service."""

    realm: Realm
    connection: int
    """The gateway's number of the connection that sent it."""
    client_id: str
    certificate_id: str
    """The certificate of the connection."""
    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """A message to the connection that sent the request."""

    topic: str
    payload: bytes


class Service(Protocol):
    """A service that answers requests. It may block: a thread of its own calls it."""

    @property
    def topics(self) -> Sequence[str]:
        """The topic filters of its requests."""
        ...

    def answer(self, request: Request) -> Reply | None:
        """Process a request and return the reply, also to a request that is refused; None: no reply."""
        ...

    def throttled(self, request: Request) -> Reply | None:
        """Return the reply to a request that is not processed, because too many wait; None: no reply.

        Does not block, and reads only the request's topic: the payload may be missing.
        """
        ...
