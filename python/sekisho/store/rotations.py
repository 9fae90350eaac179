"""Rotations of certificates (``ports.RotationRows``)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from sekisho.realm import Realm
from sekisho.registry.model import Rotation, RotationState
from sekisho.registry.ports import Slice, Window
from sekisho.store import schema
from sekisho.store.statements import Rows, insert, its, reading, realm_parameters, replace


def _make(row: Row[Any]) -> Rotation:
    return Rotation(
        realm=Realm(row.account_id, row.region),
        old_certificate_id=row.old_certificate_id,
        new_certificate_id=row.new_certificate_id,
        ca_certificate_id=row.ca_certificate_id,
        started_at=row.started_at,
        finished_at=row.finished_at,
        state=RotationState(row.state),
    )


_TABLE = schema.rotations
_OF_OLD = reading(_TABLE, _make, "account_id", "region", "old_certificate_id")
_AWAITING = Rows(
    select(_TABLE).where(its(_TABLE, "new_certificate_id", "account_id", "region") & schema.PENDING),
    _TABLE.c.seq,
    _make,
)
_OF_REALM = ("account_id", "region", "state")
_OF_CA = ("account_id", "region", "ca_certificate_id", "state")
_PAGE_OF_REALM = reading(_TABLE, _make, *_OF_REALM)
_PAGE_OF_CA = reading(_TABLE, _make, *_OF_CA)
_COUNT_OF_REALM = select(func.count()).select_from(_TABLE).where(its(_TABLE, *_OF_REALM))
_COUNT_OF_CA = select(func.count()).select_from(_TABLE).where(its(_TABLE, *_OF_CA))
_FINISH = update(_TABLE).where(its(_TABLE, "account_id", "region", "old_certificate_id") & schema.PENDING)


class SqlRotations:
    """Rotations of all realms."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def latest(self, realm: Realm, old_certificate_id: str) -> Rotation | None:
        """The one begun last for this old certificate, or None."""
        newest = Window(limit=1, ascending=False)
        found = _OF_OLD.page(self._connection, newest, realm_parameters(realm, old_certificate_id=old_certificate_id))
        return found.items[0] if found.items else None

    def awaiting(self, realm: Realm, new_certificate_id: str) -> Rotation | None:
        """The pending one that waits for this new certificate, or None."""
        return _AWAITING.one(self._connection, realm_parameters(realm, new_certificate_id=new_certificate_id))

    def add(self, rotation: Rotation) -> None:
        """Raises AlreadyThere where one is pending for the old certificate, or waits for the new one."""
        values = {
            "account_id": rotation.realm.account_id,
            "region": rotation.realm.region,
            "old_certificate_id": rotation.old_certificate_id,
            "new_certificate_id": rotation.new_certificate_id,
            "ca_certificate_id": rotation.ca_certificate_id,
            "started_at": rotation.started_at,
            "finished_at": rotation.finished_at,
            "state": rotation.state.value,
        }
        insert(self._connection, _TABLE, values, f"{rotation.old_certificate_id} to {rotation.new_certificate_id}")

    def finish(self, rotation: Rotation) -> None:
        """Write how the pending rotation of this old certificate ended. Raises KeyError where none is pending."""
        parameters = realm_parameters(rotation.realm, old_certificate_id=rotation.old_certificate_id)
        values = {"state": rotation.state.value, "finished_at": rotation.finished_at}
        replace(self._connection, _FINISH, parameters | values, rotation.old_certificate_id)

    def page(
        self, realm: Realm, window: Window, state: RotationState, *, ca_certificate_id: str | None = None
    ) -> Slice[Rotation]:
        """Part of the list of those in one state, of the realm or of one CA."""
        rows = _PAGE_OF_REALM if ca_certificate_id is None else _PAGE_OF_CA
        return rows.page(self._connection, window, _parameters(realm, state, ca_certificate_id))

    def count(self, realm: Realm, state: RotationState, *, ca_certificate_id: str | None = None) -> int:
        """How many are in one state."""
        statement = _COUNT_OF_REALM if ca_certificate_id is None else _COUNT_OF_CA
        parameters = _parameters(realm, state, ca_certificate_id)
        return int(self._connection.execute(statement, parameters).scalar_one())


def _parameters(realm: Realm, state: RotationState, ca_certificate_id: str | None) -> dict[str, Any]:
    if ca_certificate_id is None:
        return realm_parameters(realm, state=state.value)
    return realm_parameters(realm, state=state.value, ca_certificate_id=ca_certificate_id)
