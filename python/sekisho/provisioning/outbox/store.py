"""Events to publish."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, LargeBinary, Row
from sqlalchemy import insert as sql_insert

from sekisho.pages import Window
from sekisho.provisioning.outbox.model import Event
from sekisho.store.rows import Rows, realm_of, realm_values
from sekisho.store.statements import reading, removing
from sekisho.store.tables import String, listed, realm_columns

# Has only events that are not published yet.
OUTBOX = listed(
    "outbox",
    *realm_columns(),
    Column("topic", String, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    # No decision depends on events.
    announces=None,
)


def _make(row: Row[Any]) -> tuple[int, Event]:
    return row.seq, Event(realm=realm_of(row), topic=row.topic, payload=row.payload)


_ALL = reading(OUTBOX, _make)
_ADD = sql_insert(OUTBOX).inline()
_REMOVE = removing(OUTBOX, "seq")


class OutboxRows(Rows):
    """Events of all realms, oldest first."""

    __slots__ = ()

    def add(self, event: Event) -> None:
        """Add an event after the others."""
        values = {
            **realm_values(event.realm),
            "topic": event.topic,
            "payload": event.payload,
        }
        self._tx.execute(_ADD, values)

    def first(self, limit: int) -> Sequence[tuple[int, Event]]:
        """Return at most ``limit`` events with their numbers."""
        return _ALL.page(self._tx, Window(limit=limit), {}).items

    def remove(self, numbers: Sequence[int]) -> None:
        """Remove events by their numbers, if they exist."""
        if numbers:
            self._tx.execute(_REMOVE, [{"its_seq": number} for number in numbers])
