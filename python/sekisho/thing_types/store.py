"""Thing types."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy import JSON, Column, Index, Row, UniqueConstraint

from sekisho.store.rows import RealmRows, RealmTable, realm_of, realm_values
from sekisho.store.tables import Instant, String, listed, realm_columns
from sekisho.thing_types.model import PropagatingAttribute, ThingType

THING_TYPES = listed(
    "thing_types",
    *realm_columns(),
    Column("name", String, nullable=False),
    Column("type_id", String, nullable=False),
    Column("description", String),
    Column("searchable_attributes", JSON, nullable=False),
    Column("propagating_attributes", JSON, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("deprecated_at", Instant),
    UniqueConstraint("account_id", "region", "name"),
    Index(None, "account_id", "region", "seq"),
    # Decisions depend on the name of a thing's type, not on the type's properties.
    announces=None,
)


def _make(row: Row[Any]) -> ThingType:
    return ThingType(
        realm=realm_of(row),
        name=row.name,
        type_id=row.type_id,
        description=row.description,
        searchable_attributes=tuple(row.searchable_attributes),
        propagating_attributes=tuple(PropagatingAttribute(**each) for each in row.propagating_attributes),
        created_at=row.created_at,
        deprecated_at=row.deprecated_at,
    )


def _values(thing_type: ThingType) -> dict[str, Any]:
    return {
        **realm_values(thing_type.realm),
        "name": thing_type.name,
        "type_id": thing_type.type_id,
        "description": thing_type.description,
        "searchable_attributes": list(thing_type.searchable_attributes),
        "propagating_attributes": [asdict(each) for each in thing_type.propagating_attributes],
        "created_at": thing_type.created_at,
        "deprecated_at": thing_type.deprecated_at,
    }


class ThingTypeRows(RealmRows[ThingType]):
    """Thing types of all realms."""

    __slots__ = ()

    _table = RealmTable(THING_TYPES, "name", _make, _values)

    def add(self, thing_type: ThingType) -> None:
        """Add it. Raises AlreadyThere where the realm has one of this name."""
        self._insert(thing_type)
