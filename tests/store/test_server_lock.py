"""One server per database, whatever ends its connection; commands beside it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from sekisho.certificates.store import CertificateRows
from sekisho.store import deadline
from sekisho.store.errors import OtherServer, StoreError, StoreUnavailable
from sekisho.store.session_lock import SessionLock
from sekisho.store.store import Store
from tests.postgres import PostgreSQL
from tests.store.builders import HOME, certificate, certificate_id
from tests.wait import eventually


@contextmanager
def serving(url: str) -> Iterator[Store]:
    """Yield a store that is used as a server uses it."""
    store = Store(url, lambda _: None)
    store.hold()
    try:
        with store:
            yield store
    finally:
        store.release()


def refused(url: str) -> str:
    with pytest.raises(OtherServer) as failure:
        Store(url, lambda _: None).hold()
    return str(failure.value)


def add(store: Store, number: int = 1) -> None:
    with store.write() as tx:
        CertificateRows(tx).add(certificate(number))


def has(store: Store, number: int = 1) -> bool:
    with store.read() as tx:
        return CertificateRows(tx).get(HOME, certificate_id(number)) is not None


def end_lock_connection(url: str, store: Store) -> None:
    """Have PostgreSQL end the connection that has the lock, and wait until both sides know."""
    with psycopg.connect(url, autocommit=True) as connection:

        def holders() -> list[int]:
            found = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name LIKE 'sekisho server%'"
            )
            return [pid for (pid,) in found.fetchall()]

        (pid,) = holders()
        connection.execute("SELECT pg_terminate_backend(%s)", (pid,))
        eventually(lambda: pid not in holders())
    lock = store._engines.server_lock
    assert isinstance(lock, SessionLock)
    eventually(lock._is_lost)


def test_a_second_server_is_refused_with_the_first_ones_name(url: str) -> None:
    with serving(url):
        line = refused(url)
    assert f"process {os.getpid()} on {socket.gethostname()[:20]}" in line
    assert " since 20" in line
    assert "\n" not in line
    with serving(url):
        pass


def test_a_command_beside_the_server_reads_and_writes(url: str) -> None:
    with serving(url) as server, Store(url, lambda _: None) as command:
        add(command)
        assert has(server)


def test_two_paths_to_one_file_have_one_lock(tmp_path: Path) -> None:
    file = tmp_path / "a" / "sekisho.db"
    with serving(f"sqlite:///{file}"):
        (tmp_path / "b").symlink_to(tmp_path / "a")
        refused(f"sqlite:///{tmp_path}/b/sekisho.db")


def test_the_lock_is_of_one_database_of_postgresql(postgresql: PostgreSQL) -> None:
    with serving(postgresql.new_database()), serving(postgresql.new_database()):
        pass


def test_a_lost_connection_is_replaced_before_the_next_write(postgresql: PostgreSQL) -> None:
    url = postgresql.new_database()
    with serving(url) as server:
        end_lock_connection(url, server)
        add(server)
        assert has(server)
        refused(url)


def test_a_lost_connection_is_replaced_without_a_write(postgresql: PostgreSQL) -> None:
    url = postgresql.new_database()
    with serving(url) as server:
        end_lock_connection(url, server)
        server.keep_hold()
        refused(url)


def test_a_connection_that_only_this_side_has_lost_is_replaced(
    postgresql: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL keeps the lock of a connection until its own keepalives fail: the server is not its own successor."""
    url = postgresql.new_database()
    with serving(url) as server:
        lock = server._engines.server_lock
        assert isinstance(lock, SessionLock)
        with monkeypatch.context() as patch:
            kept = []
            patch.setattr(lock, "_close", lambda: kept.append(lock._connection))
            patch.setattr(lock, "_is_lost", lambda: True)
            with pytest.raises(StoreUnavailable, match="taken again"):
                server.keep_hold()
        lock._connection = None
        eventually(lambda: _writes(server, 1))
        assert len(kept) == 1
        refused(url)


def test_after_another_server_took_the_lock_nothing_is_written(postgresql: PostgreSQL) -> None:
    url = postgresql.new_database()
    with serving(url) as former:
        add(former, 1)
        end_lock_connection(url, former)
        with serving(url) as present:
            with pytest.raises(OtherServer, match="another server uses"):
                add(former, 2)
            with pytest.raises(OtherServer, match="another server uses"):
                former.keep_hold()
            with pytest.raises(OtherServer, match="another server uses"):
                former.probe_write()
            assert not has(present, 2)
            add(present, 3)
            # What reads shows what the other one wrote.
            assert has(former, 3)
        # The other one has ended.
        add(former, 4)


def test_a_write_that_does_not_know_yet_that_the_lock_is_lost_is_not_kept(
    postgresql: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgresql.new_database()
    with serving(url) as former:
        add(former, 1)
        end_lock_connection(url, former)
        # As where the kernel has not been told yet.
        monkeypatch.setattr(former._engines.server_lock, "keep", lambda: None)
        with serving(url) as present:
            with pytest.raises(StoreUnavailable, match="server lock was lost"):
                add(former, 2)
            assert not has(present, 2)


def test_while_postgresql_hangs_a_start_fails_in_time_and_the_lock_stays(
    postgresql: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgresql.new_database()
    with serving(url) as server:
        add(server, 1)
        with postgresql.standing_still(), monkeypatch.context() as patch:
            patch.setattr(deadline, "STORE_TIMEOUT_SECONDS", 1.0)
            with pytest.raises(StoreUnavailable, match="did not answer"):
                Store(url, lambda _: None).hold()
            # It is not lost: nothing was tried.
            server.keep_hold()
            with pytest.raises(StoreError):
                add(server, 2)
        refused(url)
        eventually(lambda: _writes(server, 3))


def _writes(store: Store, number: int) -> bool:
    try:
        add(store, number)
    except StoreError:
        return False
    return True


def test_a_database_that_is_not_there_is_reported(postgresql: PostgreSQL) -> None:
    with pytest.raises(StoreUnavailable, match="does not exist"):
        Store(postgresql.url("none"), lambda _: None).hold()
