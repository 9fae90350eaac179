"""Thing types (``ports.ThingTypeRows``)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Row

from sekisho.realm import Realm
from sekisho.registry.model import PropagatingAttribute, ThingType
from sekisho.registry.ports import Slice, Window
from sekisho.store import schema
from sekisho.store.statements import insert, reading, realm_parameters, removing, replace, replacing

_TABLE = schema.thing_types


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
_BY_KEY = reading(_TABLE, _make, *_KEY)
_OF_REALM = reading(_TABLE, _make, "account_id", "region")
_REPLACE = replacing(_TABLE, *_KEY)
_REMOVE = removing(_TABLE, *_KEY)


class SqlThingTypes:
    """Thing types of all realms."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, realm: Realm, name: str) -> ThingType | None:
        """The thing type, or None."""
        return _BY_KEY.one(self._connection, realm_parameters(realm, name=name))

    def add(self, thing_type: ThingType) -> None:
        """Raises AlreadyThere where the realm has one of this name."""
        insert(self._connection, _TABLE, _values(thing_type), thing_type.name)

    def replace(self, thing_type: ThingType) -> None:
        """Overwrite it. Raises KeyError where the realm has none of this name."""
        parameters = _values(thing_type) | realm_parameters(thing_type.realm, name=thing_type.name)
        replace(self._connection, _REPLACE, parameters, thing_type.name)

    def remove(self, realm: Realm, name: str) -> None:
        """Forget it."""
        self._connection.execute(_REMOVE, realm_parameters(realm, name=name))

    def page(self, realm: Realm, window: Window) -> Slice[ThingType]:
        """Part of the realm's list."""
        return _OF_REALM.page(self._connection, window, realm_parameters(realm))
