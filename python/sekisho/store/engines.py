"""Connections: how each database is opened, so that what is acknowledged is on disk."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from sekisho.store import deadline
from sekisho.store.errors import StoreError, StoreUnavailable

if TYPE_CHECKING:
    from sekisho.store.postgresql import PostgreSQLEngines

OLDEST_SQLITE: Final = (3, 35, 0)
"""The first with RETURNING."""

_PRAGMAS: Final = (
    # Readers see the last commit while one writes.
    "PRAGMA journal_mode = WAL",
    # A commit returns when it is on disk. fullfsync: on macOS fsync alone does not get it there.
    "PRAGMA synchronous = FULL",
    "PRAGMA fullfsync = ON",
    "PRAGMA foreign_keys = ON",
    # KiB of page cache of a connection, and bytes that the write-ahead log is cut back to.
    "PRAGMA cache_size = -8000",
    "PRAGMA journal_size_limit = 67108864",
    "PRAGMA temp_store = MEMORY",
)


def parse(url: str) -> URL:
    """A database URL, with psycopg as PostgreSQL's driver. Raises StoreError where it names no usable database."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise StoreError(
            "The database URL is not one. It looks like postgresql://user:password@host:5432/database"
            " or sqlite:////folder/file.db."
        ) from None
    if parsed.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise StoreError(f"There is no store for {parsed.drivername!r}. Use a postgresql:// or sqlite:/// URL.")
    if parsed.database in (None, "", ":memory:") or str(parsed.database).startswith("file:"):
        raise StoreError("The SQLite URL names no file. It looks like sqlite:////folder/file.db.")
    return parsed


def sqlite_url(file: Path) -> str:
    """The URL of an SQLite database in ``file``, whatever characters its path has."""
    return URL.create("sqlite", database=str(file)).render_as_string()


class SQLiteEngines:
    """One connection that writes, as many that read as are needed, on one file."""

    def __init__(self, url: URL) -> None:
        self.file = Path(str(url.database)).absolute()
        self.place = str(self.file)
        self._identity = (0, 0)
        self.writing = self._engine(url, "BEGIN IMMEDIATE", pool_size=1, max_overflow=0)
        self.reading = self._engine(url, "BEGIN", pool_size=16, max_overflow=-1)

    @staticmethod
    def _engine(url: URL, begin: str, **pool: Any) -> Engine:
        connect_args = {"timeout": deadline.STORE_TIMEOUT_SECONDS, "cached_statements": 256}
        engine = create_engine(url, hide_parameters=True, connect_args=connect_args, **pool)

        @event.listens_for(engine, "connect")
        def on_connect(connection: sqlite3.Connection, _record: object) -> None:
            # Python's driver begins no transaction before a SELECT or DDL; with None it leaves that to us.
            connection.isolation_level = None
            for pragma in _PRAGMAS:
                connection.execute(pragma)
            if begin == "BEGIN":
                connection.execute("PRAGMA query_only = ON")

        @event.listens_for(engine, "begin")
        def on_begin(connection: Connection) -> None:
            # How long a lock of another program is waited for: a backup's, say.
            run(connection, f"PRAGMA busy_timeout = {deadline.milliseconds_left()}")
            run(connection, begin)

        return engine

    @contextmanager
    def connect(self, engine: Engine) -> Iterator[Connection]:
        """A connection of ``writing`` or ``reading``."""
        with engine.connect() as connection:
            yield connection

    def prepare(self) -> None:
        """Make folder (mode 0700) and file (mode 0600), or tighten the file's mode. SQLite gives it to its side files.

        Raises StoreUnavailable where that is not allowed, StoreError where SQLite is too old.
        """
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            oldest = ".".join(map(str, OLDEST_SQLITE))
            raise StoreError(f"SQLite {oldest} or newer is needed; this Python has {sqlite3.sqlite_version}.")
        try:
            self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            found = self.file.stat()
            if found.st_mode & 0o077:
                self.file.chmod(0o600)
            self._identity = (found.st_dev, found.st_ino)
        except FileExistsError:
            raise StoreUnavailable(
                f"{self.file.parent} is not a folder, so {self.file.name} cannot be in it."
            ) from None
        except OSError as error:
            raise StoreUnavailable(
                f"{self.place} cannot be opened for writing: {error.strerror}."
                " Check the owner and mode of file and folder."
            ) from None

    def check_place(self) -> None:
        """Raises StoreUnavailable where the path leads no longer to the file that is open, and that commits go to."""
        try:
            found = self.file.stat()
        except OSError as error:
            raise StoreUnavailable(
                f"{self.place} was removed while it was in use ({error.strerror}): what is written now is lost when "
                "the server ends. Restore a backup, and restart the server."
            ) from None
        if (found.st_dev, found.st_ino) != self._identity:
            raise StoreUnavailable(
                f"{self.place} was replaced while it was in use: the server goes on with the former file. Restart it."
            )

    def check(self, connection: Connection) -> None:
        """Nothing to check: a file of SQLite's is UTF-8, or becomes it."""

    def lock_for_writing(self, connection: Connection) -> None:
        """Nothing to do: BEGIN IMMEDIATE has the lock."""

    def allow_long_statements(self, connection: Connection) -> None:
        """Nothing to do: a statement has no limit of its own."""


def run(connection: Connection, statement: str) -> None:
    """Run a statement of every transaction without SQLAlchemy, which takes ten times as long for one.

    Raises SQLAlchemy's DBAPIError all the same.
    """
    driver_error: type[Exception] = connection.dialect.loaded_dbapi.Error
    try:
        driver_of(connection).execute(statement)
    except driver_error as error:
        raise failure(connection, statement, error) from error


def driver_of(connection: Connection) -> Any:
    """The driver's connection."""
    return connection.connection.driver_connection


def failure(connection: Connection, statement: str, error: Exception) -> DBAPIError:
    """Return SQLAlchemy's form of a driver's error. A connection that is lost is invalidated, as SQLAlchemy does it."""
    dialect = connection.dialect
    is_lost = not connection.invalidated and dialect.is_disconnect(error, connection.connection, None)  # type: ignore[arg-type]
    clear = DBAPIError.instance(
        statement,
        None,
        error,
        dialect.loaded_dbapi.Error,
        hide_parameters=True,
        connection_invalidated=is_lost,
        dialect=dialect,
    )
    if is_lost:
        connection.invalidate(error)
    return clear  # type: ignore[return-value] # It is one of a driver's error.


Engines: TypeAlias = "SQLiteEngines | PostgreSQLEngines"


def engines(url: str) -> Engines:
    """How to reach the database of ``url``. Opens nothing yet. Raises StoreError where the URL is unusable."""
    parsed = parse(url)
    if parsed.get_backend_name() == "sqlite":
        return SQLiteEngines(parsed)
    # Importing psycopg takes an eighth of a start, which a server on SQLite saves.
    from sekisho.store.postgresql import PostgreSQLEngines

    return PostgreSQLEngines(parsed)
