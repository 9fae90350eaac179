"""Endpoints, and the secret that their prefixes are derived from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import BigInteger, Column, Row, UniqueConstraint, select

from sekisho.change import ChangeKind
from sekisho.endpoints.model import Endpoint
from sekisho.realm import Realm
from sekisho.store.statements import insert, its, reading, realm_parameters
from sekisho.store.tables import String, keyed, listed, naming, realm_columns
from sekisho.store.transaction import Transaction

ENDPOINTS = listed(
    "endpoints",
    *realm_columns(),
    Column("prefix", String, nullable=False),
    UniqueConstraint("account_id", "region"),
    # A server name leads to one realm.
    UniqueConstraint("prefix", "region"),
    announces=naming(ChangeKind.ENDPOINT, "prefix", of_inserts=True),
)

ENDPOINT_SECRETS = keyed(
    "endpoint_secrets",
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("secret", String, nullable=False),
    # Prefixes that were derived stay as they are.
    announces=None,
)
_NUMBER: Final = 1
"""Of the secret in use. A second row is for a server that changes its secret."""


def _make(row: Row[Any]) -> Endpoint:
    return Endpoint(realm=Realm(row.account_id, row.region), prefix=row.prefix)


_OF_REALM = reading(ENDPOINTS, _make, "account_id", "region")
_ALL = reading(ENDPOINTS, _make)
_SECRET = select(ENDPOINT_SECRETS.c.secret).where(its(ENDPOINT_SECRETS, "number"))


class EndpointRows:
    """One endpoint per realm, kept for good once given."""

    __slots__ = ("_tx",)

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    def get(self, realm: Realm) -> Endpoint | None:
        """The realm's endpoint, or None."""
        return _OF_REALM.one(self._tx, realm_parameters(realm))

    def add(self, endpoint: Endpoint) -> None:
        """Raises AlreadyThere where the realm has one, or another account has the prefix in the region."""
        values = {
            "account_id": endpoint.realm.account_id,
            "region": endpoint.realm.region,
            "prefix": endpoint.prefix,
        }
        insert(self._tx, ENDPOINTS, values, endpoint.prefix)

    def all(self) -> Sequence[Endpoint]:
        """Every endpoint, oldest first."""
        return _ALL.all(self._tx, {})

    def secret(self) -> str | None:
        """The secret that prefixes are derived from, or None where there is none yet."""
        secret: str | None = self._tx.execute(_SECRET, {"its_number": _NUMBER}).scalar()
        return secret

    def add_secret(self, secret: str) -> None:
        """Raises AlreadyThere where there is one."""
        insert(self._tx, ENDPOINT_SECRETS, {"number": _NUMBER, "secret": secret}, "endpoint secret")
