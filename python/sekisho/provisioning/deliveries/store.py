"""Deliveries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Column, Index, Integer, LargeBinary, Row, UniqueConstraint, bindparam, func, select
from sqlalchemy import insert as sql_insert

from sekisho.provisioning.deliveries.model import Delivery, DeliveryState
from sekisho.realm import Realm
from sekisho.store.rows import Rows, realm_of, realm_values
from sekisho.store.statements import its, reading, realm_parameters, removing, replacing
from sekisho.store.tables import Instant, String, listed, realm_columns

# Has only deliveries that are being processed, wait for a retry, or are FAILED.
DELIVERIES = listed(
    "deliveries",
    *realm_columns(),
    Column("handler", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", Instant, nullable=False),
    Column("last_error", String),
    Column("state", String, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("handler", "subject", "account_id", "region"),
    Index(None, "handler", "state", "next_attempt_at", "seq"),
    # For ``next_account``, ``upcoming`` and ``count``.
    Index(None, "handler", "state", "account_id", "next_attempt_at", "seq"),
    # No decision depends on deliveries.
    announces=None,
)


def _make(row: Row[Any]) -> Delivery:
    return Delivery(
        realm=realm_of(row),
        handler=row.handler,
        subject=row.subject,
        payload=row.payload,
        attempts=row.attempts,
        next_attempt_at=row.next_attempt_at,
        last_error=row.last_error,
        state=DeliveryState(row.state),
        created_at=row.created_at,
    )


def _values(delivery: Delivery) -> dict[str, Any]:
    return {
        **realm_values(delivery.realm),
        "handler": delivery.handler,
        "subject": delivery.subject,
        "payload": delivery.payload,
        "attempts": delivery.attempts,
        "next_attempt_at": delivery.next_attempt_at,
        "last_error": delivery.last_error,
        "state": delivery.state.value,
        "created_at": delivery.created_at,
    }


_KEY: Final = ("handler", "subject", "account_id", "region")
_BY_KEY = reading(DELIVERIES, _make, *_KEY)
_ADD = sql_insert(DELIVERIES).inline()
_UPDATE = replacing(DELIVERIES, "seq")
_REMOVE = removing(DELIVERIES, "seq")
_REMOVE_BY_KEY = removing(DELIVERIES, *_KEY)
_RETRY = replacing(DELIVERIES, "handler", "state")
_LIMIT = bindparam("its_limit", type_=Integer())
_IN_STATE = select(DELIVERIES).where(its(DELIVERIES, "handler", "state"))
_DUE_FIRST = (DELIVERIES.c.next_attempt_at, DELIVERIES.c.seq)
_NEXT_ACCOUNT = (
    _IN_STATE.where(DELIVERIES.c.account_id > bindparam("its_after"))
    .order_by(DELIVERIES.c.account_id, *_DUE_FIRST)
    .limit(1)
)
_OF_ACCOUNT = its(DELIVERIES, "handler", "state", "account_id")
_UPCOMING = select(DELIVERIES).where(_OF_ACCOUNT).order_by(*_DUE_FIRST).limit(_LIMIT)
_COUNT = select(func.count()).where(_OF_ACCOUNT)
_FIRST = select(DELIVERIES.c.seq).where(_OF_ACCOUNT).order_by(*_DUE_FIRST).limit(_LIMIT)
_LATEST = _IN_STATE.order_by(DELIVERIES.c.next_attempt_at.desc(), DELIVERIES.c.seq.desc()).limit(_LIMIT)
_GROUP = (DELIVERIES.c.handler, DELIVERIES.c.state, DELIVERIES.c.account_id)
_COUNTS = select(*_GROUP, func.count().label("many")).group_by(*_GROUP)


def _of_account(handler: str, state: DeliveryState, account_id: str) -> dict[str, Any]:
    return {"its_handler": handler, "its_state": state.value, "its_account_id": account_id}


class DeliveryRows(Rows):
    """Deliveries of all realms and handlers."""

    __slots__ = ()

    def get(self, realm: Realm, handler: str, subject: str) -> Delivery | None:
        """Return the delivery, or None."""
        return _BY_KEY.one(self._tx, realm_parameters(realm, handler=handler, subject=subject))

    def put(self, delivery: Delivery) -> None:
        """Add a delivery with a new number, in place of one of the same handler and subject."""
        key = realm_parameters(delivery.realm, handler=delivery.handler, subject=delivery.subject)
        self._tx.execute(_REMOVE_BY_KEY, key)
        self._tx.execute(_ADD, _values(delivery))

    def next_account(self, handler: str, after: str) -> tuple[int, Delivery] | None:
        """Return the first due PENDING delivery of the next account after ``after``, with its number; or None."""
        parameters = {"its_handler": handler, "its_state": DeliveryState.PENDING.value, "its_after": after}
        row = self._tx.execute(_NEXT_ACCOUNT, parameters).first()
        return None if row is None else (row.seq, _make(row))

    def upcoming(self, handler: str, account_id: str, limit: int) -> Sequence[tuple[int, Delivery]]:
        """Return at most ``limit`` PENDING deliveries of an account with their numbers, first due first."""
        parameters = _of_account(handler, DeliveryState.PENDING, account_id) | {"its_limit": limit}
        return [(row.seq, _make(row)) for row in self._tx.execute(_UPCOMING, parameters)]

    def count(self, handler: str, account_id: str) -> int:
        """Return the number of an account's deliveries in any state."""
        return sum(
            self._tx.execute(_COUNT, _of_account(handler, state, account_id)).scalar_one() for state in DeliveryState
        )

    def remove_failed(self, handler: str, account_id: str, limit: int) -> int:
        """Remove the first ``limit`` FAILED deliveries of an account, by their last attempt; return their number."""
        parameters = _of_account(handler, DeliveryState.FAILED, account_id) | {"its_limit": limit}
        first = self._tx.execute(_FIRST, parameters).scalars()
        if first:
            self._tx.execute(_REMOVE, [{"its_seq": seq} for seq in first])
        return len(first)

    def update(self, number: int, delivery: Delivery) -> None:
        """Replace a delivery, if it exists."""
        self._tx.execute(_UPDATE, _values(delivery) | {"its_seq": number})

    def remove(self, number: int) -> None:
        """Remove a delivery, if it exists."""
        self._tx.execute(_REMOVE, {"its_seq": number})

    def retry(self, handler: str, now: datetime) -> int:
        """Make the FAILED deliveries of a handler PENDING and due; return their number."""
        return self._tx.execute(
            _RETRY,
            {
                "its_handler": handler,
                "its_state": DeliveryState.FAILED.value,
                "state": DeliveryState.PENDING.value,
                "attempts": 0,
                "next_attempt_at": now,
            },
        ).rowcount

    def latest(self, handler: str, state: DeliveryState) -> Delivery | None:
        """Return the delivery with the latest ``next_attempt_at``, or None."""
        parameters = {"its_handler": handler, "its_state": state.value, "its_limit": 1}
        row = self._tx.execute(_LATEST, parameters).first()
        return None if row is None else _make(row)

    def counts(self) -> Mapping[tuple[str, str, DeliveryState], int]:
        """Return the number of deliveries by handler, account id and state."""
        return {(row.handler, row.account_id, DeliveryState(row.state)): row.many for row in self._tx.execute(_COUNTS)}
