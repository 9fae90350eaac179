"""The fixture ``store`` runs each test on SQLite and on PostgreSQL."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine

from sekisho.change import Change
from sekisho.store.engines import parse
from sekisho.store.store import Store
from sekisho.store.tables import load_all
from tests.postgres import PostgreSQL, PostgreSQLMissing, running


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """Run PostgreSQL. Where it is not installed, the test is skipped, and fails in CI."""
    try:
        with running() as server:
            yield server
    except PostgreSQLMissing as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing), pytrace=False)
        pytest.skip(str(missing))


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/data/sekisho.db"
    server: PostgreSQL = request.getfixturevalue("postgresql")
    return server.new_database()


@pytest.fixture
def announced() -> list[Change]:
    """Return what ``store`` has announced so far."""
    return []


@pytest.fixture(scope="session")
def shared_database(postgresql: PostgreSQL) -> str:
    """Return the URL of a database that tests use one after the other."""
    return postgresql.new_database()


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path, announced: list[Change]) -> Iterator[Store]:
    """Return an open, empty store. On PostgreSQL the shared database is emptied, which is faster than creating one."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/data/sekisho.db"
    else:
        url = request.getfixturevalue("shared_database")
    with Store(url, announced.extend) as opened:
        if request.param == "postgresql":
            engine = create_engine(parse(url), poolclass=NullPool)
            with engine.begin() as connection:
                for table in reversed(load_all("postgresql").sorted_tables):
                    connection.execute(table.delete())
        yield opened
