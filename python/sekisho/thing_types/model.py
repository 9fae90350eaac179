"""Thing types."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sekisho.realm import Realm


@dataclass(frozen=True, slots=True)
class PropagatingAttribute:
    """A user property of a thing's MQTT 5 messages, from an attribute of the thing or of its connection."""

    user_property_key: str
    thing_attribute: str | None = None
    connection_attribute: str | None = None


@dataclass(frozen=True, slots=True)
class ThingType:
    """A thing type. When it is deprecated, no thing can be given it."""

    realm: Realm
    name: str
    type_id: str
    description: str | None
    searchable_attributes: tuple[str, ...]
    propagating_attributes: tuple[PropagatingAttribute, ...]
    created_at: datetime
    deprecated_at: datetime | None = None
