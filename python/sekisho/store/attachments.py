"""Which principals belong to which things (``ports.AttachmentRows``)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row

from sekisho.realm import Realm
from sekisho.registry.model import Attachment, ThingPrincipalType
from sekisho.registry.ports import Slice, Window
from sekisho.store import schema
from sekisho.store.statements import insert, reading, realm_parameters, removing


def _make(row: Row[Any]) -> Attachment:
    return Attachment(
        realm=Realm(row.account_id, row.region),
        thing_name=row.thing_name,
        principal=row.principal,
        type=ThingPrincipalType(row.type),
    )


_TABLE = schema.attachments
_KEY = ("account_id", "region", "thing_name", "principal")
_BY_KEY = reading(_TABLE, _make, *_KEY)
_OF_THING = reading(_TABLE, _make, "account_id", "region", "thing_name")
_OF_PRINCIPAL = reading(_TABLE, _make, "account_id", "region", "principal")
_REMOVE = removing(_TABLE, *_KEY)


class SqlAttachments:
    """Attachments of all realms."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, realm: Realm, thing_name: str, principal: str) -> Attachment | None:
        """The attachment, or None."""
        return _BY_KEY.one(self._connection, realm_parameters(realm, thing_name=thing_name, principal=principal))

    def add(self, attachment: Attachment) -> None:
        """Raises AlreadyThere where the two belong together already. The thing must be in the store."""
        values = {
            "account_id": attachment.realm.account_id,
            "region": attachment.realm.region,
            "thing_name": attachment.thing_name,
            "principal": attachment.principal,
            "type": attachment.type.value,
        }
        insert(self._connection, _TABLE, values, f"{attachment.principal} of {attachment.thing_name}")

    def remove(self, realm: Realm, thing_name: str, principal: str) -> bool:
        """True where there was one."""
        parameters = realm_parameters(realm, thing_name=thing_name, principal=principal)
        return self._connection.execute(_REMOVE, parameters).rowcount == 1

    def of_thing(self, realm: Realm, thing_name: str, window: Window) -> Slice[Attachment]:
        """Part of the list of a thing's principals."""
        return _OF_THING.page(self._connection, window, realm_parameters(realm, thing_name=thing_name))

    def of_principal(self, realm: Realm, principal: str, window: Window) -> Slice[Attachment]:
        """Part of the list of a principal's things."""
        return _OF_PRINCIPAL.page(self._connection, window, realm_parameters(realm, principal=principal))
