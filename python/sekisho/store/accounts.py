"""Accounts and access keys (``ports.AccountRows``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from sekisho.registry.model import AccessKey, Account
from sekisho.store import schema
from sekisho.store.statements import insert, reading

_TABLE = schema.accounts
_KEYS = schema.access_keys


def _account(row: Row[Any]) -> Account:
    return Account(account_id=row.account_id, name=row.name, created_at=row.created_at)


def _access_key(row: Row[Any]) -> AccessKey:
    return AccessKey(
        access_key_id=row.access_key_id,
        account_id=row.account_id,
        created_at=row.created_at,
        secret_access_key=row.secret_access_key,
    )


_BY_ID = reading(_TABLE, _account, "account_id")
_ALL = reading(_TABLE, _account)
_FIRST_TWO = select(_TABLE.c.seq).limit(2)
_KEY_BY_ID = reading(_KEYS, _access_key, "access_key_id")
_KEYS_OF = reading(_KEYS, _access_key, "account_id")


class SqlAccounts:
    """Accounts of this server, and what signs their requests."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, account_id: str) -> Account | None:
        """The account, or None."""
        return _BY_ID.one(self._connection, {"its_account_id": account_id})

    def add(self, account: Account) -> None:
        """Raises AlreadyThere where there is one of this id."""
        values = {"account_id": account.account_id, "name": account.name, "created_at": account.created_at}
        insert(self._connection, _TABLE, values, account.account_id)

    def all(self) -> Sequence[Account]:
        """Every account, oldest first."""
        return _ALL.all(self._connection, {})

    def are_several(self) -> bool:
        """Whether there is more than one account."""
        return len(self._connection.execute(_FIRST_TWO).all()) > 1

    def access_key(self, access_key_id: str) -> AccessKey | None:
        """The access key, or None."""
        return _KEY_BY_ID.one(self._connection, {"its_access_key_id": access_key_id})

    def add_access_key(self, key: AccessKey) -> None:
        """Raises AlreadyThere where there is one of this id. The account must be in the store."""
        values = {
            "access_key_id": key.access_key_id,
            "account_id": key.account_id,
            "secret_access_key": key.secret_access_key,
            "created_at": key.created_at,
        }
        insert(self._connection, _KEYS, values, key.access_key_id)

    def access_keys(self, account_id: str) -> Sequence[AccessKey]:
        """All access keys of an account, oldest first."""
        return _KEYS_OF.all(self._connection, {"its_account_id": account_id})
