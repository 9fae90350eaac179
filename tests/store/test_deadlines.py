"""A transaction ends or fails within its time, however many wait and whatever hangs."""

from __future__ import annotations

import contextlib
import errno
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, event, text

from sekisho.certificates.store import CertificateRows
from sekisho.change import Change, ChangeKind
from sekisho.store import deadline, outage, postgresql
from sekisho.store.errors import StoreBusy, StoreError, StoreUnavailable
from sekisho.store.store import Store
from tests.postgres import PostgreSQL
from tests.store.builders import HOME, certificate, certificate_id

WRITERS = 40
GENEROUS = 30.0
"""Seconds that a test waits for what takes ``TIMEOUT``; 40 writers one after the other would take longer."""
TIMEOUT = 1.0
CHANGE = Change(HOME, ChangeKind.CERTIFICATE, certificate_id(1))


@pytest.fixture(autouse=True)
def short_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "STORE_TIMEOUT_SECONDS", TIMEOUT)


def outcomes(work: Sequence[Callable[[], None]]) -> list[BaseException | None]:
    """Start all at once and return the outcome of each; fails where one has not ended in time."""
    pool = ThreadPoolExecutor(len(work))
    futures = [pool.submit(each) for each in work]
    _, pending = wait(futures, GENEROUS)
    pool.shutdown(wait=False, cancel_futures=True)
    assert not pending, f"{len(pending)} of {len(futures)} have not ended"
    return [future.exception() for future in futures]


def add(store: Store, number: int) -> None:
    with store.write() as tx:
        CertificateRows(tx).add(certificate(number))


def get(store: Store) -> None:
    with store.read() as tx:
        CertificateRows(tx).get(HOME, certificate_id(1))


def kept(store: Store) -> set[int]:
    with store.read() as tx:
        return {number for number in range(3 * WRITERS) if CertificateRows(tx).get(HOME, certificate_id(number))}


# Within one process


def test_every_writer_behind_a_slow_one_fails_in_time_and_none_is_kept(store: Store) -> None:
    has_begun, may_end = threading.Event(), threading.Event()

    def slow() -> None:
        # On PostgreSQL its own commit is too late.
        with contextlib.suppress(StoreError), store.write():
            has_begun.set()
            may_end.wait(GENEROUS)

    holder = threading.Thread(target=slow)
    holder.start()
    assert has_begun.wait(GENEROUS)
    try:
        found = outcomes([lambda number=number: add(store, number) for number in range(WRITERS)])  # type: ignore[misc]
    finally:
        may_end.set()
        holder.join()
    assert [type(each) for each in found] == [StoreBusy] * WRITERS
    assert "other requests held the write lock" in str(found[0])
    assert kept(store) == set()
    add(store, 1)
    assert kept(store) == {1}


def test_a_read_within_a_write_has_its_own_deadline(store: Store) -> None:
    with store.write() as tx:
        outer = deadline._deadline.get()
        with store.read():
            inner = deadline._deadline.get()
        assert deadline._deadline.get() == outer
        CertificateRows(tx).add(certificate())
    assert outer is not None
    assert inner is not None
    assert inner > outer
    assert deadline.seconds_left() is None


# Another process holds SQLite's lock

_HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def held_elsewhere(file: Path) -> Iterator[None]:
    """Another process holds the file's write lock."""
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield
        holder.kill()


def test_forty_writers_behind_another_process_all_fail_in_time(tmp_path: Path) -> None:
    file = tmp_path / "sekisho.db"
    with Store(f"sqlite:///{file}", lambda _: None) as store:
        with held_elsewhere(file):
            found = outcomes([lambda number=number: add(store, number) for number in range(WRITERS)])  # type: ignore[misc]
            assert [type(each) for each in found] == [StoreBusy] * WRITERS
            get(store)
        add(store, 1)
        assert kept(store) == {1}


