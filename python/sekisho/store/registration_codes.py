"""Registration codes (``ports.RegistrationCodeRows``)."""

from __future__ import annotations

from sqlalchemy import Connection, select

from sekisho.realm import Realm
from sekisho.store import schema
from sekisho.store.statements import insert_or_overwrite, its, realm_parameters, removing

_TABLE = schema.registration_codes
_OF_REALM = select(_TABLE.c.code).where(its(_TABLE, "account_id", "region"))
_REMOVE = removing(_TABLE, "account_id", "region")


class SqlRegistrationCodes:
    """One registration code per realm, until removed."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, realm: Realm) -> str | None:
        """The realm's code, or None."""
        code: str | None = self._connection.execute(_OF_REALM, realm_parameters(realm)).scalar()
        return code

    def put(self, realm: Realm, code: str) -> None:
        """Give the realm this code, in place of the one it had."""
        row = {"account_id": realm.account_id, "region": realm.region, "code": code}
        insert_or_overwrite(self._connection, _TABLE, [row])

    def remove(self, realm: Realm) -> bool:
        """True where there was one."""
        return self._connection.execute(_REMOVE, realm_parameters(realm)).rowcount == 1
