"""Events to publish."""

from __future__ import annotations

from dataclasses import dataclass

from sekisho.realm import Realm


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a realm, as a message for its subscribers."""

    realm: Realm
    topic: str
    payload: bytes
