"""Thing types."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy import JSON, Column, Index, Row, UniqueConstraint

from sekisho.pages import Slice, Window
from sekisho.realm import Realm
from sekisho.store.statements import insert, reading, realm_parameters, removing, replace, replacing
from sekisho.store.tables import Instant, String, listed, realm_columns
from sekisho.store.transaction import Transaction
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
    # A thing carries the name of its type, and nothing of the type counts when it connects.
    announces=None,
)


def _make(row: Row[Any]) -> ThingType:
    return ThingType(
        realm=Realm(row.account_id, row.region),
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
        "account_id": thing_type.realm.account_id,
        "region": thing_type.realm.region,
        "name": thing_type.name,
        "type_id": thing_type.type_id,
        "description": thing_type.description,
        "searchable_attributes": list(thing_type.searchable_attributes),
        "propagating_attributes": [asdict(each) for each in thing_type.propagating_attributes],
        "created_at": thing_type.created_at,
        "deprecated_at": thing_type.deprecated_at,
    }


_KEY = ("account_id", "region", "name")
_BY_KEY = reading(THING_TYPES, _make, *_KEY)
_OF_REALM = reading(THING_TYPES, _make, "account_id", "region")
_REPLACE = replacing(THING_TYPES, *_KEY)
_REMOVE = removing(THING_TYPES, *_KEY)


class ThingTypeRows:
    """Thing types of all realms."""

    __slots__ = ("_tx",)

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    def get(self, realm: Realm, name: str) -> ThingType | None:
        """The thing type, or None."""
        return _BY_KEY.one(self._tx, realm_parameters(realm, name=name))

    def add(self, thing_type: ThingType) -> None:
        """Raises AlreadyThere where the realm has one of this name."""
        insert(self._tx, THING_TYPES, _values(thing_type), thing_type.name)

    def replace(self, thing_type: ThingType) -> None:
        """Overwrite it. Raises KeyError where the realm has none of this name."""
        parameters = _values(thing_type) | realm_parameters(thing_type.realm, name=thing_type.name)
        replace(self._tx, _REPLACE, parameters, thing_type.name)

    def remove(self, realm: Realm, name: str) -> None:
        """Forget it."""
        self._tx.execute(_REMOVE, realm_parameters(realm, name=name))

    def page(self, realm: Realm, window: Window) -> Slice[ThingType]:
        """Part of the realm's list."""
        return _OF_REALM.page(self._tx, window, realm_parameters(realm))
