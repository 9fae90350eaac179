"""Things."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sekisho.realm import Realm


@dataclass(frozen=True, slots=True)
class Thing:
    """A thing of the registry."""

    realm: Realm
    name: str
    thing_id: str
    type_name: str | None
    attributes: Mapping[str, str]
    billing_group_name: str | None
    version: int
    created_at: datetime
