"""Things (``ports.ThingRows``)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BindParameter, Connection, Row, and_, bindparam, select, update
from sqlalchemy import insert as plain_insert

from sekisho.realm import Realm
from sekisho.registry.model import Thing
from sekisho.registry.ports import AlreadyThere, Slice, Window
from sekisho.store import schema
from sekisho.store.statements import Rows, insert_returning_seq, its, last_with, reading, realm_parameters, removing

_TABLE = schema.things
_ATTRIBUTES = schema.thing_attributes


def _make(row: Row[Any]) -> Thing:
    return Thing(
        realm=Realm(row.account_id, row.region),
        name=row.name,
        thing_id=row.thing_id,
        type_name=row.type_name,
        attributes=row.attributes,
        billing_group_name=row.billing_group_name,
        version=row.version,
        created_at=row.created_at,
    )


def _values(thing: Thing) -> dict[str, Any]:
    return {
        "account_id": thing.realm.account_id,
        "region": thing.realm.region,
        "name": thing.name,
        "thing_id": thing.thing_id,
        "type_name": thing.type_name,
        "attributes": dict(thing.attributes),
        "billing_group_name": thing.billing_group_name,
        "version": thing.version,
        "created_at": thing.created_at,
    }


def _having_attribute(*, prefix: bool, of_type: bool) -> Rows[Thing]:
    value = _ATTRIBUTES.c.value
    wanted: BindParameter[str] = bindparam("its_value")
    condition = and_(value >= wanted, value <= bindparam("its_value_end")) if prefix else value == wanted
    statement = (
        select(_TABLE)
        .join(_ATTRIBUTES, _ATTRIBUTES.c.thing_seq == _TABLE.c.seq)
        .where(
            _ATTRIBUTES.c.account_id == bindparam("its_account_id"),
            _ATTRIBUTES.c.region == bindparam("its_region"),
            _ATTRIBUTES.c.name == bindparam("its_attribute"),
            condition,
        )
    )
    if of_type:
        statement = statement.where(its(_TABLE, "account_id", "region", "type_name"))
    return Rows(statement, _ATTRIBUTES.c.thing_seq, _make)


_KEY = ("account_id", "region", "name")
_BY_KEY = reading(_TABLE, _make, *_KEY)
_OF_REALM = reading(_TABLE, _make, "account_id", "region")
_OF_TYPE = reading(_TABLE, _make, "account_id", "region", "type_name")
_OF_BILLING_GROUP = reading(_TABLE, _make, "account_id", "region", "billing_group_name")
_WITH_ATTRIBUTE = {
    (prefix, of_type): _having_attribute(prefix=prefix, of_type=of_type)
    for prefix in (False, True)
    for of_type in (False, True)
}
_REPLACE = update(_TABLE).where(its(_TABLE, *_KEY)).returning(_TABLE.c.seq)
_REMOVE = removing(_TABLE, *_KEY)
_ADD_ATTRIBUTES = plain_insert(_ATTRIBUTES)
_REMOVE_ATTRIBUTES = removing(_ATTRIBUTES, "thing_seq")


class SqlThings:
    """Things of all realms."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, realm: Realm, name: str) -> Thing | None:
        """The thing, or None."""
        return _BY_KEY.one(self._connection, realm_parameters(realm, name=name))

    def add(self, thing: Thing) -> None:
        """Raises AlreadyThere where the realm has one of this name."""
        seq = insert_returning_seq(self._connection, _TABLE, _values(thing))
        if seq is None:
            raise AlreadyThere(thing.name)
        self._add_attributes(seq, thing)

    def replace(self, thing: Thing) -> None:
        """Overwrite it, attributes and all. Raises KeyError where the realm has none of this name."""
        parameters = _values(thing) | realm_parameters(thing.realm, name=thing.name)
        seq = self._connection.execute(_REPLACE, parameters).scalar()
        if seq is None:
            raise KeyError(f"{thing.name} is not in the store, so it cannot be replaced")
        self._connection.execute(_REMOVE_ATTRIBUTES, {"its_thing_seq": seq})
        self._add_attributes(seq, thing)

    def _add_attributes(self, seq: int, thing: Thing) -> None:
        if thing.attributes:
            owner = {"thing_seq": seq, "account_id": thing.realm.account_id, "region": thing.realm.region}
            rows = [owner | {"name": name, "value": value} for name, value in thing.attributes.items()]
            self._connection.execute(_ADD_ATTRIBUTES, rows)

    def remove(self, realm: Realm, name: str) -> None:
        """Forget it, and its memberships in groups. What is attached to it must have been detached."""
        self._connection.execute(_REMOVE, realm_parameters(realm, name=name))

    def page(
        self,
        realm: Realm,
        window: Window,
        *,
        type_name: str | None = None,
        attribute: tuple[str, str] | None = None,
        prefix: bool = False,
    ) -> Slice[Thing]:
        """Part of the realm's list, or of those that have the type and the attribute.

        A list by prefix costs time in proportion to what has the prefix, not to the page.
        """
        if attribute is not None:
            name, value = attribute
            parameters = realm_parameters(realm, attribute=name, value=value)
            if prefix:
                parameters["its_value_end"] = last_with(value)
            if type_name is not None:
                parameters["its_type_name"] = type_name
            return _WITH_ATTRIBUTE[prefix, type_name is not None].page(self._connection, window, parameters)
        if type_name is not None:
            return _OF_TYPE.page(self._connection, window, realm_parameters(realm, type_name=type_name))
        return _OF_REALM.page(self._connection, window, realm_parameters(realm))

    def of_billing_group(self, realm: Realm, billing_group_name: str, window: Window) -> Slice[Thing]:
        """Part of the list of the things of a billing group."""
        parameters = realm_parameters(realm, billing_group_name=billing_group_name)
        return _OF_BILLING_GROUP.page(self._connection, window, parameters)
