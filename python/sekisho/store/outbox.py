"""Events that are to be published (``ports.OutboxRows``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row
from sqlalchemy import insert as sql_insert

from sekisho.realm import Realm
from sekisho.registry.model import Event
from sekisho.registry.ports import Window
from sekisho.store import schema
from sekisho.store.statements import reading, removing

_TABLE = schema.outbox


def _make(row: Row[Any]) -> tuple[int, Event]:
    return row.seq, Event(realm=Realm(row.account_id, row.region), topic=row.topic, payload=row.payload)


_ALL = reading(_TABLE, _make)
_ADD = sql_insert(_TABLE).inline()
_REMOVE = removing(_TABLE, "seq")


class SqlOutbox:
    """Events of all realms, oldest first."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, event: Event) -> None:
        """Keep it after those that are there."""
        values = {
            "account_id": event.realm.account_id,
            "region": event.realm.region,
            "topic": event.topic,
            "payload": event.payload,
        }
        self._connection.execute(_ADD, values)

    def first(self, limit: int) -> Sequence[tuple[int, Event]]:
        """At most ``limit``, each with its number."""
        return _ALL.page(self._connection, Window(limit=limit), {}).items

    def remove(self, numbers: Sequence[int]) -> None:
        """Numbers that are gone already are passed over."""
        if numbers:
            self._connection.execute(_REMOVE, [{"its_seq": number} for number in numbers])