def test_while_another_process_holds_the_lock_one_writer_tries_and_the_others_fail_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a queue behind forty waiting threads would wait many times the deadline."""
    monkeypatch.setattr(outage, "OUTAGE_AFTER_SECONDS", 0.1)
    file = tmp_path / "sekisho.db"
    with Store(f"sqlite:///{file}", lambda _: None) as store:
        with held_elsewhere(file):
            outcomes([lambda: add(store, 1)])
            monkeypatch.setattr(deadline, "STORE_TIMEOUT_SECONDS", 10 * GENEROUS)
            found = outcomes([lambda: add(store, 1)] * WRITERS)
            assert all("Requests that write fail until it is free" in str(each) for each in found)
            get(store)
            store._write_outage._next_attempt = 0.0
            trying = threading.Thread(target=add, args=(store, 1))
            trying.start()
        trying.join(GENEROUS)
        assert kept(store) == {1}
        assert outcomes([lambda number=number: add(store, number) for number in range(2, WRITERS)]) == [None] * 38  # type: ignore[misc]


def test_writers_wait_for_one_that_ends_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "STORE_TIMEOUT_SECONDS", GENEROUS)
    file = tmp_path / "sekisho.db"
    with Store(f"sqlite:///{file}", lambda _: None) as store:
        with held_elsewhere(file):
            writer = threading.Thread(target=add, args=(store, 1))
            writer.start()
        writer.join(GENEROUS)
        assert kept(store) == {1}


# A full disk


def test_a_full_disk_is_reported_with_its_file_and_writing_continues_when_there_is_space(tmp_path: Path) -> None:
    file = tmp_path / "sekisho.db"
    with Store(f"sqlite:///{file}", lambda _: None) as store:
        add(store, 0)
        with store._engines.writing.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreUnavailable, match="the disk is full") as failure:
            _fill(store)
        assert str(file) in str(failure.value)
        before = kept(store)
        with store._engines.writing.connect() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
        add(store, 3 * WRITERS - 1)
        assert kept(store) == before | {3 * WRITERS - 1}


def _fill(store: Store) -> None:
    for number in range(1, 3 * WRITERS):
        add(store, number)


# PostgreSQL hangs


@pytest.fixture
def pg_store(postgresql: PostgreSQL) -> Iterator[Store]:
    with Store(postgresql.new_database(), lambda _: None) as opened:
        yield opened


def test_requests_to_a_hanging_server_fail_in_time_and_nothing_acknowledged_is_lost(
    postgresql: PostgreSQL, pg_store: Store
) -> None:
    for number in range(5):
        add(pg_store, number)
    with postgresql.standing_still():
        # More than there are connections.
        work = [lambda number=number: add(pg_store, number) for number in range(10, 10 + WRITERS)]
        found = outcomes([*work, *[lambda: get(pg_store)] * WRITERS])
        assert all(isinstance(each, StoreError) for each in found), found
        assert any("did not answer within" in str(each) for each in found)
    retried(lambda: add(pg_store, 5))
    assert kept(pg_store) >= set(range(6))


def test_a_server_that_stops_within_a_transaction_fails_it_in_time(postgresql: PostgreSQL, pg_store: Store) -> None:
    def write() -> None:
        with pg_store.write() as tx:
            CertificateRows(tx).add(certificate(1))
            postgresql.stand_still()
            CertificateRows(tx).add(certificate(2))

    try:
        [found] = outcomes([write])
        assert isinstance(found, StoreUnavailable)
        assert "did not answer within" in str(found)
    finally:
        postgresql.go_on()
    retried(lambda: add(pg_store, 3))
    assert kept(pg_store) == {3}


def test_changes_of_a_commit_without_an_answer_are_announced_once_it_is_decided(postgresql: PostgreSQL) -> None:
    announced: list[Change] = []
    armed = threading.Event()

    def stop_before_commit(_: Connection) -> None:
        if armed.is_set():
            armed.clear()
            postgresql.stand_still()

    def write() -> None:
        with store.write() as tx:
            CertificateRows(tx).add(certificate(1))
            armed.set()

    with Store(postgresql.new_database(), announced.extend) as store:
        add(store, 0)
        announced.clear()
        event.listen(Engine, "commit", stop_before_commit)
        try:
            [found] = outcomes([write])
            assert isinstance(found, StoreUnavailable)
            assert announced == []
        finally:
            event.remove(Engine, "commit", stop_before_commit)
            postgresql.go_on()
        # Only the server knows whether it was committed; the gateway has to read again in both cases.
        retried(store.probe_write)
        assert announced == [CHANGE]


def retried(do: Callable[[], None]) -> None:
    """Try until the store works again, a bounded number of times."""
    for _ in range(100):
        try:
            return do()
        except StoreError:
            threading.Event().wait(0.1)
    raise AssertionError("the store did not recover")


def test_while_the_server_hangs_one_transaction_tries_and_the_others_fail_at_once(
    postgresql: PostgreSQL, pg_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outage, "OUTAGE_AFTER_SECONDS", 0.1)
    monkeypatch.setattr(outage, "OUTAGE_RETRY_SECONDS", GENEROUS)
    with postgresql.standing_still():
        outcomes([lambda: get(pg_store)])
        found = outcomes([lambda: get(pg_store)] * WRITERS)
        assert all("Requests fail until it does" in str(each) for each in found)
    pg_store._engines._outage._next_attempt = 0.0  # type: ignore[union-attr]
    retried(lambda: get(pg_store))
    assert outcomes([lambda: get(pg_store)] * WRITERS) == [None] * WRITERS


def test_the_server_ends_a_statement_that_takes_too_long(pg_store: Store) -> None:
    def sleep() -> None:
        with pg_store.read() as tx:
            tx._connection.execute(text("SELECT pg_sleep(60)"))

    [found] = outcomes([sleep])
    assert isinstance(found, StoreBusy)
    assert "took too long" in str(found)


def test_many_short_statements_share_one_deadline(pg_store: Store) -> None:
    def many() -> None:
        with pg_store.write() as tx:
            for _ in range(1000):
                tx._connection.execute(text("SELECT pg_sleep(0.05)"))

    [found] = outcomes([many])
    assert isinstance(found, StoreUnavailable)
    assert "was not over within 1 s" in str(found)
    add(pg_store, 1)


def test_a_failed_block_is_rolled_back_after_the_deadline_too(pg_store: Store) -> None:
    def late() -> None:
        with pg_store.write() as tx:
            CertificateRows(tx).add(certificate(1))
            threading.Event().wait(2 * TIMEOUT)
            raise KeyError("the block's own")

    [found] = outcomes([late])
    assert isinstance(found, KeyError)
    add(pg_store, 2)
    assert kept(pg_store) == {2}


def test_a_host_name_without_an_answer_fails_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver that hangs, or an address that drops packets."""
    waiting = threading.Event()

    def hang(*_: object, **__: object) -> None:
        waiting.wait(GENEROUS)
        raise OSError(errno.EIO, "too late")

    monkeypatch.setattr(postgresql.DeadlineConnection, "connect", hang)
    store = Store("postgresql://u:secret@nowhere.test/db", lambda _: None)
    try:
        [found] = outcomes([lambda: store.open()])
        assert isinstance(found, StoreUnavailable)
        assert "secret" not in str(found)
        assert "did not answer within" in str(found)
    finally:
        waiting.set()


