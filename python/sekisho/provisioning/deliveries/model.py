"""Deliveries: events that handlers are to be called with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sekisho.realm import Realm


class DeliveryState(StrEnum):
    """PENDING: will be tried. FAILED: given up, and kept until an operator asks for it to be tried again."""

    PENDING = "pending"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event that a handler is to be called with."""

    realm: Realm
    handler: str
    subject: str
    """What the event tells of, such as a certificate id."""
    payload: bytes
    """The event, JSON."""
    attempts: int
    """Calls that have failed."""
    next_attempt_at: datetime
    """When it is due; of a FAILED one, when it was given up."""
    last_error: str | None
    state: DeliveryState
    created_at: datetime
