"""Events that are to be published."""

from __future__ import annotations

from dataclasses import dataclass

from sekisho.realm import Realm


@dataclass(frozen=True, slots=True)
class Event:
    """A message that tells a realm's subscribers of something that happened."""

    realm: Realm
    topic: str
    payload: bytes
