"""Writers that wait for the write lock together share a commit: outcomes, errors, and announcements of each."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
from sqlalchemy import Connection, Engine, event, text

from sekisho.certificates.store import CertificateRows
from sekisho.change import Change, ChangeKind
from sekisho.pages import Window
from sekisho.store import deadline, engines, group_commit
from sekisho.store.errors import StoreBusy, StoreError, StoreUnavailable
from sekisho.store.store import Store
from sekisho.store.transaction import Transaction
from sekisho.things.store import ThingRows
from tests.store.builders import HOME, certificate, certificate_id, thing
from tests.wait import eventually

GENEROUS = 30.0
"""Seconds that a test waits for what takes milliseconds."""


class Refused(Exception):
    """Raised by a domain function in the middle of its work."""


@pytest.fixture(autouse=True)
def any_age(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let groups stay open for any time, because a test may arrange them slowly."""
    monkeypatch.setattr(group_commit, "MAX_GROUP_SECONDS", GENEROUS)


@dataclass
class Counts:
    """Counts commits and savepoints."""

    commits: int = 0
    savepoints: int = 0


@pytest.fixture
def counts(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counts]:
    counted = Counts()

    def commit(connection: Connection) -> None:
        # Transactions that read end with a commit too.
        counted.commits += connection.engine is store._engines.writing

    def count(connection: Connection, statement: str) -> None:
        counted.savepoints += statement.startswith("SAVEPOINT")
        engines.run(connection, statement)

    monkeypatch.setattr(group_commit, "run", count)
    event.listen(Engine, "commit", commit)
    yield counted
    event.remove(Engine, "commit", commit)


def change(number: int) -> Change:
    return Change(HOME, ChangeKind.CERTIFICATE, certificate_id(number))


def kept(store: Store) -> list[int]:
    with store.read() as tx:
        return [number for number in range(100) if CertificateRows(tx).get(HOME, certificate_id(number))]


@dataclass
class Queue:
    """Writers 0, 1, 2 and so on, which ask for the write lock one after the other; number 0 holds it until ``go``."""

    store: Store
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(32))
    outcomes: list[Future[None]] = field(default_factory=list)
    may_end: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        has_begun = threading.Event()

        def first(tx: Transaction) -> None:
            has_begun.set()
            assert self.may_end.wait(GENEROUS)
            self.first(tx)

        self.first: Callable[[Transaction], None] = lambda _: None
        self._submit(first)
        assert has_begun.wait(GENEROUS)

    def add(self, block: Callable[[Transaction], None] = lambda _: None) -> None:
        """Start one more writer, which adds its certificate (and so announces it), and then calls ``block``."""
        waiting = self.store._commits._lock._waiting
        before = len(waiting)
        self._submit(block)
        eventually(lambda: len(waiting) == before + 1)

    def _submit(self, block: Callable[[Transaction], None]) -> None:
        number = len(self.outcomes)

        def write() -> None:
            with self.store.write() as tx:
                CertificateRows(tx).add(certificate(number))
                block(tx)

        self.outcomes.append(self.threads.submit(write))

    def go(self) -> list[BaseException | None]:
        """Let number 0 end; return the outcome of each writer."""
        self.may_end.set()
        found = [outcome.exception(GENEROUS) for outcome in self.outcomes]
        self.threads.shutdown()
        return found


def refuse(_: Transaction) -> None:
    raise Refused


# Which writers share a commit


def test_writers_that_wait_together_share_one_commit(store: Store, counts: Counts, announced: list[Change]) -> None:
    queue = Queue(store)
    for _ in range(8):
        queue.add()
    assert queue.go() == [None] * 9
    assert kept(store) == list(range(9))
    assert sorted(map(str, announced)) == sorted(str(change(number)) for number in range(9))
    assert (counts.commits, counts.savepoints) == (1, 8)


def test_a_single_writer_has_its_own_commit_and_no_savepoint(store: Store, counts: Counts) -> None:
    for number in range(5):
        with store.write() as tx:
            CertificateRows(tx).add(certificate(number))
    assert (counts.commits, counts.savepoints) == (5, 0)