def test_every_connection_of_postgresql_has_limits(pg_store: Store) -> None:
    with pg_store.read() as tx:
        settings = {
            name: tx._connection.execute(text(f"SHOW {name}")).scalar()
            for name in ("statement_timeout", "idle_in_transaction_session_timeout")
        }
        driver = tx._connection.connection.driver_connection
        assert driver is not None
        parameters = driver.info.get_parameters()
    assert settings == {"statement_timeout": "1s", "idle_in_transaction_session_timeout": "10s"}
    assert parameters["tcp_user_timeout"] == "5000"
    assert parameters["keepalives_idle"] == "10"


def test_a_removed_or_replaced_database_file_is_detected(tmp_path: Path) -> None:
    """Commits to an open file without a name succeed, and are lost when the server ends."""
    file = tmp_path / "sekisho.db"
    with Store(f"sqlite:///{file}", lambda _: None) as store:
        add(store, 1)
        kept_file = tmp_path / "kept.db"
        file.rename(kept_file)
        with pytest.raises(StoreUnavailable, match=r"sekisho\.db was removed while it was in use"):
            store.probe_read()
        file.write_bytes(b"")
        with pytest.raises(StoreUnavailable, match="was replaced while it was in use"):
            store.probe_read()
        kept_file.replace(file)
        store.probe_read()


def test_the_probes_read_and_write_and_change_nothing(store: Store) -> None:
    before = kept(store)
    store.probe_read()
    store.probe_write()
    assert kept(store) == before
