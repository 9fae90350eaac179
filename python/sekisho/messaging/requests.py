"""What a device asks of a service by publishing on one of its reserved topics, and what it is answered.

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
    """Whom to answer; the gate's own number."""
    client_id: str
    certificate_id: str
    """The certificate that the connection speaks with."""
    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """A message for the connection that asked, and for nobody else."""

    topic: str
    payload: bytes


class Service(Protocol):
    """Whoever answers requests. May take its time: it has a thread to itself."""

    @property
    def topics(self) -> Sequence[str]:
        """The topic filters that it listens to."""
        ...

    def answer(self, request: Request) -> Reply | None:
        """The reply, or None where there is nothing to say. Refusals are replies too."""
        ...

    def throttled(self, request: Request) -> Reply | None:
        """The reply to a request that is not carried out because too many wait; None where there is nothing to say.

        Returns at once. Only the topic of the request is read; its payload may be missing.
        """
        ...
