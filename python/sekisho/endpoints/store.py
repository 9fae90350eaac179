"""Endpoints, and the secret from which their prefixes are derived."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import BigInteger, Column, Row, UniqueConstraint, select

from sekisho.change import ChangeKind
from sekisho.endpoints.model import Endpoint
from sekisho.realm import Realm
from sekisho.store.rows import Rows, realm_of, realm_values
from sekisho.store.statements import insert, its, reading, realm_parameters
from sekisho.store.tables import String, keyed, listed, naming, realm_columns

ENDPOINTS = listed(
    "endpoints",
    *realm_columns(),
    Column("prefix", String, nullable=False),
    UniqueConstraint("account_id", "region"),
    # A derived host name determines the realm.
    UniqueConstraint("prefix", "region"),
    announces=naming(ChangeKind.ENDPOINT, "prefix", of_inserts=True),
)

ENDPOINT_SECRETS = keyed(
    "endpoint_secrets",
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("secret", String, nullable=False),
    # Derived prefixes do not change.
    announces=None,
)
_NUMBER: Final = 1
"""The number of the secret in use. A second row is for a server that changes its secret."""


def _make(row: Row[Any]) -> Endpoint:
    return Endpoint(realm=realm_of(row), prefix=row.prefix)


_OF_REALM = reading(ENDPOINTS, _make, "account_id", "region")
_ALL = reading(ENDPOINTS, _make)
_SECRET = select(ENDPOINT_SECRETS.c.secret).where(its(ENDPOINT_SECRETS, "number"))


class EndpointRows(Rows):
    """The endpoints of all realms, one each. They are never removed."""

    __slots__ = ()

    def get(self, realm: Realm) -> Endpoint | None:
        """Return the realm's endpoint, or None."""
        return _OF_REALM.one(self._tx, realm_parameters(realm))

    def add(self, endpoint: Endpoint) -> None:
        """Add it. Raises AlreadyThere where the realm has one, or another account has the prefix in the region."""
        values = {
            **realm_values(endpoint.realm),
            "prefix": endpoint.prefix,
        }
        insert(self._tx, ENDPOINTS, values, endpoint.prefix)

    def all(self) -> Sequence[Endpoint]:
        """Return every endpoint, oldest first."""
        return _ALL.all(self._tx, {})

    def secret(self) -> str | None:
        """Return the secret, or None."""
        secret: str | None = self._tx.execute(_SECRET, {"its_number": _NUMBER}).scalar()
        return secret

    def add_secret(self, secret: str) -> None:
        """Add the secret. Raises AlreadyThere where there is one."""
        insert(self._tx, ENDPOINT_SECRETS, {"number": _NUMBER, "secret": secret}, "endpoint secret")
