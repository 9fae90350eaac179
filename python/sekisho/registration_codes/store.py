"""Registration codes."""

from __future__ import annotations

from sqlalchemy import Column, PrimaryKeyConstraint, select

from sekisho.realm import Realm
from sekisho.store.rows import Rows, realm_values
from sekisho.store.statements import insert_or_overwrite, its, realm_parameters, removing
from sekisho.store.tables import String, keyed, realm_columns

REGISTRATION_CODES = keyed(
    "registration_codes",
    *realm_columns(),
    Column("code", String, nullable=False),
    PrimaryKeyConstraint("account_id", "region"),
    sqlite_with_rowid=False,
    # Codes are used only when a CA certificate is registered.
    announces=None,
)


_OF_REALM = select(REGISTRATION_CODES.c.code).where(its(REGISTRATION_CODES, "account_id", "region"))
_REMOVE = removing(REGISTRATION_CODES, "account_id", "region")


class RegistrationCodeRows(Rows):
    """The registration codes of all realms, at most one each."""

    __slots__ = ()

    def get(self, realm: Realm) -> str | None:
        """Return the realm's code, or None."""
        code: str | None = self._tx.execute(_OF_REALM, realm_parameters(realm)).scalar()
        return code

    def put(self, realm: Realm, code: str) -> None:
        """Set the realm's code."""
        row = {**realm_values(realm), "code": code}
        insert_or_overwrite(self._tx, REGISTRATION_CODES, [row])

    def remove(self, realm: Realm) -> bool:
        """Remove it; False where there was none."""
        return self._tx.execute(_REMOVE, realm_parameters(realm)).rowcount == 1
