"""Opens connections to SQLite databases, so that each commit is on disk when it returns."""

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
from sekisho.store.server_lock import FileLock

if TYPE_CHECKING:
    from sekisho.store.postgresql import PostgreSQLEngines

OLDEST_SQLITE: Final = (3, 35, 0)
"""The first version with RETURNING."""

_PRAGMAS: Final = (
    # Readers see the last commit during a write transaction.
    "PRAGMA journal_mode = WAL",
    # A commit is on disk when it returns. fullfsync: on macOS fsync alone does not write to the disk.
    "PRAGMA synchronous = FULL",
    "PRAGMA fullfsync = ON",
    "PRAGMA foreign_keys = ON",
    # The page cache of a connection in KiB, and the bytes to which the write-ahead log is truncated.
    "PRAGMA cache_size = -8000",
    "PRAGMA journal_size_limit = 67108864",
    "PRAGMA temp_store = MEMORY",
)


def parse(url: str) -> URL:
    """Parse a database URL, and choose psycopg as PostgreSQL's driver. Raises StoreError where it cannot be used."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise StoreError(
            "The database URL is not valid. Write it as postgresql://user:password@host:5432/database"
            " or sqlite:////folder/file.db."
        ) from None
    if parsed.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise StoreError(
            f"Databases of {parsed.drivername!r} are not supported. Use a postgresql:// or sqlite:/// URL."
        )
    if parsed.database in (None, "", ":memory:") or str(parsed.database).startswith("file:"):
        raise StoreError("The SQLite URL does not name a file. Write it as sqlite:////folder/file.db.")
    return parsed


def sqlite_url(file: Path) -> str:
    """Return the URL of an SQLite database in ``file``, whatever characters its path has."""
    return URL.create("sqlite", database=str(file)).render_as_string()


class SQLiteEngines:
    """Connections to an SQLite file: one that writes, and as many that read as are needed."""

    def __init__(self, url: URL) -> None:
        self.file = Path(str(url.database)).absolute()
        self.place = str(self.file)
        self.server_lock = FileLock(self.file, self.place)
        self._identity = (0, 0)
        self.writing = self._engine(url, "BEGIN IMMEDIATE", pool_size=1, max_overflow=0)
        self.reading = self._engine(url, "BEGIN", pool_size=16, max_overflow=-1)

    @staticmethod
    def _engine(url: URL, begin: str, **pool: Any) -> Engine:
        connect_args = {"timeout": deadline.STORE_TIMEOUT_SECONDS, "cached_statements": 256}
        engine = create_engine(url, hide_parameters=True, connect_args=connect_args, **pool)

        @event.listens_for(engine, "connect")
        def on_connect(connection: sqlite3.Connection, _record: object) -> None:
            # Python's driver begins no transaction before a SELECT or DDL; with None the store begins them.
            connection.isolation_level = None
            for pragma in _PRAGMAS:
                connection.execute(pragma)
            if begin == "BEGIN":
                connection.execute("PRAGMA query_only = ON")

        @event.listens_for(engine, "begin")
        def on_begin(connection: Connection) -> None:
            # The wait for a lock of another program, such as a backup.
            run(connection, f"PRAGMA busy_timeout = {deadline.milliseconds_left()}")
            run(connection, begin)

        return engine

    @contextmanager
    def connect(self, engine: Engine) -> Iterator[Connection]:
        """Give the block a connection of ``writing`` or ``reading``."""
        with engine.connect() as connection:
            yield connection

    def prepare(self) -> None:
        """Create the folder (mode 0700) and the file (mode 0600), or restrict the mode of an existing file.

        SQLite uses the file's mode for its further files. Raises StoreUnavailable where this is not permitted,
        StoreError where SQLite is too old.
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
        """Raise StoreUnavailable where the path no longer names the file that is open."""
        try:
            found = self.file.stat()
        except OSError as error:
            raise StoreUnavailable(
                f"{self.place} was removed while it was in use ({error.strerror}): changes are lost when the server "
                "ends. Restore a backup, and restart the server."
            ) from None
        if (found.st_dev, found.st_ino) != self._identity:
            raise StoreUnavailable(
                f"{self.place} was replaced while it was in use, and the server still uses the former file. Restart it."
            )

    def check(self, connection: Connection) -> None:
        """Do nothing: the text of an SQLite file is UTF-8."""

    def lock_for_writing(self, connection: Connection) -> None:
        """Do nothing: BEGIN IMMEDIATE has taken the lock."""

    def allow_long_statements(self, connection: Connection) -> None:
        """Do nothing: statements have no time limit."""


def run(connection: Connection, statement: str) -> None:
    """Run a statement without SQLAlchemy, which takes ten times as long.

    Raises SQLAlchemy's DBAPIError.
    """
    driver_error: type[Exception] = connection.dialect.loaded_dbapi.Error
    try:
        driver_of(connection).execute(statement)
    except driver_error as error:
        raise failure(connection, statement, error) from error


def driver_of(connection: Connection) -> Any:
    """Return the driver's connection."""
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
    """Make the engines of ``url``, without a connection. Raises StoreError where URL or driver cannot be used."""
    parsed = parse(url)
    if parsed.get_backend_name() == "sqlite":
        return SQLiteEngines(parsed)
    # Importing psycopg takes an eighth of a start, which a server on SQLite saves.
    try:
        from sekisho.store.postgresql import PostgreSQLEngines
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("psycopg", ""):
            raise
        # psycopg without its binary package raises ImportError where libpq is missing.
        reason = "" if error.name else f" ({' '.join(str(error).split())})"
        raise StoreError(
            f"PostgreSQL needs psycopg, which is not installed{reason}. Install it: pip install 'sekisho[postgres]'"
        ) from None

    return PostgreSQLEngines(parsed)
