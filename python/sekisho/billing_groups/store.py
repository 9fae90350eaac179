"""Billing groups."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, Index, Row, UniqueConstraint, select

from sekisho.billing_groups.model import BillingGroup
from sekisho.pages import Slice, Window
from sekisho.realm import Realm
from sekisho.store.statements import (
    Query,
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
from sekisho.store.tables import Instant, String, listed, realm_columns
from sekisho.store.transaction import Transaction

BILLING_GROUPS = listed(
    "billing_groups",
    *realm_columns(),
    Column("name", String, nullable=False),
    Column("group_id", String, nullable=False),
    Column("description", String),
    Column("version", BigInteger, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("account_id", "region", "name"),
    Index(None, "account_id", "region", "seq"),
    # Billing groups have no policies.
    announces=None,
)


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
_BY_KEY = reading(BILLING_GROUPS, _make, *_KEY)
_OF_REALM = reading(BILLING_GROUPS, _make, "account_id", "region")
_WITH_PREFIX = Query(
    select(BILLING_GROUPS).where(its(BILLING_GROUPS, "account_id", "region"), begins(BILLING_GROUPS.c.name)),
    BILLING_GROUPS.c.seq,
    _make,
)
_REPLACE = replacing(BILLING_GROUPS, *_KEY)
_REMOVE = removing(BILLING_GROUPS, *_KEY)


class BillingGroupRows:
    """Billing groups of all realms."""

    __slots__ = ("_tx",)

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    def get(self, realm: Realm, name: str) -> BillingGroup | None:
        """The billing group, or None."""
        return _BY_KEY.one(self._tx, realm_parameters(realm, name=name))

    def add(self, group: BillingGroup) -> None:
        """Raises AlreadyThere where the realm has one of this name."""
        insert(self._tx, BILLING_GROUPS, _values(group), group.name)

    def replace(self, group: BillingGroup) -> None:
        """Overwrite it. Raises KeyError where the realm has none of this name."""
        parameters = _values(group) | realm_parameters(group.realm, name=group.name)
        replace(self._tx, _REPLACE, parameters, group.name)

    def remove(self, realm: Realm, name: str) -> None:
        """Forget it."""
        self._tx.execute(_REMOVE, realm_parameters(realm, name=name))

    def page(self, realm: Realm, window: Window, *, prefix: str = "") -> Slice[BillingGroup]:
        """Part of the realm's list, or of those whose name begins with ``prefix``."""
        if prefix:
            parameters = realm_parameters(realm, prefix=prefix, prefix_end=last_with(prefix))
            return _WITH_PREFIX.page(self._tx, window, parameters)
        return _OF_REALM.page(self._tx, window, realm_parameters(realm))
