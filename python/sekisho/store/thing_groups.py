"""Thing groups and the things in them (``ports.ThingGroupRows``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BindParameter, Connection, Row, Select, bindparam, delete, select
from sqlalchemy import insert as plain_insert

from sekisho.realm import Realm
from sekisho.registry.model import Membership, ThingGroup
from sekisho.registry.ports import AlreadyThere, Slice, Window
from sekisho.store import schema
from sekisho.store.statements import (
    Rows,
    begins,
    insert_returning_seq,
    its,
    last_with,
    reading,
    realm_parameters,
    removing,
    replace,
    replacing,
)

_TABLE = schema.thing_groups
_ANCESTORS = schema.thing_group_ancestors
_MEMBERSHIPS = schema.memberships


def _make(row: Row[Any]) -> ThingGroup:
    return ThingGroup(
        realm=Realm(row.account_id, row.region),
        name=row.name,
        group_id=row.group_id,
        ancestors=tuple(row.ancestors),
        description=row.description,
        attributes=row.attributes,
        version=row.version,
        created_at=row.created_at,
    )


def _values(group: ThingGroup) -> dict[str, Any]:
    return {
        "account_id": group.realm.account_id,
        "region": group.realm.region,
        "name": group.name,
        "group_id": group.group_id,
        "parent_name": group.parent_name or "",
        "ancestors": list(group.ancestors),
        "description": group.description,
        "attributes": dict(group.attributes),
        "version": group.version,
        "created_at": group.created_at,
    }


def _membership(row: Row[Any]) -> Membership:
    return Membership(row.thing_name, row.group_name, row.member_of)


def _thing_name(row: Row[Any]) -> str:
    name: str = row.thing_name
    return name


def _and_with_prefix(statement: Select[Any], seq: Any) -> dict[bool, Rows[ThingGroup]]:
    return {
        False: Rows(statement, seq, _make),
        True: Rows(statement.where(begins(_TABLE.c.name)), seq, _make),
    }


_KEY = ("account_id", "region", "name")
_BY_KEY = reading(_TABLE, _make, *_KEY)
_OF_REALM = _and_with_prefix(select(_TABLE).where(its(_TABLE, "account_id", "region")), _TABLE.c.seq)
_CHILDREN = _and_with_prefix(select(_TABLE).where(its(_TABLE, "account_id", "region", "parent_name")), _TABLE.c.seq)
_DESCENDANTS = _and_with_prefix(
    select(_TABLE)
    .join(_ANCESTORS, _ANCESTORS.c.group_seq == _TABLE.c.seq)
    .where(its(_ANCESTORS, "account_id", "region", "ancestor")),
    _ANCESTORS.c.group_seq,
)
_REPLACE = replacing(_TABLE, *_KEY)
_REMOVE = removing(_TABLE, *_KEY)
_ADD_ANCESTORS = plain_insert(_ANCESTORS)

_GROUP_NAMES: BindParameter[Any] = bindparam("its_group_names", expanding=True)
_JOIN = plain_insert(_MEMBERSHIPS)
_LEAVE = delete(_MEMBERSHIPS).where(
    its(_MEMBERSHIPS, "account_id", "region", "thing_name"), _MEMBERSHIPS.c.group_name.in_(_GROUP_NAMES)
)
_OF_THING = reading(_MEMBERSHIPS, _membership, "account_id", "region", "thing_name")
_THINGS_BELOW = reading(_MEMBERSHIPS, _thing_name, "account_id", "region", "group_name")
_THINGS_IN = reading(_MEMBERSHIPS, _thing_name, "account_id", "region", "member_of", "group_name")


class SqlThingGroups:
    """Thing groups of all realms."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, realm: Realm, name: str) -> ThingGroup | None:
        """The group, or None."""
        return _BY_KEY.one(self._connection, realm_parameters(realm, name=name))

    def add(self, group: ThingGroup) -> None:
        """Raises AlreadyThere where the realm has one of this name."""
        seq = insert_returning_seq(self._connection, _TABLE, _values(group))
        if seq is None:
            raise AlreadyThere(group.name)
        if group.ancestors:
            owner = {"group_seq": seq, "account_id": group.realm.account_id, "region": group.realm.region}
            self._connection.execute(_ADD_ANCESTORS, [owner | {"ancestor": name} for name in group.ancestors])

    def replace(self, group: ThingGroup) -> None:
        """Overwrite it. Raises KeyError where the realm has none of this name."""
        parameters = _values(group) | realm_parameters(group.realm, name=group.name)
        replace(self._connection, _REPLACE, parameters, group.name)

    def remove(self, realm: Realm, name: str) -> None:
        """Forget it and who was in it, also as members of the groups above."""
        self._connection.execute(_REMOVE, realm_parameters(realm, name=name))

    def page(self, realm: Realm, window: Window, *, prefix: str = "") -> Slice[ThingGroup]:
        """Part of the realm's list, or of those whose name begins with ``prefix``."""
        return _page(self._connection, _OF_REALM, window, realm_parameters(realm), prefix)

    def children(self, realm: Realm, parent_name: str | None, window: Window, *, prefix: str = "") -> Slice[ThingGroup]:
        """Part of the list of the groups right below one, or of the roots."""
        parameters = realm_parameters(realm, parent_name=parent_name or "")
        return _page(self._connection, _CHILDREN, window, parameters, prefix)

    def descendants(self, realm: Realm, ancestor: str, window: Window, *, prefix: str = "") -> Slice[ThingGroup]:
        """Part of the list of all groups below one."""
        return _page(self._connection, _DESCENDANTS, window, realm_parameters(realm, ancestor=ancestor), prefix)

    def join(self, thing_name: str, group: ThingGroup) -> None:
        """Raises IntegrityError where the thing is in a group of the tree already. Both must be in the store."""
        membership = {
            "account_id": group.realm.account_id,
            "region": group.realm.region,
            "thing_name": thing_name,
            "member_of": group.name,
        }
        self._connection.execute(_JOIN, [membership | {"group_name": name} for name in group.lineage])

    def leave(self, thing_name: str, group: ThingGroup) -> None:
        """Forget that the thing is in the group and in those above it."""
        parameters = realm_parameters(group.realm, thing_name=thing_name, group_names=group.lineage)
        self._connection.execute(_LEAVE, parameters)

    def memberships(self, realm: Realm, thing_name: str) -> Sequence[Membership]:
        """All memberships of a thing, in the order of joining; of one tree, the nearest group first."""
        return _OF_THING.all(self._connection, realm_parameters(realm, thing_name=thing_name))

    def things_in(self, realm: Realm, group_name: str, window: Window, *, recursive: bool) -> Slice[str]:
        """Part of the list of names of the things in a group, or also below it."""
        parameters = realm_parameters(realm, group_name=group_name)
        if recursive:
            return _THINGS_BELOW.page(self._connection, window, parameters)
        return _THINGS_IN.page(self._connection, window, parameters | {"its_member_of": group_name})


def _page(
    connection: Connection, rows: dict[bool, Rows[ThingGroup]], window: Window, parameters: dict[str, Any], prefix: str
) -> Slice[ThingGroup]:
    if prefix:
        parameters |= {"its_prefix": prefix, "its_prefix_end": last_with(prefix)}
    return rows[bool(prefix)].page(connection, window, parameters)
