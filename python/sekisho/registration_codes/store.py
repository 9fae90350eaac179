"""Registration codes."""

from __future__ import annotations

from sqlalchemy import Column, PrimaryKeyConstraint, select

from sekisho.realm import Realm
from sekisho.store.statements import insert_or_overwrite, its, realm_parameters, removing
from sekisho.store.tables import String, keyed, realm_columns
from sekisho.store.transaction import Transaction

REGISTRATION_CODES = keyed(
    "registration_codes",
    *realm_columns(),
    Column("code", String, nullable=False),
    PrimaryKeyConstraint("account_id", "region"),
    sqlite_with_rowid=False,
    # It is asked for when a CA is registered.
    announces=None,
)


_OF_REALM = select(REGISTRATION_CODES.c.code).where(its(REGISTRATION_CODES, "account_id", "region"))
_REMOVE = removing(REGISTRATION_CODES, "account_id", "region")


class RegistrationCodeRows:
    """One registration code per realm, until removed."""

    __slots__ = ("_tx",)

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    def get(self, realm: Realm) -> str | None:
        """The realm's code, or None."""
        code: str | None = self._tx.execute(_OF_REALM, realm_parameters(realm)).scalar()
        return code

    def put(self, realm: Realm, code: str) -> None:
        """Give the realm this code, in place of the one it had."""
        row = {"account_id": realm.account_id, "region": realm.region, "code": code}
        insert_or_overwrite(self._tx, REGISTRATION_CODES, [row])

    def remove(self, realm: Realm) -> bool:
        """True where there was one."""
        return self._tx.execute(_REMOVE, realm_parameters(realm)).rowcount == 1
