"""Attachments of principals to things."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, ForeignKeyConstraint, Index, Row, UniqueConstraint

from sekisho.change import of_principal
from sekisho.pages import Slice, Window
from sekisho.principals.model import Attachment, ThingPrincipalType
from sekisho.realm import Realm
from sekisho.store.rows import Rows, realm_of, realm_values
from sekisho.store.statements import insert, reading, realm_parameters, removing
from sekisho.store.tables import String, listed, realm_columns

ATTACHMENTS = listed(
    "attachments",
    *realm_columns(),
    Column("thing_name", String, nullable=False),
    Column("principal", String, nullable=False),
    Column("type", String, nullable=False),
    UniqueConstraint("account_id", "region", "thing_name", "principal"),
    ForeignKeyConstraint(["account_id", "region", "thing_name"], ["things.account_id", "things.region", "things.name"]),
    Index(None, "account_id", "region", "thing_name", "seq"),
    # Principal first, for the look-up of identities.
    Index(None, "principal", "account_id", "region", "seq"),
    announces=lambda _tx, write: of_principal(write.realm, write.values["principal"]),
)


def _make(row: Row[Any]) -> Attachment:
    return Attachment(
        realm=realm_of(row),
        thing_name=row.thing_name,
        principal=row.principal,
        type=ThingPrincipalType(row.type),
    )


_KEY = ("account_id", "region", "thing_name", "principal")
_BY_KEY = reading(ATTACHMENTS, _make, *_KEY)
_OF_THING = reading(ATTACHMENTS, _make, "account_id", "region", "thing_name")
_OF_PRINCIPAL = reading(ATTACHMENTS, _make, "account_id", "region", "principal")
_REMOVE = removing(ATTACHMENTS, *_KEY)


class AttachmentRows(Rows):
    """Attachments of all realms."""

    __slots__ = ()

    def get(self, realm: Realm, thing_name: str, principal: str) -> Attachment | None:
        """Return the attachment, or None."""
        return _BY_KEY.one(self._tx, realm_parameters(realm, thing_name=thing_name, principal=principal))

    def add(self, attachment: Attachment) -> None:
        """Add it. Raises AlreadyThere where the two are attached already. The thing must be in the store."""
        values = {
            **realm_values(attachment.realm),
            "thing_name": attachment.thing_name,
            "principal": attachment.principal,
            "type": attachment.type.value,
        }
        insert(self._tx, ATTACHMENTS, values, f"{attachment.principal} of {attachment.thing_name}")

    def remove(self, realm: Realm, thing_name: str, principal: str) -> bool:
        """Remove it; False where there was none."""
        parameters = realm_parameters(realm, thing_name=thing_name, principal=principal)
        return self._tx.execute(_REMOVE, parameters).rowcount == 1

    def of_thing(self, realm: Realm, thing_name: str, window: Window) -> Slice[Attachment]:
        """Return a page of a thing's principals."""
        return _OF_THING.page(self._tx, window, realm_parameters(realm, thing_name=thing_name))

    def of_principal(self, realm: Realm, principal: str, window: Window) -> Slice[Attachment]:
        """Return a page of a principal's things."""
        return _OF_PRINCIPAL.page(self._tx, window, realm_parameters(realm, principal=principal))
