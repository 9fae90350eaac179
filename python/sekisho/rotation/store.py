"""Rotations of certificates."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Column, Index, Row, func, select, text, update

from sekisho.change import ChangeKind
from sekisho.pages import Slice, Window
from sekisho.realm import Realm
from sekisho.rotation.model import Rotation, RotationState
from sekisho.store.rows import Rows, realm_of, realm_values
from sekisho.store.statements import Query, insert, its, reading, realm_parameters, replace
from sekisho.store.tables import Instant, String, listed, naming, partial_index, realm_columns

# No foreign keys: a rotation remains when its certificates are deleted.
ROTATIONS = listed(
    "rotations",
    *realm_columns(),
    Column("old_certificate_id", String, nullable=False),
    Column("new_certificate_id", String, nullable=False),
    Column("ca_certificate_id", String),
    Column("started_at", Instant, nullable=False),
    Column("finished_at", Instant),
    Column("state", String, nullable=False),
    Index(None, "account_id", "region", "old_certificate_id", "seq"),
    Index(None, "account_id", "region", "state", "seq"),
    announces=naming(ChangeKind.CERTIFICATE, "new_certificate_id", of_inserts=True),
)

partial_index(
    None,
    ROTATIONS.c.account_id,
    ROTATIONS.c.region,
    ROTATIONS.c.ca_certificate_id,
    ROTATIONS.c.state,
    ROTATIONS.c.seq,
    where=ROTATIONS.c.ca_certificate_id.is_not(None),
)

# A literal, as ``certificates.store.OUTGOING``.
PENDING: Final = text("state = 'PENDING'")

partial_index(
    "ux_rotations_pending_old",
    ROTATIONS.c.account_id,
    ROTATIONS.c.region,
    ROTATIONS.c.old_certificate_id,
    unique=True,
    where=PENDING,
)

# Certificate id first, for the look-up of identities.
partial_index(
    "ux_rotations_pending_new",
    ROTATIONS.c.new_certificate_id,
    ROTATIONS.c.account_id,
    ROTATIONS.c.region,
    unique=True,
    where=PENDING,
)


def _make(row: Row[Any]) -> Rotation:
    return Rotation(
        realm=realm_of(row),
        old_certificate_id=row.old_certificate_id,
        new_certificate_id=row.new_certificate_id,
        ca_certificate_id=row.ca_certificate_id,
        started_at=row.started_at,
        finished_at=row.finished_at,
        state=RotationState(row.state),
    )


_OF_OLD = reading(ROTATIONS, _make, "account_id", "region", "old_certificate_id")
_AWAITING = Query(
    select(ROTATIONS).where(its(ROTATIONS, "new_certificate_id", "account_id", "region") & PENDING),
    ROTATIONS.c.seq,
    _make,
)
_OF_REALM = ("account_id", "region", "state")
_OF_CA = ("account_id", "region", "ca_certificate_id", "state")
_PAGE_OF_REALM = reading(ROTATIONS, _make, *_OF_REALM)
_PAGE_OF_CA = reading(ROTATIONS, _make, *_OF_CA)
_COUNT_OF_REALM = select(func.count()).select_from(ROTATIONS).where(its(ROTATIONS, *_OF_REALM))
_COUNT_OF_CA = select(func.count()).select_from(ROTATIONS).where(its(ROTATIONS, *_OF_CA))
_FINISH = update(ROTATIONS).where(
    its(ROTATIONS, "account_id", "region", "old_certificate_id", "new_certificate_id") & PENDING
)


class RotationRows(Rows):
    """Rotations of all realms."""

    __slots__ = ()

    def latest(self, realm: Realm, old_certificate_id: str) -> Rotation | None:
        """Return the newest rotation of this old certificate, or None."""
        newest = Window(limit=1, ascending=False)
        found = _OF_OLD.page(self._tx, newest, realm_parameters(realm, old_certificate_id=old_certificate_id))
        return found.items[0] if found.items else None

    def awaiting(self, realm: Realm, new_certificate_id: str) -> Rotation | None:
        """Return the pending rotation to this new certificate, or None."""
        return _AWAITING.one(self._tx, realm_parameters(realm, new_certificate_id=new_certificate_id))

    def add(self, rotation: Rotation) -> None:
        """Add it. Raises AlreadyThere where one is pending from the old certificate or to the new one."""
        values = {
            **realm_values(rotation.realm),
            "old_certificate_id": rotation.old_certificate_id,
            "new_certificate_id": rotation.new_certificate_id,
            "ca_certificate_id": rotation.ca_certificate_id,
            "started_at": rotation.started_at,
            "finished_at": rotation.finished_at,
            "state": rotation.state.value,
        }
        insert(self._tx, ROTATIONS, values, f"{rotation.old_certificate_id} to {rotation.new_certificate_id}")

    def finish(self, rotation: Rotation) -> None:
        """Write the final state of a pending rotation. Raises KeyError where it is not pending."""
        parameters = realm_parameters(
            rotation.realm,
            old_certificate_id=rotation.old_certificate_id,
            new_certificate_id=rotation.new_certificate_id,
        )
        values = {"state": rotation.state.value, "finished_at": rotation.finished_at}
        replace(self._tx, _FINISH, parameters | values, rotation.old_certificate_id)

    def page(
        self, realm: Realm, window: Window, state: RotationState, *, ca_certificate_id: str | None = None
    ) -> Slice[Rotation]:
        """Return a page of the rotations in a state, of the realm or of one CA."""
        rows = _PAGE_OF_REALM if ca_certificate_id is None else _PAGE_OF_CA
        return rows.page(self._tx, window, _parameters(realm, state, ca_certificate_id))

    def count(self, realm: Realm, state: RotationState, *, ca_certificate_id: str | None = None) -> int:
        """Return the number of rotations in a state, of the realm or of one CA."""
        statement = _COUNT_OF_REALM if ca_certificate_id is None else _COUNT_OF_CA
        parameters = _parameters(realm, state, ca_certificate_id)
        return int(self._tx.execute(statement, parameters).scalar_one())


def _parameters(realm: Realm, state: RotationState, ca_certificate_id: str | None) -> dict[str, Any]:
    if ca_certificate_id is None:
        return realm_parameters(realm, state=state.value)
    return realm_parameters(realm, state=state.value, ca_certificate_id=ca_certificate_id)
