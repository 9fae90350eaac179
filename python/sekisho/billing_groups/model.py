"""Billing groups."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sekisho.realm import Realm


@dataclass(frozen=True, slots=True)
class BillingGroup:
    """A billing group of things. Sekisho has no bills: a group is stored and returned."""

    realm: Realm
    name: str
    group_id: str
    description: str | None
    version: int
    created_at: datetime
