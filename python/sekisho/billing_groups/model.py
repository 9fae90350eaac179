"""Billing groups."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sekisho.realm import Realm


@dataclass(frozen=True, slots=True)
class BillingGroup:
    """A group of things for the bill, of which there is none here: a name that things may have."""

    realm: Realm
    name: str
    group_id: str
    description: str | None
    version: int
    created_at: datetime
