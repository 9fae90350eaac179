"""A pool of connections to a PostgreSQL server, which may stop, hang or be replaced at any time.

The limits of the server (``statement_timeout``, ``lock_timeout``) apply while it works. A server process that hangs
applies none, and since its kernel still acknowledges packets, ``tcp_user_timeout`` does not apply either. So each wait
for the server also ends at the transaction's deadline in this process, which then closes the connection.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus
from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.exc import InvalidatePoolError

from sekisho.store import deadline
from sekisho.store.errors import ForeignDatabase, StoreBusy, StoreUnavailable
from sekisho.store.outage import Outage
from sekisho.store.session_lock import SERVER_LOCK, SessionLock

WRITE_LOCK: Final = int.from_bytes(b"sekisho1")
"""The key of the advisory lock that writers hold. Locks are per database; the key differs from those of other programs.
"""

POOLED_CONNECTIONS: Final = 5
"""Connections that are kept open."""

MAX_CONNECTIONS: Final = 32
"""The maximum of connections of a server process."""

CONNECT_TIMEOUT_SECONDS: Final = 5
"""libpq's time limit for connecting to one address. The transaction's deadline applies as well."""

IDLE_TRANSACTION_SECONDS: Final = 10
"""Seconds after which PostgreSQL ends an idle transaction, of a Sekisho that hangs, and so releases its write lock."""

TCP_TIMEOUT_MILLISECONDS: Final = 5000
"""Milliseconds after which the kernel gives up a connection whose peer acknowledges nothing."""

SERVER_GRACE_SECONDS: Final = 0.5
"""Seconds between the server's limits and the time at which this process closes the connection."""

CLEANUP_TIMEOUT_SECONDS: Final = 0.5
"""Seconds after the deadline for a rollback and the reset of the connection. Then the connection is closed, which also
rolls back."""

_CONNECT_ARGUMENTS: Final = {
    "connect_timeout": CONNECT_TIMEOUT_SECONDS,
    "client_encoding": "utf8",
    "application_name": "sekisho",
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": TCP_TIMEOUT_MILLISECONDS,
}

_SESSION: Final = (
    "SELECT set_config('statement_timeout', %s, false), set_config('idle_in_transaction_session_timeout', %s, false)"
)
_LOCK: Final = text(
    "SELECT set_config('lock_timeout', :left, true), set_config('statement_timeout', :left, true),"
    " pg_advisory_xact_lock(:key)"
)
_LOCK_AS_SERVER: Final = text(
    # The last column is evaluated once the lock is held, and says whether this server still has the server lock.
    "SELECT set_config('lock_timeout', :left, true), set_config('statement_timeout', :left, true),"
    " pg_advisory_xact_lock(:key), EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted"
    " AND pid = :holder AND classid = :high AND objid = :low AND objsubid = 1)"
)
_UNLIMITED: Final = text(
    "SELECT set_config('statement_timeout', '0', true), set_config('idle_in_transaction_session_timeout', '0', true)"
)

_R = TypeVar("_R")


