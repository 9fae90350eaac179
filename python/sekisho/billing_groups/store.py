"""Billing groups."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, Index, Row, UniqueConstraint, select

from sekisho.billing_groups.model import BillingGroup
from sekisho.pages import Slice, Window
from sekisho.realm import Realm
from sekisho.store.rows import RealmRows, RealmTable, realm_of, realm_values
from sekisho.store.statements import (
    Query,
    begins,
    its,
    last_with,
    realm_parameters,
)
from sekisho.store.tables import Instant, String, listed, realm_columns

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
        realm=realm_of(row),
        name=row.name,
        group_id=row.group_id,
        description=row.description,
        version=row.version,
        created_at=row.created_at,
    )


def _values(group: BillingGroup) -> dict[str, Any]:
    return {
        **realm_values(group.realm),
        "name": group.name,
        "group_id": group.group_id,
        "description": group.description,
        "version": group.version,
        "created_at": group.created_at,
    }


_WITH_PREFIX = Query(
    select(BILLING_GROUPS).where(its(BILLING_GROUPS, "account_id", "region"), begins(BILLING_GROUPS.c.name)),
    BILLING_GROUPS.c.seq,
    _make,
)


class BillingGroupRows(RealmRows[BillingGroup]):
    """Billing groups of all realms."""

    __slots__ = ()

    _table = RealmTable(BILLING_GROUPS, "name", _make, _values)

    def add(self, group: BillingGroup) -> None:
        """Add it. Raises AlreadyThere where the realm has one of this name."""
        self._insert(group)

    def page(self, realm: Realm, window: Window, *, prefix: str = "") -> Slice[BillingGroup]:
        """Return a page of the realm's billing groups whose names begin with ``prefix``."""
        if prefix:
            parameters = realm_parameters(realm, prefix=prefix, prefix_end=last_with(prefix))
            return _WITH_PREFIX.page(self._tx, window, parameters)
        return super().page(realm, window)
