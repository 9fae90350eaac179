"""The promises of ``ports.RotationRows``, kept by every store."""

from __future__ import annotations

import pytest

from sekisho.registry.model import RotationState
from sekisho.registry.ports import AlreadyThere, Window
from sekisho.store.unit_of_work import SqlStore
from tests.store.builders import HOME, NOW, OTHER_ACCOUNT, certificate_id, rotation

PENDING, DONE, CANCELLED = RotationState.PENDING, RotationState.DONE, RotationState.CANCELLED
ALL = Window(limit=100)


def test_a_rotation_is_kept_as_it_was_given(store: SqlStore) -> None:
    plain = rotation()
    without_ca = rotation(3, 4, ca_certificate_id=None)
    finished = rotation(5, 6, state=DONE, finished_at=NOW)
    with store.write() as tx:
        for each in (plain, without_ca, finished):
            tx.rotations.add(each)
    with store.read() as tx:
        assert tx.rotations.latest(HOME, certificate_id(1)) == plain
        assert tx.rotations.latest(HOME, certificate_id(3)) == without_ca
        assert tx.rotations.latest(HOME, certificate_id(5)) == finished
        assert tx.rotations.latest(HOME, certificate_id(2)) is None
        assert tx.rotations.latest(OTHER_ACCOUNT, certificate_id(1)) is None
        assert tx.rotations.awaiting(HOME, certificate_id(2)) == plain
        assert tx.rotations.awaiting(HOME, certificate_id(6)) is None
        assert tx.rotations.awaiting(OTHER_ACCOUNT, certificate_id(2)) is None


def test_a_certificate_is_in_one_pending_rotation_as_the_old_and_in_one_as_the_new(store: SqlStore) -> None:
    with store.write() as tx:
        tx.rotations.add(rotation(1, 2))
        for old, new in ((1, 3), (3, 2), (1, 2)):
            with pytest.raises(AlreadyThere):
                tx.rotations.add(rotation(old, new))
        # Elsewhere, and when it is over, it may.
        tx.rotations.add(rotation(1, 2, OTHER_ACCOUNT))
        tx.rotations.finish(rotation(1, 2, state=DONE, finished_at=NOW))
        tx.rotations.add(rotation(1, 3))
        assert tx.rotations.count(HOME, PENDING) == 1


def test_finishing_ends_the_pending_one_and_no_other(store: SqlStore) -> None:
    with store.write() as tx:
        tx.rotations.add(rotation(1, 2))
        tx.rotations.add(rotation(1, 2, OTHER_ACCOUNT))
        tx.rotations.finish(rotation(1, 2, state=CANCELLED, finished_at=NOW))
        tx.rotations.add(rotation(1, 3))
        tx.rotations.finish(rotation(1, 3, state=DONE, finished_at=NOW))
        assert tx.rotations.latest(HOME, certificate_id(1)) == rotation(1, 3, state=DONE, finished_at=NOW)
        assert list(tx.rotations.page(HOME, ALL, CANCELLED).items) == [rotation(1, 2, state=CANCELLED, finished_at=NOW)]
        assert tx.rotations.latest(OTHER_ACCOUNT, certificate_id(1)) == rotation(1, 2, OTHER_ACCOUNT)
        with pytest.raises(KeyError):
            tx.rotations.finish(rotation(1, 3, state=DONE))


def test_pages_and_counts_are_of_one_state_and_one_ca(store: SqlStore) -> None:
    one, two = certificate_id(1000), certificate_id(2000)
    with store.write() as tx:
        for number in range(10):
            ca = (one, two, None)[number % 3]
            tx.rotations.add(rotation(number, 100 + number, ca_certificate_id=ca))
        tx.rotations.add(rotation(50, 150, ca_certificate_id=one, state=DONE))
        tx.rotations.add(rotation(51, 151, OTHER_ACCOUNT, ca_certificate_id=one))
    with store.read() as tx:
        assert [each.old_certificate_id for each in tx.rotations.page(HOME, ALL, PENDING).items] == [
            certificate_id(number) for number in range(10)
        ]
        part = tx.rotations.page(HOME, Window(limit=3), PENDING, ca_certificate_id=one)
        rest = tx.rotations.page(HOME, Window(limit=3, after=part.next_after), PENDING, ca_certificate_id=one)
        assert [each.old_certificate_id for each in (*part.items, *rest.items)] == [
            certificate_id(number) for number in (0, 3, 6, 9)
        ]
        assert rest.next_after is None
        newest = tx.rotations.page(HOME, Window(limit=1, ascending=False), PENDING, ca_certificate_id=two)
        assert newest.items[0].old_certificate_id == certificate_id(7)
        assert [tx.rotations.count(HOME, state) for state in RotationState] == [10, 1, 0]
        assert [tx.rotations.count(HOME, state, ca_certificate_id=one) for state in RotationState] == [4, 1, 0]
