"""Requests of devices on the reserved topics of a service, and the replies.

Source: Developer Guide, reserved-topics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sekisho.realm import Realm


@dataclass(frozen=True, slots=True)
class Request:
    """A message on a service's topic."""

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
    """A message for the connection that sent the request only."""

    topic: str
    payload: bytes


class Service(Protocol):
    """A service that answers requests. It may block: a separate thread calls it."""

    @property
    def topics(self) -> Sequence[str]:
        """The topic filters of its requests."""
        ...

    def answer(self, request: Request) -> Reply | None:
        """Carry a request out, and return the reply, or None. A refusal is a reply too."""
        ...

    def throttled(self, request: Request) -> Reply | None:
        """Return the reply to a request that is not carried out because too many wait, or None.

        Returns at once. Only the topic of the request is read; its payload may be missing.
        """
        ...
