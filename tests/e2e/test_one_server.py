"""One server per database: the second is refused, and one whose lock was taken ends."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.e2e.command_line import answer, failure, sekisho
from tests.e2e.running_server import RunningServer
from tests.postgres import PostgreSQL, PostgreSQLMissing, running
from tests.wait import eventually


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgreSQL]:
    try:
        with running() as server:
            yield server
    except PostgreSQLMissing as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing), pytrace=False)
        pytest.skip(str(missing))


def data_of(folder: Path, url: str) -> Path:
    folder.mkdir(mode=0o700)
    (folder / "sekisho.toml").write_text(f'database_url = "{url}"\n')
    (folder / "sekisho.toml").chmod(0o600)
    return folder


def refusal(data: Path) -> str:
    return failure("up", "--data", data, "--api-port", "0", "--mqtt-port", "0")


def test_a_second_server_on_a_postgresql_is_refused_and_commands_are_not(
    postgresql: PostgreSQL, tmp_path: Path
) -> None:
    url = postgresql.new_database()
    first = RunningServer(data_of(tmp_path / "a", url)).start()
    try:
        second = data_of(tmp_path / "b", url)
        assert f"process {first.run['pid']} on " in refusal(second)
        assert answer("account", "create", "210987654321", "--data", first.data)
        # A server that hangs keeps its database.
        first.send_signal(signal.SIGSTOP)
        assert f"process {first.run['pid']} on " in refusal(second)
        first.send_signal(signal.SIGCONT)
        first.kill()
        # One that was killed does not.
        successor = RunningServer(second).start()
        assert successor.stop() == 0
    finally:
        first.kill()


def test_a_second_data_folder_on_an_sqlite_file_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/registry.db"
    first = RunningServer(data_of(tmp_path / "a", url)).start()
    try:
        assert f"process {first.run['pid']} on " in refusal(data_of(tmp_path / "b", url))
        with sqlite3.connect(tmp_path / "registry.db") as backup:
            assert backup.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)
    finally:
        first.kill()


def test_a_server_whose_lock_another_one_took_ends_and_says_why(postgresql: PostgreSQL, tmp_path: Path) -> None:
    url = postgresql.new_database()
    first = RunningServer(data_of(tmp_path / "a", url)).start()
    second = RunningServer(data_of(tmp_path / "b", url))
    try:
        # As for a machine that was without network until PostgreSQL gave its connection up.
        first.send_signal(signal.SIGSTOP)
        with psycopg.connect(url, autocommit=True) as connection:
            ended = (
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE %s AND datname = %s"
            )
            connection.execute(ended, (f"sekisho server, process {first.run['pid']} %", connection.info.dbname))
        second.start()
        first.send_signal(signal.SIGCONT)
        line = first.wait_for_log("database_taken")
        assert f"process {second.run['pid']} on " in line["reason"]
        eventually(lambda: not (first.data / "run.json").exists())
        assert first.stop() == 1
        assert "the server has stopped: another server uses" in first.log()
        assert sekisho("status", "--data", second.data, "--wait", "30").returncode == 0
    finally:
        first.kill()
        second.kill()
