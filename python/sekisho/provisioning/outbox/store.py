"""Events that are to be published."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, LargeBinary, Row
from sqlalchemy import insert as sql_insert

from sekisho.pages import Window
from sekisho.provisioning.outbox.model import Event
from sekisho.realm import Realm
from sekisho.store.statements import reading, removing
from sekisho.store.tables import String, listed, realm_columns
from sekisho.store.transaction import Transaction

# Empty but for what is being published, and what was when the server ended.
OUTBOX = listed(
    "outbox",
    *realm_columns(),
    Column("topic", String, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    # Events are read by those who publish them.
    announces=None,
)


def _make(row: Row[Any]) -> tuple[int, Event]:
    return row.seq, Event(realm=Realm(row.account_id, row.region), topic=row.topic, payload=row.payload)


_ALL = reading(OUTBOX, _make)
_ADD = sql_insert(OUTBOX).inline()
_REMOVE = removing(OUTBOX, "seq")


class OutboxRows:
    """Events of all realms, oldest first."""

    __slots__ = ("_tx",)

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    def add(self, event: Event) -> None:
        """Keep it after those that are there."""
        values = {
            "account_id": event.realm.account_id,
            "region": event.realm.region,
            "topic": event.topic,
            "payload": event.payload,
        }
        self._tx.execute(_ADD, values)

    def first(self, limit: int) -> Sequence[tuple[int, Event]]:
        """At most ``limit``, each with its number."""
        return _ALL.page(self._tx, Window(limit=limit), {}).items

    def remove(self, numbers: Sequence[int]) -> None:
        """Numbers that are gone already are passed over."""
        if numbers:
            self._tx.execute(_REMOVE, [{"its_seq": number} for number in numbers])
