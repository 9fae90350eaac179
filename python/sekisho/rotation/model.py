"""Rotations: a new certificate takes the place of an old one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sekisho.realm import Realm


class RotationState(StrEnum):
    """Where the replacement of a certificate stands. Sekisho's own: AWS IoT has no such thing."""

    PENDING = "PENDING"
    """Both certificates work; the new one has not connected yet."""
    DONE = "DONE"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class Rotation:
    """One certificate takes the place of another in the same realm, once it has connected."""

    realm: Realm
    old_certificate_id: str
    new_certificate_id: str
    ca_certificate_id: str | None
    """The CA that the old one was registered with, by which the rotations of a fleet are counted."""
    started_at: datetime
    finished_at: datetime | None = None
    state: RotationState = RotationState.PENDING
