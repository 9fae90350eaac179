"""Tags by resource ARN (``ports.TagRows``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, select

from sekisho.realm import Realm
from sekisho.store import schema
from sekisho.store.statements import insert_or_overwrite, its, realm_parameters, removing

_TABLE = schema.tags
_OF_RESOURCE = (
    select(_TABLE.c.key, _TABLE.c.value)
    .where(its(_TABLE, "account_id", "region", "resource_arn"))
    .order_by(_TABLE.c.key)
)
_REMOVE = removing(_TABLE, "account_id", "region", "resource_arn", "key")
_REMOVE_ALL = removing(_TABLE, "account_id", "region", "resource_arn")


class SqlTags:
    """Tags of all realms."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, realm: Realm, resource_arn: str) -> Mapping[str, str]:
        """A resource's tags, in order of their keys; empty where it has none."""
        rows = self._connection.execute(_OF_RESOURCE, realm_parameters(realm, resource_arn=resource_arn))
        return {row.key: row.value for row in rows}

    def put(self, realm: Realm, resource_arn: str, tags: Mapping[str, str]) -> None:
        """Adds and overwrites."""
        owner = {"account_id": realm.account_id, "region": realm.region, "resource_arn": resource_arn}
        rows = [owner | {"key": key, "value": value} for key, value in tags.items()]
        insert_or_overwrite(self._connection, _TABLE, rows)

    def remove(self, realm: Realm, resource_arn: str, keys: Sequence[str] | None = None) -> None:
        """These keys, or all."""
        if keys is None:
            self._connection.execute(_REMOVE_ALL, realm_parameters(realm, resource_arn=resource_arn))
        elif keys:
            rows = [realm_parameters(realm, resource_arn=resource_arn, key=key) for key in keys]
            self._connection.execute(_REMOVE, rows)