def test_eight_writers_at_once_need_fewer_commits_than_they_write(store: Store, counts: Counts) -> None:
    start = threading.Barrier(8)

    def write(first: int) -> None:
        start.wait(GENEROUS)
        for number in range(first, first + 20):
            with store.write() as tx:
                CertificateRows(tx).add(certificate(number))

    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(write, 100 * each) for each in range(8)]:
            done.result(GENEROUS)
    with store.read() as tx:
        assert len(CertificateRows(tx).page(HOME, Window(limit=250)).items) == 160
    assert counts.commits < 160


def test_the_statistics_count_write_transactions_commits_and_rollbacks(store: Store) -> None:
    before = store.statistics()
    queue = Queue(store)
    for _ in range(8):
        queue.add()
    queue.go()
    with contextlib.suppress(Refused), store.write() as tx:
        refuse(tx)
    now = store.statistics()
    risen = {name: now[name] - before[name] for name in now}
    assert risen == {"write_transactions": 10, "commits": 1, "rollbacks": 1}


def test_a_group_has_a_maximum_number_of_writers(store: Store, counts: Counts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "MAX_GROUP_WRITERS", 3)
    queue = Queue(store)
    for _ in range(7):
        queue.add()
    assert queue.go() == [None] * 8
    assert kept(store) == list(range(8))
    assert counts.commits == 3


def test_an_old_group_is_committed_before_the_next_writer(
    store: Store, counts: Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "MAX_GROUP_SECONDS", 0.0)
    queue = Queue(store)
    for _ in range(3):
        queue.add()
    assert queue.go() == [None] * 4
    assert counts.commits == 4


# What a member of a group sees and does


def test_a_member_sees_the_rows_of_those_before_it_and_rows_are_numbered_in_the_order_of_writers(store: Store) -> None:
    seen: list[list[str]] = []

    def look(tx: Transaction) -> None:
        seen.append([each.certificate_id for each in CertificateRows(tx).page(HOME, Window(limit=99)).items])

    queue = Queue(store)
    for _ in range(3):
        queue.add(look)
    assert queue.go() == [None] * 4
    ids = [certificate_id(number) for number in range(4)]
    assert seen == [ids[:2], ids[:3], ids]


def test_pages_read_at_the_same_time_skip_no_row_that_is_committed_later(store: Store) -> None:
    pages: list[list[str]] = []
    is_over = threading.Event()

    def read() -> None:
        while not is_over.is_set():
            with store.read() as tx:
                pages.append([each.certificate_id for each in CertificateRows(tx).page(HOME, Window(limit=250)).items])

    def write(first: int) -> None:
        for number in range(first, first + 15):
            with store.write() as tx:
                CertificateRows(tx).add(certificate(number))

    with ThreadPoolExecutor(9) as threads:
        reader = threads.submit(read)
        try:
            for done in [threads.submit(write, 100 * each) for each in range(8)]:
                done.result(GENEROUS)
        finally:
            is_over.set()
        reader.result(GENEROUS)
    with store.read() as tx:
        rows = [each.certificate_id for each in CertificateRows(tx).page(HOME, Window(limit=250)).items]
    assert len(rows) == 120
    assert all(page == rows[: len(page)] for page in pages)


def test_a_member_cannot_start_a_write_within_its_own(store: Store) -> None:
    def nest(_: Transaction) -> None:
        with pytest.raises(RuntimeError, match="within another"), store.write():
            raise AssertionError("it must not begin")

    queue = Queue(store)
    queue.add(nest)
    assert queue.go() == [None, None]


def test_a_savepoint_of_a_member_fails_without_the_rest(store: Store, announced: list[Change]) -> None:
    def part(tx: Transaction) -> None:
        with contextlib.suppress(Refused), tx.savepoint():
            CertificateRows(tx).add(certificate(50))
            raise Refused
        CertificateRows(tx).add(certificate(51))

    queue = Queue(store)
    queue.add(part)
    queue.add()
    assert queue.go() == [None] * 3
    assert kept(store) == [0, 1, 2, 51]
    assert sorted(map(str, announced)) == sorted(str(change(number)) for number in (0, 1, 2, 51))


