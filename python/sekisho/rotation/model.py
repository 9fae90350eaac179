"""Rotations: a new certificate replaces an old one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sekisho.realm import Realm


class RotationState(StrEnum):
    """The state of a rotation. AWS IoT has no rotations: they are an extension of Sekisho."""

    PENDING = "PENDING"
    """Both certificates may connect. The new one has not connected yet."""
    DONE = "DONE"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class Rotation:
    """The replacement of a certificate by another one of the same realm, once that has connected."""

    realm: Realm
    old_certificate_id: str
    new_certificate_id: str
    ca_certificate_id: str | None
    """The CA with which the old certificate was registered: rotations are counted by it."""
    started_at: datetime
    finished_at: datetime | None = None
    state: RotationState = RotationState.PENDING
