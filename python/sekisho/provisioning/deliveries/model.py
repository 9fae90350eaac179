"""Deliveries: events for handlers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sekisho.realm import Realm


class DeliveryState(StrEnum):
    """PENDING: to be attempted. FAILED: no more attempts, and kept until an operator retries or discards it."""

    PENDING = "pending"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event for a handler, kept until the handler has processed it."""

    realm: Realm
    handler: str
    subject: str
    """The subject of the event, such as a certificate id."""
    payload: bytes
    """The event as JSON."""
    attempts: int
    """The number of failed calls."""
    next_attempt_at: datetime
    """When it is due. FAILED: when it failed for the last time."""
    last_error: str | None
    state: DeliveryState
    created_at: datetime