def test_a_finished_transaction_cannot_be_used_while_its_group_is_open(store: Store) -> None:
    kept_back: list[Transaction] = []
    queue = Queue(store)
    queue.first = kept_back.append

    def use_it(_: Transaction) -> None:
        with pytest.raises(RuntimeError, match="after its block"):
            CertificateRows(kept_back[0]).add(certificate(77))

    queue.add(use_it)
    assert queue.go() == [None, None]
    assert kept(store) == [0, 1]


# A block that raises


@pytest.mark.parametrize("failing", [0, 1, 2, 3])
def test_a_block_that_raises_undoes_only_its_own_part(store: Store, announced: list[Change], failing: int) -> None:
    queue = Queue(store)
    if failing == 0:
        queue.first = refuse
    for number in range(1, 4):
        queue.add(refuse if number == failing else lambda _: None)
    found = queue.go()
    others = [number for number in range(4) if number != failing]
    assert [number for number, each in enumerate(found) if isinstance(each, Refused)] == [failing]
    assert [found[number] for number in others] == [None] * 3
    assert kept(store) == others
    assert set(announced) == {change(number) for number in others}
    with store.write() as tx:
        ThingRows(tx).add(thing())


def test_a_violated_constraint_fails_only_its_member(store: Store) -> None:
    def violate(tx: Transaction) -> None:
        tx._connection.execute(text("INSERT INTO certificates (certificate_id) VALUES (NULL)"))

    queue = Queue(store)
    queue.add(violate)
    queue.add()
    found = queue.go()
    assert [each is None for each in found] == [True, False, True]
    assert kept(store) == [0, 2]


# A commit that fails


def test_a_failed_commit_fails_every_member_and_their_changes_wait_for_the_next_commit(
    store: Store, announced: list[Change]
) -> None:
    def fail(_: Connection) -> None:
        raise OSError("the disk is gone")

    queue = Queue(store)
    queue.add(refuse)
    queue.add()
    queue.add()
    event.listen(Engine, "commit", fail)
    try:
        found = queue.go()
    finally:
        event.remove(Engine, "commit", fail)
    assert [type(each) for each in found] == [StoreUnavailable, Refused, StoreUnavailable, OSError]
    assert "shared with other requests failed (the disk is gone)" in str(found[0])
    assert kept(store) == []
    assert announced == []
    store.probe_write()
    assert announced == [change(0), change(2), change(3)]


def test_an_error_that_ends_the_transaction_fails_every_member_before_and_none_after(
    store: Store, announced: list[Change]
) -> None:
    def end_transaction(tx: Transaction) -> None:
        if tx._connection.dialect.name == "postgresql":
            tx._connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        else:
            # As SQLite does after some disk errors.
            tx._connection.exec_driver_sql("ROLLBACK")
            tx._connection.exec_driver_sql("SELECT no_such_function()")

    queue = Queue(store)
    queue.add()
    queue.add(end_transaction)
    queue.add()
    found = queue.go()
    assert all(isinstance(each, StoreError) for each in found[:3])
    assert len({str(each) for each in found[:3]}) == 1
    assert found[3] is None
    assert kept(store) == [3]
    assert set(announced) == {change(0), change(1), change(3)}, "of the first two it may be unknown what became"


# Announcements


def test_each_thread_announces_its_own_changes_after_the_shared_commit(url: str) -> None:
    announcements: list[tuple[Sequence[Change], int, list[int]]] = []

    def announce(changes: Sequence[Change]) -> None:
        announcements.append((changes, threading.get_ident(), kept(store)))

    threads: dict[int, int] = {}
    with Store(url, announce) as store:
        queue = Queue(store)
        queue.first = lambda _: threads.update({0: threading.get_ident()})
        for number in range(1, 4):

            def note(tx: Transaction, number: int = number) -> None:
                CertificateRows(tx).add(certificate(50 + number))
                threads[number] = threading.get_ident()

            queue.add(note)
        assert queue.go() == [None] * 4
    assert len(announcements) == 4
    by_thread = {ident: (list(changes), seen) for changes, ident, seen in announcements}
    committed = [0, 1, 2, 3, 51, 52, 53]
    assert by_thread[threads[0]] == ([change(0)], committed)
    for number in range(1, 4):
        assert by_thread[threads[number]] == ([change(number), change(50 + number)], committed)


