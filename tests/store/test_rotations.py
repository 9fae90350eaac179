"""The promises of ``ports.RotationRows``, kept by every store."""

from __future__ import annotations

import pytest

from sekisho.pages import Window
from sekisho.rotation.model import RotationState
from sekisho.rotation.store import RotationRows
from sekisho.store.errors import AlreadyThere
from sekisho.store.store import Store
from tests.store.builders import HOME, NOW, OTHER_ACCOUNT, certificate_id, rotation

PENDING, DONE, CANCELLED = RotationState.PENDING, RotationState.DONE, RotationState.CANCELLED
ALL = Window(limit=100)


def test_a_rotation_is_read_as_it_was_added(store: Store) -> None:
    plain = rotation()
    without_ca = rotation(3, 4, ca_certificate_id=None)
    finished = rotation(5, 6, state=DONE, finished_at=NOW)
    with store.write() as tx:
        for each in (plain, without_ca, finished):
            RotationRows(tx).add(each)
    with store.read() as tx:
        assert RotationRows(tx).latest(HOME, certificate_id(1)) == plain
        assert RotationRows(tx).latest(HOME, certificate_id(3)) == without_ca
        assert RotationRows(tx).latest(HOME, certificate_id(5)) == finished
        assert RotationRows(tx).latest(HOME, certificate_id(2)) is None
        assert RotationRows(tx).latest(OTHER_ACCOUNT, certificate_id(1)) is None
        assert RotationRows(tx).awaiting(HOME, certificate_id(2)) == plain
        assert RotationRows(tx).awaiting(HOME, certificate_id(6)) is None
        assert RotationRows(tx).awaiting(OTHER_ACCOUNT, certificate_id(2)) is None


def test_a_certificate_is_in_one_pending_rotation_as_the_old_one_and_in_one_as_the_new_one(store: Store) -> None:
    with store.write() as tx:
        RotationRows(tx).add(rotation(1, 2))
        for old, new in ((1, 3), (3, 2), (1, 2)):
            with pytest.raises(AlreadyThere):
                RotationRows(tx).add(rotation(old, new))
        # In another realm, and after the end of the rotation, it may be.
        RotationRows(tx).add(rotation(1, 2, OTHER_ACCOUNT))
        RotationRows(tx).finish(rotation(1, 2, state=DONE, finished_at=NOW))
        RotationRows(tx).add(rotation(1, 3))
        assert RotationRows(tx).count(HOME, PENDING) == 1


def test_finishing_ends_only_the_pending_rotation(store: Store) -> None:
    with store.write() as tx:
        RotationRows(tx).add(rotation(1, 2))
        RotationRows(tx).add(rotation(1, 2, OTHER_ACCOUNT))
        RotationRows(tx).finish(rotation(1, 2, state=CANCELLED, finished_at=NOW))
        RotationRows(tx).add(rotation(1, 3))
        RotationRows(tx).finish(rotation(1, 3, state=DONE, finished_at=NOW))
        assert RotationRows(tx).latest(HOME, certificate_id(1)) == rotation(1, 3, state=DONE, finished_at=NOW)
        assert list(RotationRows(tx).page(HOME, ALL, CANCELLED).items) == [
            rotation(1, 2, state=CANCELLED, finished_at=NOW)
        ]
        assert RotationRows(tx).latest(OTHER_ACCOUNT, certificate_id(1)) == rotation(1, 2, OTHER_ACCOUNT)
        with pytest.raises(KeyError):
            RotationRows(tx).finish(rotation(1, 3, state=DONE))


def test_pages_and_counts_are_of_one_state_and_one_ca(store: Store) -> None:
    one, two = certificate_id(1000), certificate_id(2000)
    with store.write() as tx:
        for number in range(10):
            ca = (one, two, None)[number % 3]
            RotationRows(tx).add(rotation(number, 100 + number, ca_certificate_id=ca))
        RotationRows(tx).add(rotation(50, 150, ca_certificate_id=one, state=DONE))
        RotationRows(tx).add(rotation(51, 151, OTHER_ACCOUNT, ca_certificate_id=one))
    with store.read() as tx:
        assert [each.old_certificate_id for each in RotationRows(tx).page(HOME, ALL, PENDING).items] == [
            certificate_id(number) for number in range(10)
        ]
        part = RotationRows(tx).page(HOME, Window(limit=3), PENDING, ca_certificate_id=one)
        rest = RotationRows(tx).page(HOME, Window(limit=3, after=part.next_after), PENDING, ca_certificate_id=one)
        assert [each.old_certificate_id for each in (*part.items, *rest.items)] == [
            certificate_id(number) for number in (0, 3, 6, 9)
        ]
        assert rest.next_after is None
        newest = RotationRows(tx).page(HOME, Window(limit=1, ascending=False), PENDING, ca_certificate_id=two)
        assert newest.items[0].old_certificate_id == certificate_id(7)
        assert [RotationRows(tx).count(HOME, state) for state in RotationState] == [10, 1, 0]
        assert [RotationRows(tx).count(HOME, state, ca_certificate_id=one) for state in RotationState] == [4, 1, 0]
