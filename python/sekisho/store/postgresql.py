"""A pool of connections to a PostgreSQL server that may stop, hang or be replaced at any moment.

Limits of the server's own (``statement_timeout``, ``lock_timeout``) hold while it works. A server that stands still
applies none, and its kernel goes on to acknowledge what it is sent, so ``tcp_user_timeout`` sees nothing either. So
each wait for the server ends at the transaction's deadline on our side as well, and the connection is closed.
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

WRITE_LOCK: Final = int.from_bytes(b"sekisho1")
"""Key of the advisory lock that writers hold. Locks are per database; the key keeps off other programs'."""

POOLED_CONNECTIONS: Final = 5
"""Connections that are kept open."""

MAX_CONNECTIONS: Final = 32
"""Connections of one server process at most."""

CONNECT_TIMEOUT_SECONDS: Final = 5
"""libpq's limit for connecting to one address; the transaction's deadline holds besides."""

IDLE_TRANSACTION_SECONDS: Final = 10
"""Seconds after which PostgreSQL ends a transaction whose Sekisho stands still, and with it its write lock."""

TCP_TIMEOUT_MILLISECONDS: Final = 5000
"""Milliseconds after which the kernel gives up a connection whose peer acknowledges nothing."""

SERVER_GRACE_SECONDS: Final = 0.5
"""Seconds that the server's own limits get to act before the connection is closed on our side."""

CLEANUP_TIMEOUT_SECONDS: Final = 0.5
"""Seconds that a rollback, and what prepares the connection for its next user, may take after the deadline; then the
connection is closed, which rolls back as well."""

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
_UNLIMITED: Final = text(
    "SELECT set_config('statement_timeout', '0', true), set_config('idle_in_transaction_session_timeout', '0', true)"
)

_R = TypeVar("_R")


class PostgreSQLEngines:
    """Connections to one database.

    Durability is the server's: its ``fsync`` and ``synchronous_commit`` are on unless its owner has turned them off.
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
        event.listen(engine, "do_connect", self._connect)
        event.listen(engine, "connect", lambda _connection, record: record.info.update(is_fresh=True))
        event.listen(engine, "checkout", lambda connection, record, _proxy: self._ping(engine, connection, record))
        # What waits for the write lock must read what its holder committed: a snapshot per statement, taken after it.
        self.writing = engine.execution_options(isolation_level="READ COMMITTED")
        # One snapshot for all that a transaction reads, as on SQLite.
        self.reading = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    @contextmanager
    def connect(self, engine: Engine) -> Iterator[Connection]:
        """A connection of ``writing`` or ``reading`` that has answered just now. Raises StoreBusy, StoreUnavailable."""
        if not self._free.acquire(timeout=deadline.seconds_left()):
            raise StoreBusy(f"{self.place}: all connections are in use. Try again.")
        try:
            with self._outage.attempt():
                connection = engine.connect()
            with connection:
                yield connection
        finally:
            self._free.release()

    def prepare(self) -> None:
        """Nothing to make: the database is there, or connecting says that it is not."""

    def check_place(self) -> None:
        """Nothing to check: a connection leads to the database, or fails."""

    def check(self, connection: Connection) -> None:
        """Raises ForeignDatabase where the database cannot keep every text."""
        encoding = connection.exec_driver_sql("SHOW server_encoding").scalar()
        if encoding != "UTF8":
            raise ForeignDatabase(f"{self.place} has the encoding {encoding}. Use a database with UTF8.")

    def lock_for_writing(self, connection: Connection) -> None:
        """Wait for the one lock of all servers on this database; the end of the transaction releases it.

        The same statement bounds the wait and the statements after it.
        """
        connection.execute(_LOCK, {"key": WRITE_LOCK, "left": f"{deadline.milliseconds_left()}ms"})

    def allow_long_statements(self, connection: Connection) -> None:
        """Lift the server's limits for the rest of the transaction."""
        connection.execute(_UNLIMITED)

    def _connect(self, _dialect: object, _record: object, arguments: Any, parameters: Any) -> DeadlineConnection:
        """Connect in a thread of its own: looking up the host's name has no time limit of ours."""
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
        """A server that was restarted fails no request: a connection that is of no more use is replaced."""
        if record.info.pop("is_fresh", False):
            return
        try:
            engine.dialect.do_ping(connection)
        except psycopg.Error as error:
            if deadline.seconds_left() == 0.0:
                raise StoreUnavailable(f"{self.place} cannot be used: {_not_answered()}") from error
            raise InvalidatePoolError from error


class DeadlineConnection(psycopg.Connection[Any]):
    """A connection whose every wait for the server ends at the transaction's deadline; it is closed then."""

    _is_rolling_back = False

    def wait(self, gen: PQGen[_R], interval: float = 0.1, timeout: float | None = None) -> _R:
        """Raises OperationalError at the deadline."""
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
        """Roll back, for which there is some time after the deadline too."""
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
