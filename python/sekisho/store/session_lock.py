"""The server lock of a PostgreSQL database: an advisory lock of a session, on a connection of its own.

PostgreSQL releases it when that connection ends: with the process, or when either side's keepalives are not answered. A
process that is only stopped (SIGSTOP) keeps it, since its kernel answers them.
"""

from __future__ import annotations

import select
import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any, Final

import psycopg
from psycopg import Connection, sql

from sekisho.store import deadline
from sekisho.store.errors import StoreBusy, StoreError, StoreUnavailable
from sekisho.store.server_lock import Holder, own_name, refusal

SERVER_LOCK: Final = int.from_bytes(b"sekisho2")
"""The key of the advisory lock that a server holds as long as it runs."""

START_WAIT_SECONDS: Final = 2.0
"""Seconds that a start waits for the lock: PostgreSQL notices a little later that a server was killed."""

RETRY_WAIT_SECONDS: Final = 0.1
"""Seconds that a running server waits for it. A request waits meanwhile."""

_SESSION: Final = {
    # PostgreSQL's own defaults would keep the lock of a machine that lost its power for two hours.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
_IDLE_TIMEOUT_SINCE: Final = 140000
"""The version of PostgreSQL from which on there is ``idle_session_timeout``."""

_HOLDER: Final = """
SELECT pid, activity.application_name, activity.backend_start
FROM pg_locks JOIN pg_stat_activity activity USING (pid)
WHERE locktype = 'advisory' AND granted AND classid = %s AND objid = %s AND objsubid = 1
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


class SessionLock:
    """The lock and its connection. Methods may be called from any thread.

    Args:
        connect: Makes a connection whose application_name is the argument. Raises psycopg.Error.
        place: The database, for messages.
    """

    def __init__(self, connect: Callable[[str], Connection[Any]], place: str) -> None:
        self._connect = connect
        self._place = place
        self._mutex = threading.Lock()
        self._connection: Connection[Any] | None = None
        self._is_wanted = False
        self.holder: int | None = None
        """PostgreSQL's process for the connection that has, or last had, the lock; None: it was never taken."""

    def take(self) -> None:
        """Take the lock. Raises OtherServer, StoreUnavailable."""
        with self._mutex:
            self._take(START_WAIT_SECONDS)
            self._is_wanted = True

    def keep(self) -> None:
        """Take the lock again if it was taken and its connection was lost. Raises OtherServer, StoreUnavailable."""
        if not self._is_wanted:
            return
        if not self._mutex.acquire(timeout=deadline.seconds_left() or 0.0):
            raise StoreBusy(f"{self._place}: the server lock is being taken again. Try again.")
        try:
            if self._is_wanted and self._is_lost():
                self._take(RETRY_WAIT_SECONDS)
        finally:
            self._mutex.release()

    def release(self) -> None:
        """Close the connection, which releases the lock."""
        with self._mutex:
            self._is_wanted = False
            self._close()

    def _is_lost(self) -> bool:
        connection = self._connection
        if connection is None or connection.closed:
            return True
        waiting = select.poll()
        waiting.register(connection.fileno(), select.POLLIN)
        try:
            # A notice, then the end of the connection.
            while connection.pgconn.status == psycopg.pq.ConnStatus.OK and waiting.poll(0):
                connection.pgconn.consume_input()
        except psycopg.Error:
            return True
        return connection.pgconn.status != psycopg.pq.ConnStatus.OK

    def _take(self, wait: float) -> None:
        self._close()
        try:
            connection = self._connect(own_name())
        except psycopg.Error as error:
            raise self._unavailable(error) from None
        try:
            connection.autocommit = True
            for name, value in _SESSION.items():
                _set(connection, name, value)
            if connection.info.server_version >= _IDLE_TIMEOUT_SINCE:
                _set(connection, "idle_session_timeout", "0")
            _set(connection, "lock_timeout", f"{round(wait * 1000)}ms")
            connection.execute("SELECT pg_advisory_lock(%s)", (SERVER_LOCK,))
        except psycopg.errors.LockNotAvailable:
            with closing(connection):
                raise self._refusal(connection) from None
        except psycopg.Error as error:
            connection.close()
            raise self._unavailable(error) from None
        self._connection = connection
        self.holder = connection.info.backend_pid

    def _refusal(self, connection: Connection[Any]) -> StoreError:
        """Return the error for a lock that is held. A former connection of this server that holds it is ended."""
        try:
            found = connection.execute(_HOLDER, (SERVER_LOCK >> 32, SERVER_LOCK & 0xFFFFFFFF)).fetchone()
            if found is not None and found[0] == self.holder:
                # PostgreSQL has not noticed that the connection is lost.
                connection.execute("SELECT pg_terminate_backend(%s)", (self.holder,))
                return StoreUnavailable(f"{self._place}: the server lock was lost, and is taken again. Try again.")
        except psycopg.Error as error:
            return self._unavailable(error)
        return refusal(self._place, None if found is None else Holder(*found[1:]))

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _unavailable(self, error: psycopg.Error) -> StoreUnavailable:
        return StoreUnavailable(f"{self._place} cannot be used: {' '.join(str(error).split())}")


def _set(connection: Connection[Any], name: str, value: str) -> None:
    connection.execute(sql.SQL("SELECT set_config({}, {}, false)").format(name, value))