class PostgreSQLEngines:
    """Connections to one database.

    Commits are durable while the server's ``fsync`` and ``synchronous_commit`` are on, which is their default.
    """

    def __init__(self, url: URL) -> None:
        self.place = url.set(drivername="postgresql").render_as_string(hide_password=True)
        self._free = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._outage = Outage(
            lambda seconds: StoreUnavailable(
                f"{self.place} has not answered for {seconds:.0f} s. Requests fail until it does."
            )
        )
        engine = create_engine(
            url,
            hide_parameters=True,
            pool_size=POOLED_CONNECTIONS,
            max_overflow=MAX_CONNECTIONS - POOLED_CONNECTIONS,
            connect_args=_CONNECT_ARGUMENTS,
        )
        arguments, parameters = engine.dialect.create_connect_args(url)
        self.server_lock = SessionLock(
            lambda name: self._connect(
                None, None, arguments, {**parameters, **_CONNECT_ARGUMENTS, "application_name": name}
            ),
            self.place,
        )
        event.listen(engine, "do_connect", self._connect)
        event.listen(engine, "connect", lambda _connection, record: record.info.update(is_fresh=True))
        event.listen(engine, "checkout", lambda connection, record, _proxy: self._ping(engine, connection, record))
        # A transaction that waited for the write lock must read what the former holder committed, so each statement has
        # a snapshot of its own.
        self.writing = engine.execution_options(isolation_level="READ COMMITTED")
        # A transaction that reads has one snapshot, as on SQLite.
        self.reading = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    @contextmanager
    def connect(self, engine: Engine) -> Iterator[Connection]:
        """Give the block a connection that works, of ``writing`` or ``reading``. Raises StoreBusy, StoreUnavailable."""
        if not self._free.acquire(timeout=deadline.seconds_left()):
            raise StoreBusy(f"{self.place}: all connections are in use. Try again.")
        try:
            with self._outage.attempt():
                if engine is self.writing:
                    self.server_lock.keep()
                connection = engine.connect()
            with connection:
                yield connection
        finally:
            self._free.release()

    def prepare(self) -> None:
        """Do nothing: the database exists, or connecting fails."""

    def check_place(self) -> None:
        """Do nothing: a connection to a missing database fails."""

    def check(self, connection: Connection) -> None:
        """Raise ForeignDatabase where the database cannot store every text."""
        encoding = connection.exec_driver_sql("SHOW server_encoding").scalar()
        if encoding != "UTF8":
            raise ForeignDatabase(f"{self.place} has the encoding {encoding}. Use a database with UTF8.")

    def lock_for_writing(self, connection: Connection) -> None:
        """Wait for the lock of all servers on this database. The end of the transaction releases it.

        The statement also sets the time limits of the wait and of the statements after it. Where this server took the
        server lock, it also checks that it still has it: another one reads the registry only after it has had the write
        lock, so it sees all that this one has committed. Raises StoreUnavailable where the server lock is lost.
        """
        values = {"key": WRITE_LOCK, "left": f"{deadline.milliseconds_left()}ms"}
        holder = self.server_lock.holder
        if holder is None:
            connection.execute(_LOCK, values)
            return
        key = {"high": SERVER_LOCK >> 32, "low": SERVER_LOCK & 0xFFFFFFFF}
        if not connection.execute(_LOCK_AS_SERVER, values | key | {"holder": holder}).one()[-1]:
            raise StoreUnavailable(f"{self.place}: the server lock was lost, and is taken again. Try again.")

    def allow_long_statements(self, connection: Connection) -> None:
        """Remove the server's time limits for the rest of the transaction."""
        connection.execute(_UNLIMITED)

    def _connect(self, _dialect: object, _record: object, arguments: Any, parameters: Any) -> DeadlineConnection:
        """Connect in a separate thread, since the look-up of a host name cannot be given a time limit."""
        made: Future[DeadlineConnection] = Future()

        def connect() -> None:
            try:
                connection = DeadlineConnection.connect(*arguments, **parameters)
                connection.autocommit = True
                limit = round(deadline.STORE_TIMEOUT_SECONDS * 1000)
                connection.execute(_SESSION, (f"{limit}ms", f"{IDLE_TRANSACTION_SECONDS}s"))
                connection.autocommit = False
            except psycopg.errors.ConnectionTimeout:
                made.set_exception(psycopg.OperationalError(_not_answered()))
            except BaseException as error:  # noqa: BLE001 - it is raised in the thread that waits
                made.set_exception(error)
            else:
                made.set_result(connection)

        # The deadline is a context variable, and a new thread has no context.
        context = contextvars.copy_context()
        threading.Thread(target=lambda: context.run(connect), name="store-connect", daemon=True).start()
        left = deadline.seconds_left()
        try:
            return made.result(CONNECT_TIMEOUT_SECONDS if left is None else left)
        except FutureTimeout:
            made.add_done_callback(_close_unused)
            raise psycopg.OperationalError(_not_answered()) from None

    def _ping(self, engine: Engine, connection: Any, record: Any) -> None:
        """Check a pooled connection, which is replaced if it fails: so a restart of the server fails no request."""
        if record.info.pop("is_fresh", False):
            return
        try:
            engine.dialect.do_ping(connection)
        except psycopg.Error as error:
            if deadline.seconds_left() == 0.0:
                raise StoreUnavailable(f"{self.place} cannot be used: {_not_answered()}") from error
            raise InvalidatePoolError from error


class DeadlineConnection(psycopg.Connection[Any]):
    """A connection that is closed when a wait for the server exceeds the transaction's deadline."""

    _is_rolling_back = False

    def wait(self, gen: PQGen[_R], interval: float = 0.1, timeout: float | None = None) -> _R:
        """Wait for the server, as psycopg does. Raises OperationalError at the deadline."""
        left = deadline.seconds_left()
        if left is None:
            return super().wait(gen, interval, timeout)
        if left > 0.0:
            left += SERVER_GRACE_SECONDS
        elif self._is_rolling_back or self.pgconn.transaction_status == TransactionStatus.IDLE:
            left = CLEANUP_TIMEOUT_SECONDS
        else:
            self.close()
            raise psycopg.OperationalError(
                f"a transaction was not over within {deadline.STORE_TIMEOUT_SECONDS:g} s and was ended"
            )
        try:
            return super().wait(gen, interval, left if timeout is None else min(left, timeout))
        except psycopg.errors._WaitTimeout:
            self.close()
            raise psycopg.OperationalError(_not_answered()) from None

    def rollback(self) -> None:
        """Roll back, also within ``CLEANUP_TIMEOUT_SECONDS`` after the deadline."""
        self._is_rolling_back = True
        try:
            super().rollback()
        finally:
            self._is_rolling_back = False


def _not_answered() -> str:
    return f"the server did not answer within {deadline.STORE_TIMEOUT_SECONDS:g} s"


def _close_unused(made: Future[DeadlineConnection]) -> None:
    if made.exception() is None:
        made.result().close()
