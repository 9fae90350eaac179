"""Accounts and access keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, ForeignKeyConstraint, Index, Row, UniqueConstraint, select

from sekisho.accounts.model import AccessKey, Account
from sekisho.store.rows import Rows
from sekisho.store.statements import insert, reading
from sekisho.store.tables import Instant, String, listed

ACCOUNTS = listed(
    "accounts",
    Column("account_id", String, nullable=False),
    Column("name", String),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("account_id"),
    # Accounts are never removed, and no connection depends on their names.
    announces=None,
)

ACCESS_KEYS = listed(
    "access_keys",
    Column("access_key_id", String, nullable=False),
    Column("account_id", String, nullable=False),
    Column("secret_access_key", String, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("access_key_id"),
    ForeignKeyConstraint(["account_id"], ["accounts.account_id"]),
    Index(None, "account_id", "seq"),
    # Devices do not sign with access keys.
    announces=None,
)


def _account(row: Row[Any]) -> Account:
    return Account(account_id=row.account_id, name=row.name, created_at=row.created_at)


def _access_key(row: Row[Any]) -> AccessKey:
    return AccessKey(
        access_key_id=row.access_key_id,
        account_id=row.account_id,
        created_at=row.created_at,
        secret_access_key=row.secret_access_key,
    )


_BY_ID = reading(ACCOUNTS, _account, "account_id")
_ALL = reading(ACCOUNTS, _account)
_FIRST_TWO = select(ACCOUNTS.c.seq).limit(2)
_KEY_BY_ID = reading(ACCESS_KEYS, _access_key, "access_key_id")
_KEYS_OF = reading(ACCESS_KEYS, _access_key, "account_id")


class AccountRows(Rows):
    """Accounts of this server, and their access keys."""

    __slots__ = ()

    def get(self, account_id: str) -> Account | None:
        """Return the account, or None."""
        return _BY_ID.one(self._tx, {"its_account_id": account_id})

    def add(self, account: Account) -> None:
        """Add it. Raises AlreadyThere where there is one of this id."""
        values = {"account_id": account.account_id, "name": account.name, "created_at": account.created_at}
        insert(self._tx, ACCOUNTS, values, account.account_id)

    def all(self) -> Sequence[Account]:
        """Return every account, oldest first."""
        return _ALL.all(self._tx, {})

    def are_several(self) -> bool:
        """Return whether there is more than one account."""
        return len(self._tx.execute(_FIRST_TWO).all()) > 1

    def access_key(self, access_key_id: str) -> AccessKey | None:
        """Return the access key, or None."""
        return _KEY_BY_ID.one(self._tx, {"its_access_key_id": access_key_id})

    def add_access_key(self, key: AccessKey) -> None:
        """Add it. Raises AlreadyThere where there is one of this id. The account must be in the store."""
        values = {
            "access_key_id": key.access_key_id,
            "account_id": key.account_id,
            "secret_access_key": key.secret_access_key,
            "created_at": key.created_at,
        }
        insert(self._tx, ACCESS_KEYS, values, key.access_key_id)

    def access_keys(self, account_id: str) -> Sequence[AccessKey]:
        """Return all access keys of an account, oldest first."""
        return _KEYS_OF.all(self._tx, {"its_account_id": account_id})
