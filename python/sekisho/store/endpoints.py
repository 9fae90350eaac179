"""Endpoints (``ports.EndpointRows``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row

from sekisho.realm import Realm
from sekisho.registry.model import Endpoint
from sekisho.store import schema
from sekisho.store.statements import insert, reading, realm_parameters

_TABLE = schema.endpoints


def _make(row: Row[Any]) -> Endpoint:
    return Endpoint(realm=Realm(row.account_id, row.region), prefix=row.prefix)


_OF_REALM = reading(_TABLE, _make, "account_id", "region")
_ALL = reading(_TABLE, _make)


class SqlEndpoints:
    """One endpoint per realm, kept for good once given."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, realm: Realm) -> Endpoint | None:
        """The realm's endpoint, or None."""
        return _OF_REALM.one(self._connection, realm_parameters(realm))

    def add(self, endpoint: Endpoint) -> None:
        """Raises AlreadyThere where the realm has one, or another realm has the prefix."""
        values = {
            "account_id": endpoint.realm.account_id,
            "region": endpoint.realm.region,
            "prefix": endpoint.prefix,
        }
        insert(self._connection, _TABLE, values, endpoint.prefix)

    def all(self) -> Sequence[Endpoint]:
        """Every endpoint, oldest first."""
        return _ALL.all(self._connection, {})
