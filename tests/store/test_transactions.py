"""Properties of a transaction, on every database."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import Connection, Engine, event

from sekisho.certificates.store import CertificateRows
from sekisho.change import Change, ChangeKind
from sekisho.pages import Window
from sekisho.policies.store import PolicyRows
from sekisho.store.errors import AlreadyThere
from sekisho.store.store import Store
from sekisho.tags.store import TagRows
from sekisho.things.store import ThingRows
from tests.store.builders import HOME, OTHER_ACCOUNT, certificate, certificate_id, policy, thing, version

FIRST = Change(HOME, ChangeKind.CERTIFICATE, certificate_id(1))
SECOND = Change(HOME, ChangeKind.CERTIFICATE, certificate_id(2))
DEADLINE = 30.0


class Refused(Exception):
    """Raised by a domain function in the middle of its work."""


def test_the_writes_of_a_block_are_visible_after_it_and_not_before(store: Store) -> None:
    with store.write() as tx:
        CertificateRows(tx).add(certificate())
        assert CertificateRows(tx).get(HOME, certificate_id(1)) is not None
        with store.read() as other:
            assert CertificateRows(other).get(HOME, certificate_id(1)) is None
    with store.read() as other:
        assert CertificateRows(other).get(HOME, certificate_id(1)) is not None


def test_a_block_that_raises_leaves_nothing_and_announces_nothing(store: Store, announced: list[Change]) -> None:
    with store.write() as tx:
        ThingRows(tx).add(thing(attributes={"a": "1"}))
    announced.clear()
    with contextlib.suppress(Refused), store.write() as tx:
        CertificateRows(tx).add(certificate())
        PolicyRows(tx).add(policy(), version())
        ThingRows(tx).replace(thing(attributes={"a": "2"}))
        raise Refused
    assert announced == []
    with store.read() as tx:
        assert CertificateRows(tx).get(HOME, certificate_id(1)) is None
        assert PolicyRows(tx).get(HOME, "p") is None
        assert PolicyRows(tx).versions(HOME, "p") == []
        assert ThingRows(tx).get(HOME, "lamp") == thing(attributes={"a": "1"})
        assert ThingRows(tx).page(HOME, Window(limit=9), attribute=("a", "2")).items == []


def test_the_store_works_after_a_block_that_raised(store: Store) -> None:
    for _ in range(40):  # more often than there are connections
        with pytest.raises(Refused), store.write():
            raise Refused
        with pytest.raises(Refused), store.read():
            raise Refused
    with store.write() as tx:
        CertificateRows(tx).add(certificate())


def test_changes_are_announced_after_the_commit_each_once_and_in_order(url: str) -> None:
    seen: list[tuple[list[Change], bool]] = []

    def announce(changes: object) -> None:
        with opened.read() as tx:
            is_there = CertificateRows(tx).get(HOME, certificate_id(1)) is not None
        with opened.write():
            pass  # The callback of an announcement may write.
        seen.append((list(changes), is_there))  # type: ignore[call-overload]

    with Store(url, announce) as opened:
        with opened.write() as tx:
            CertificateRows(tx).add(certificate(2))
            CertificateRows(tx).add(certificate(1))
            CertificateRows(tx).replace(certificate(2))
            assert seen == []
        assert seen == [([SECOND, FIRST], True)]
        with opened.write() as tx:
            TagRows(tx).put(HOME, "arn", {"no": "change"})
        assert len(seen) == 1


def _add_and_announce(store: Store) -> None:
    with store.write() as tx:
        CertificateRows(tx).add(certificate())


def test_a_failed_commit_keeps_nothing_and_announces_nothing(store: Store, announced: list[Change]) -> None:
    def fail(_: Connection) -> None:
        raise OSError("the disk is gone")

    event.listen(Engine, "commit", fail)
    try:
        with pytest.raises(OSError, match="gone"):
            _add_and_announce(store)
    finally:
        event.remove(Engine, "commit", fail)
    assert announced == []
    with store.write() as tx:
        assert CertificateRows(tx).get(HOME, certificate_id(1)) is None
        CertificateRows(tx).add(certificate())


def test_a_transaction_is_usable_after_a_violated_constraint(store: Store, announced: list[Change]) -> None:
    with store.write() as tx:
        CertificateRows(tx).add(certificate(1))
        with pytest.raises(AlreadyThere):
            CertificateRows(tx).add(certificate(1))
        CertificateRows(tx).add(certificate(2))
    assert announced == [FIRST, SECOND]
    with store.read() as tx:
        assert len(CertificateRows(tx).page(HOME, Window(limit=9)).items) == 2


def test_a_transaction_that_reads_sees_one_state(store: Store) -> None:
    with store.write() as tx:
        CertificateRows(tx).add(certificate(1))
    with store.read() as reading:
        assert len(CertificateRows(reading).page(HOME, Window(limit=9)).items) == 1
        with store.write() as tx:
            CertificateRows(tx).add(certificate(2))
            PolicyRows(tx).add(policy(), version())
        assert len(CertificateRows(reading).page(HOME, Window(limit=9)).items) == 1
        assert PolicyRows(reading).get(HOME, "p") is None
    with store.read() as reading:
        assert len(CertificateRows(reading).page(HOME, Window(limit=9)).items) == 2


def test_a_transaction_that_reads_changes_and_announces_nothing(store: Store, announced: list[Change]) -> None:
    with store.read() as tx, pytest.raises(RuntimeError, match="cannot write"):
        CertificateRows(tx).add(certificate())
    assert announced == []
    with store.read() as tx:
        assert CertificateRows(tx).get(HOME, certificate_id(1)) is None


def test_a_write_within_a_write_is_refused_and_not_waited_for(store: Store) -> None:
    with store.write() as tx:
        with pytest.raises(RuntimeError, match="within another"), store.write():
            raise AssertionError("it must not begin")
        CertificateRows(tx).add(certificate())
    with store.read() as tx:
        assert CertificateRows(tx).get(HOME, certificate_id(1)) is not None


def test_a_transaction_ends_with_its_block(store: Store) -> None:
    with store.write() as tx:
        pass
    with pytest.raises(RuntimeError, match="after its block"):
        CertificateRows(tx).add(certificate())


def _count_up(store: Store) -> None:
    with store.write() as tx:
        found = PolicyRows(tx).get(HOME, "p")
        assert found is not None
        PolicyRows(tx).replace(replace(found, last_version_id=found.last_version_id + 1))


def _together(work: list[Callable[[], None]]) -> None:
    """Run each in a separate thread, all at the same moment; raise the error of any of them."""
    start = threading.Barrier(len(work))

    def begin(do: Callable[[], None]) -> None:
        start.wait(DEADLINE)
        do()

    with ThreadPoolExecutor(len(work)) as threads:
        for done in [threads.submit(begin, do) for do in work]:
            done.result(DEADLINE)


def test_rows_that_a_writer_has_read_cannot_change_in_its_transaction(store: Store) -> None:
    """Threads and two servers on one database: no increment is lost."""
    with store.write() as tx:
        PolicyRows(tx).add(policy(last_version_id=0), version())
    with Store(_url_of(store), lambda _: None) as second:

        def count(own: Store) -> None:
            for _ in range(10):
                _count_up(own)

        _together([lambda own=own: count(own) for own in (store, second) * 4])  # type: ignore[misc]
    with store.read() as tx:
        assert PolicyRows(tx).get(HOME, "p") == policy(last_version_id=80)


def _url_of(store: Store) -> str:
    return store._engines.writing.url.render_as_string(hide_password=False)


def test_of_many_that_add_the_same_row_one_succeeds(store: Store) -> None:
    added: list[int] = []

    def add(number: int) -> None:
        try:
            with store.write() as tx:
                CertificateRows(tx).add(certificate(customer_version=number))
        except AlreadyThere:
            return
        added.append(number)

    _together([lambda number=number: add(number) for number in range(16)])  # type: ignore[misc]
    with store.read() as tx:
        found = CertificateRows(tx).get(HOME, certificate_id(1))
    assert len(added) == 1
    assert found == certificate(customer_version=added[0])


def test_readers_see_complete_transactions_while_others_write(store: Store) -> None:
    def write(first: int) -> None:
        for number in range(first, first + 20):
            with store.write() as tx:
                CertificateRows(tx).add(certificate(number))
                CertificateRows(tx).add(certificate(number, OTHER_ACCOUNT))

    def read() -> None:
        everything = Window(limit=250)
        for _ in range(40):
            with store.read() as tx:
                ours = [each.certificate_id for each in CertificateRows(tx).page(HOME, everything).items]
                theirs = [each.certificate_id for each in CertificateRows(tx).page(OTHER_ACCOUNT, everything).items]
            assert ours == theirs

    _together([lambda: write(0), lambda: write(100), read, read, read, read])
    with store.read() as tx:
        assert len(CertificateRows(tx).page(HOME, Window(limit=250)).items) == 40


def test_a_savepoint_that_raises_is_undone_and_the_rest_is_kept(store: Store, announced: list[Change]) -> None:
    with store.write() as tx:
        CertificateRows(tx).add(certificate(1))
        with contextlib.suppress(Refused), tx.savepoint():
            CertificateRows(tx).add(certificate(3))
            raise Refused
        with tx.savepoint():
            CertificateRows(tx).add(certificate(2))
    assert announced == [FIRST, SECOND]
    with store.read() as tx:
        assert CertificateRows(tx).get(HOME, certificate_id(1)) is not None
        assert CertificateRows(tx).get(HOME, certificate_id(2)) is not None
        assert CertificateRows(tx).get(HOME, certificate_id(3)) is None


def test_a_savepoint_within_a_savepoint_fails_alone(store: Store) -> None:
    with store.write() as tx, tx.savepoint():
        CertificateRows(tx).add(certificate(1))
        with contextlib.suppress(Refused), tx.savepoint():
            CertificateRows(tx).add(certificate(2))
            raise Refused
    with store.read() as tx:
        assert CertificateRows(tx).get(HOME, certificate_id(1)) is not None
        assert CertificateRows(tx).get(HOME, certificate_id(2)) is None