# Time


def test_members_before_a_block_that_does_not_end_fail_in_time_and_their_changes_are_announced_once_decided(
    store: Store, announced: list[Change], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadline, "STORE_TIMEOUT_SECONDS", 1.0)
    monkeypatch.setattr(group_commit, "COMMIT_GRACE_SECONDS", 0.1)
    hangs, may_end = threading.Event(), threading.Event()

    def hang(_: Transaction) -> None:
        hangs.set()
        may_end.wait(GENEROUS)

    queue = Queue(store)
    queue.add()
    queue.add(hang)
    queue.may_end.set()
    assert hangs.wait(GENEROUS)
    try:
        found = [outcome.exception(GENEROUS) for outcome in queue.outcomes[:2]]
        assert [type(each) for each in found] == [StoreBusy, StoreBusy]
        assert "did not end within 1 s" in str(found[0])
        assert announced == []
    finally:
        may_end.set()
    last = queue.go()[2]
    if last is None:
        assert kept(store) == [0, 1, 2]
    else:
        # PostgreSQL has ended a transaction that was too old.
        assert isinstance(last, StoreError)
        assert kept(store) == []
        store.probe_write()
    assert set(announced) >= {change(0), change(1)}
    with store.write() as tx:
        ThingRows(tx).add(thing())


def test_a_member_that_raises_announces_the_changes_of_members_that_timed_out(
    store: Store, announced: list[Change], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A revocation whose request got no answer is in force, and the next commit may be much later."""
    monkeypatch.setattr(group_commit, "COMMIT_GRACE_SECONDS", -GENEROUS)
    has_left = threading.Event()

    def wait_and_raise(_: Transaction) -> None:
        assert has_left.wait(GENEROUS)
        raise Refused

    queue = Queue(store)
    queue.add(wait_and_raise)
    queue.may_end.set()
    assert isinstance(queue.outcomes[0].exception(GENEROUS), StoreBusy)
    assert announced == []
    has_left.set()
    assert isinstance(queue.go()[1], Refused)
    assert kept(store) == [0]
    assert announced == [change(0)]


def too_late() -> bool:
    """Let the thread's deadline pass, and return True."""
    deadline._deadline.set(0.0)
    return True


def test_a_writer_that_gets_the_lock_too_late_leaves_the_group_to_the_next_one(
    store: Store, counts: Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = store._commits._lock
    acquire = lock.acquire
    queue = Queue(store)
    monkeypatch.setattr(lock, "acquire", lambda timeout: acquire(max(timeout, GENEROUS)) and too_late())
    queue.add()
    monkeypatch.setattr(lock, "acquire", acquire)
    queue.add()
    found = queue.go()
    assert found[0] is None
    assert isinstance(found[1], StoreBusy)
    assert found[2] is None
    assert kept(store) == [0, 2]
    assert counts.commits == 1


def test_the_last_writer_commits_for_the_others_even_if_it_gets_the_lock_too_late(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = store._commits._lock
    acquire = lock.acquire
    queue = Queue(store)
    monkeypatch.setattr(lock, "acquire", lambda timeout: acquire(max(timeout, GENEROUS)) and too_late())
    queue.add()
    found = queue.go()
    assert found[0] is None
    assert isinstance(found[1], StoreBusy)
    assert kept(store) == [0]


def test_a_block_without_a_deadline_commits_after_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "STORE_TIMEOUT_SECONDS", 2.0)
    with store.write() as tx:
        limit = deadline.moment()
        deadline.lift()
        CertificateRows(tx).add(certificate())
        eventually(lambda: time.monotonic() > limit)
    assert kept(store) == [1]
