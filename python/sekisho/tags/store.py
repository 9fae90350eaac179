"""Tags by resource ARN."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Column, PrimaryKeyConstraint, select

from sekisho.realm import Realm
from sekisho.store.rows import Rows, realm_values
from sekisho.store.statements import insert_or_overwrite, its, realm_parameters, removing
from sekisho.store.tables import String, keyed, realm_columns

TAGS = keyed(
    "tags",
    *realm_columns(),
    Column("resource_arn", String, nullable=False),
    Column("key", String, nullable=False),
    Column("value", String, nullable=False),
    PrimaryKeyConstraint("account_id", "region", "resource_arn", "key"),
    sqlite_with_rowid=False,
    # No decision depends on tags.
    announces=None,
)


_OF_RESOURCE = (
    select(TAGS.c.key, TAGS.c.value).where(its(TAGS, "account_id", "region", "resource_arn")).order_by(TAGS.c.key)
)
_REMOVE = removing(TAGS, "account_id", "region", "resource_arn", "key")
_REMOVE_ALL = removing(TAGS, "account_id", "region", "resource_arn")


class TagRows(Rows):
    """Tags of all realms."""

    __slots__ = ()

    def get(self, realm: Realm, resource_arn: str) -> Mapping[str, str]:
        """Return a resource's tags, in the order of their keys; empty where it has none."""
        rows = self._tx.execute(_OF_RESOURCE, realm_parameters(realm, resource_arn=resource_arn))
        return {row.key: row.value for row in rows}

    def put(self, realm: Realm, resource_arn: str, tags: Mapping[str, str]) -> None:
        """Add tags, and overwrite those with the same keys."""
        owner = {**realm_values(realm), "resource_arn": resource_arn}
        rows = [owner | {"key": key, "value": value} for key, value in tags.items()]
        insert_or_overwrite(self._tx, TAGS, rows)

    def remove(self, realm: Realm, resource_arn: str, keys: Sequence[str] | None = None) -> None:
        """Remove the tags with these keys, or all."""
        if keys is None:
            self._tx.execute(_REMOVE_ALL, realm_parameters(realm, resource_arn=resource_arn))
        elif keys:
            rows = [realm_parameters(realm, resource_arn=resource_arn, key=key) for key in keys]
            self._tx.execute(_REMOVE, rows)
