"""Billing groups (``ports.BillingGroupRows``)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, select

from sekisho.realm import Realm
from sekisho.registry.model import BillingGroup
from sekisho.registry.ports import Slice, Window
from sekisho.store import schema
from sekisho.store.statements import (
    Rows,
    begins,
    insert,
    its,
    last_with,
    reading,
    realm_parameters,
    removing,
    replace,
    replacing,
)

_TABLE = schema.billing_groups


def _make(row: Row[Any]) -> BillingGroup:
    return BillingGroup(
        realm=Realm(row.account_id, row.region),
        name=row.name,
        group_id=row.group_id,
        description=row.description,
        version=row.version,
        created_at=row.created_at,
    )


def _values(group: BillingGroup) -> dict[str, Any]:
    return {
        "account_id": group.realm.account_id,
        "region": group.realm.region,
        "name": group.name,
        "group_id": group.group_id,
        "description": group.description,
        "version": group.version,
        "created_at": group.created_at,
    }


_KEY = ("account_id", "region", "name")
_BY_KEY = reading(_TABLE, _make, *_KEY)
_OF_REALM = reading(_TABLE, _make, "account_id", "region")
_WITH_PREFIX = Rows(
    select(_TABLE).where(its(_TABLE, "account_id", "region"), begins(_TABLE.c.name)), _TABLE.c.seq, _make
)
_REPLACE = replacing(_TABLE, *_KEY)
_REMOVE = removing(_TABLE, *_KEY)


class SqlBillingGroups:
    """Billing groups of all realms."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, realm: Realm, name: str) -> BillingGroup | None:
        """The billing group, or None."""
        return _BY_KEY.one(self._connection, realm_parameters(realm, name=name))

    def add(self, group: BillingGroup) -> None:
        """Raises AlreadyThere where the realm has one of this name."""
        insert(self._connection, _TABLE, _values(group), group.name)

    def replace(self, group: BillingGroup) -> None:
        """Overwrite it. Raises KeyError where the realm has none of this name."""
        parameters = _values(group) | realm_parameters(group.realm, name=group.name)
        replace(self._connection, _REPLACE, parameters, group.name)

    def remove(self, realm: Realm, name: str) -> None:
        """Forget it."""
        self._connection.execute(_REMOVE, realm_parameters(realm, name=name))

    def page(self, realm: Realm, window: Window, *, prefix: str = "") -> Slice[BillingGroup]:
        """Part of the realm's list, or of those whose name begins with ``prefix``."""
        if prefix:
            parameters = realm_parameters(realm, prefix=prefix, prefix_end=last_with(prefix))
            return _WITH_PREFIX.page(self._connection, window, parameters)
        return _OF_REALM.page(self._connection, window, realm_parameters(realm))
