"""Errors in the place of a store, and the messages that the user sees at the start."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

import psycopg
import pytest

from sekisho.certificates.store import CertificateRows
from sekisho.store import deadline
from sekisho.store.errors import DamagedDatabase, ForeignDatabase, StoreBusy, StoreError, StoreUnavailable
from sekisho.store.postgresql import WRITE_LOCK
from sekisho.store.store import Store
from tests.postgres import PostgreSQL
from tests.store.builders import HOME, certificate, certificate_id


def at(file: Path) -> Store:
    return Store(f"sqlite:///{file}", lambda _: None)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def refused(url: str) -> str:
    """Return the one line that the user reads when the store does not open."""
    with pytest.raises(StoreError) as failure:
        Store(url, lambda _: None).open()
    message = str(failure.value)
    assert "\n" not in message
    assert "Traceback" not in message
    return message


def test_folder_and_files_belong_to_their_user_alone(tmp_path: Path) -> None:
    """They contain access keys."""
    before = os.umask(0)
    try:
        with at(tmp_path / "new" / "data" / "sekisho.db") as store:
            with store.write() as tx:
                CertificateRows(tx).add(certificate())
            files = sorted((tmp_path / "new" / "data").iterdir())
            assert [file.name for file in files] == ["sekisho.db", "sekisho.db-shm", "sekisho.db-wal"]
            assert [mode(file) for file in files] == [0o600, 0o600, 0o600]
            assert mode(tmp_path / "new" / "data") == 0o700
    finally:
        os.umask(before)


def test_a_file_that_others_may_read_is_tightened(tmp_path: Path) -> None:
    file = tmp_path / "sekisho.db"
    with at(file):
        pass
    file.chmod(0o644)
    with at(file):
        assert mode(file) == 0o600


def test_closing_leaves_one_file_with_everything(tmp_path: Path) -> None:
    with at(tmp_path / "sekisho.db") as store:
        with store.write() as tx:
            CertificateRows(tx).add(certificate())
        with store.read() as tx:
            assert CertificateRows(tx).get(HOME, certificate_id(1)) is not None
    assert [file.name for file in tmp_path.iterdir()] == ["sekisho.db"]


def test_every_connection_of_sqlite_is_set_up_for_durability(tmp_path: Path) -> None:
    with at(tmp_path / "sekisho.db") as store:
        for engine in (store._engines.writing, store._engines.reading):
            with engine.connect() as connection:
                settings = {
                    name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                    for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
                }
            assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 5000}


def test_a_file_that_is_not_a_database_is_named(tmp_path: Path) -> None:
    file = tmp_path / "sekisho.db"
    file.write_bytes(os.urandom(8192))
    content = file.read_bytes()
    message = refused(f"sqlite:///{file}")
    assert str(file) in message
    assert "not an SQLite database" in message
    assert file.read_bytes() == content


def test_a_truncated_file_is_called_damaged(tmp_path: Path) -> None:
    file = tmp_path / "sekisho.db"
    with at(file):
        pass
    with file.open("r+b") as opened:
        opened.truncate(4096)
    with pytest.raises(DamagedDatabase, match=r"sekisho\.db is damaged.*backup"):
        at(file).open()


def test_damage_found_later_is_reported_too(tmp_path: Path) -> None:
    file = tmp_path / "sekisho.db"
    with at(file) as store, store.write() as tx:
        for number in range(200):
            CertificateRows(tx).add(certificate(number))
    with file.open("r+b") as opened:
        opened.seek(0, os.SEEK_END)
        size = opened.tell()
        opened.seek(size // 2)
        opened.write(os.urandom(size - size // 2))
    with pytest.raises(DamagedDatabase, match="backup"):
        _read_all(file)


def _read_all(file: Path) -> None:
    with at(file) as store, store.read() as tx:
        for number in range(200):
            CertificateRows(tx).get(HOME, certificate_id(number))


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "theirs.db"
    with sqlite3.connect(file) as theirs:
        theirs.execute("CREATE TABLE photographs (id INTEGER)")
    theirs.close()
    message = refused(f"sqlite:///{file}")
    assert "'photographs'" in message
    with sqlite3.connect(file) as theirs:
        assert theirs.execute("SELECT name FROM sqlite_master").fetchall() == [("photographs",)]
    theirs.close()


def test_a_database_that_another_program_holds_is_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "STORE_TIMEOUT_SECONDS", 0.05)
    with at(tmp_path / "sekisho.db") as store:
        holder = sqlite3.connect(tmp_path / "sekisho.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusy, match="locked by another program"), store.write():
            raise AssertionError("it must not begin")
        with store.read() as tx:
            assert CertificateRows(tx).get(HOME, certificate_id(1)) is None
        holder.execute("ROLLBACK")
        holder.close()
        with store.write() as tx:
            CertificateRows(tx).add(certificate())


def test_a_folder_that_cannot_be_created_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert "is not a folder" in refused(f"sqlite:///{tmp_path}/file/sekisho.db")
    (tmp_path / "folder.db").mkdir()
    assert "Is a directory" in refused(f"sqlite:///{tmp_path}/folder.db")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "Write it as"),
        ("secret", "Write it as"),
        ("mysql://u:secret@h/d", "'mysql'"),
        ("sqlite://", "does not name a file"),
        ("sqlite:///:memory:", "does not name a file"),
        ("sqlite:///file:secret?mode=memory&uri=true", "does not name a file"),
        ("postgresql://u:secret@127.0.0.1:notaport/d", "Write it as"),
        ("postgresql://u:secret@127.0.0.1:1/d", "127.0.0.1:1/d cannot be used"),
    ],
)
def test_an_unusable_url_is_explained_without_its_password(url: str, said: str) -> None:
    message = refused(url)
    assert said in message
    assert "secret" not in message


def test_a_missing_database_is_named(postgresql: PostgreSQL) -> None:
    assert '"nothere" does not exist' in refused(postgresql.url("nothere"))


def test_a_database_that_cannot_keep_every_character_is_refused(postgresql: PostgreSQL) -> None:
    postgresql.execute("CREATE DATABASE narrow TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    with pytest.raises(ForeignDatabase, match=r"LATIN1.*UTF8"):
        Store(postgresql.url("narrow"), lambda _: None).open()


def test_a_database_with_other_tables_is_left_alone(postgresql: PostgreSQL) -> None:
    url = postgresql.new_database()
    with psycopg.connect(url) as theirs:
        theirs.execute("CREATE TABLE photographs (id INTEGER)")
    assert "'photographs'" in refused(url)


def test_after_a_restart_of_the_database_no_request_fails(postgresql: PostgreSQL) -> None:
    with Store(postgresql.new_database(), lambda _: None) as store:
        with store.read(), store.write() as tx:
            CertificateRows(tx).add(certificate())
        postgresql.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sekisho'")
        with store.read() as tx:
            assert CertificateRows(tx).get(HOME, certificate_id(1)) is not None
        with store.write() as tx:
            CertificateRows(tx).remove(HOME, certificate_id(1))


def test_a_connection_lost_within_a_transaction_keeps_nothing_of_it(postgresql: PostgreSQL) -> None:
    with Store(postgresql.new_database(), lambda _: None) as store:
        with pytest.raises(StoreUnavailable):
            _write_and_lose_the_connection(store, postgresql)
        with store.write() as tx:
            assert CertificateRows(tx).get(HOME, certificate_id(1)) is None
            CertificateRows(tx).add(certificate())


def _write_and_lose_the_connection(store: Store, server: PostgreSQL) -> None:
    with store.write() as tx:
        CertificateRows(tx).add(certificate())
        server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sekisho'")
        CertificateRows(tx).add(certificate(2))


def test_a_writer_waits_for_another_server_only_until_its_deadline(
    postgresql: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgresql.new_database()
    with Store(url, lambda _: None) as store:
        with psycopg.connect(url) as other:
            other.execute("SELECT pg_advisory_xact_lock(%s)", [WRITE_LOCK])
            monkeypatch.setattr(deadline, "STORE_TIMEOUT_SECONDS", 0.05)
            with pytest.raises(StoreBusy, match="another server"), store.write():
                raise AssertionError("it must not begin")
            with store.read() as tx:
                assert CertificateRows(tx).get(HOME, certificate_id(1)) is None
        monkeypatch.undo()
        with store.write() as tx:
            CertificateRows(tx).add(certificate())
