"""The store: begins transactions, of which one at a time writes, and announces their changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType

from sqlalchemy import text

from sekisho.change import Change, merged
from sekisho.store import deadline, schema_version
from sekisho.store.compiled import CompiledStatements
from sekisho.store.engines import engines
from sekisho.store.errors import StoreBusy, failing_clearly
from sekisho.store.group_commit import GroupCommit, Writer
from sekisho.store.outage import Outage
from sekisho.store.transaction import Transaction


class Store:
    """The registry in an SQL database.

    Write transactions are serialised, on SQLite by BEGIN IMMEDIATE and on PostgreSQL by an advisory lock that all
    servers on the database share. They use a lock instead of SERIALIZABLE with retries, since the block of a ``with``
    cannot be run twice. The lock also makes the order of ``seq`` that of the commits, so that a page never skips a row
    that was committed late. Within a process there is another lock first, so that waiting needs no connection. It goes
    to the thread that has waited longest. Writers that wait for the lock together share a commit (``group_commit``).

    Methods may be called from any thread, and ``read`` from many at once.

    Args:
        url: ``sqlite:////folder/file.db`` or ``postgresql://user:password@host/database``.
        announce: Called with the changes of each transaction after its commit, each change once, in the thread that
            wrote. Transactions of two threads may be announced in either order. Its exception is raised to the writer,
            though the transaction is committed. If it is unknown whether a commit that failed was kept, its changes
            are announced with the next commit, before which that is decided.

    A transaction has ``deadline.STORE_TIMEOUT_SECONDS`` for all that it waits for; then it fails.

    Raises:
        StoreError: from every method, saying what is wrong with the database and what to do.
    """

    def __init__(self, url: str, announce: Callable[[Sequence[Change]], None]) -> None:
        self._engines = engines(url)
        self._announce = announce
        self._statements = CompiledStatements(self._engines.writing.dialect)
        self._commits = GroupCommit(self._engines)
        self._write_outage = Outage(
            lambda seconds: StoreBusy(
                f"{self.place}: the write lock has been held elsewhere for {seconds:.0f} s. "
                "Requests that write fail until it is free."
            )
        )

    @property
    def place(self) -> str:
        """The file, or the URL without its password."""
        return self._engines.place

    def hold(self) -> None:
        """Take the server lock, which a server keeps until ``release``. Call it before ``open``; a command does not.

        Raises OtherServer, StoreUnavailable.
        """
        self._engines.prepare()
        with deadline.begin():
            self._engines.server_lock.take()

    def keep_hold(self) -> None:
        """Take the server lock again if its connection was lost.

        Raises OtherServer where another server has taken it meanwhile, StoreUnavailable where it cannot be tried.
        """
        with deadline.begin():
            self._engines.server_lock.keep()

    def release(self) -> None:
        """Release the server lock. Call it after ``close``."""
        self._engines.server_lock.release()

    def statistics(self) -> Mapping[str, int]:
        """As ``GroupCommit.statistics``."""
        return self._commits.statistics()

    def open(self) -> None:
        """Create the database if it is missing, and migrate an older one. Call once, before transactions.

        Raises NewerSchema, ForeignDatabase, DamagedDatabase, StoreBusy or StoreUnavailable.
        """
        self._engines.prepare()
        engine = self._engines.writing
        with (
            failing_clearly(self.place),
            deadline.begin(),
            self._engines.connect(engine) as connection,
            connection.begin(),
        ):
            # Two servers may start at once.
            self._engines.lock_for_writing(connection)
            self._engines.check(connection)
            # The duration of a migration depends on the data.
            self._engines.allow_long_statements(connection)
            deadline.lift()
            schema_version.bring_to_head(connection, self.place)

    def close(self) -> None:
        """Close every connection. On SQLite the last one moves the write-ahead log into the file."""
        self._engines.reading.dispose()
        self._engines.writing.dispose()

    def __enter__(self) -> Store:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """Begin a transaction that only reads, and sees one state of the store."""
        engine = self._engines.reading
        with (
            failing_clearly(self.place),
            deadline.begin(),
            self._engines.connect(engine) as connection,
            connection.begin(),
        ):
            tx = Transaction(connection, self._statements, None)
            try:
                yield tx
            finally:
                tx.end()

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """Begin a transaction that writes: commit at the end of the block, or roll back if it raises.

        After the block its changes are on disk. Raises RuntimeError within another ``write`` of the same thread, which
        would wait for itself.
        """
        writer = Writer(self._commits)
        try:
            with deadline.begin(), failing_clearly(self.place):
                with self._write_outage.attempt():
                    writer.join()
                with writer as connection:
                    tx = Transaction(connection, self._statements, writer.changes)
                    try:
                        yield tx
                    finally:
                        tx.end()
        finally:
            if writer.to_announce:
                self._announce(merged(writer.to_announce))

    def probe_read(self) -> None:
        """Read like a request. Raises StoreError where requests cannot read."""
        self._engines.check_place()
        with self.read() as tx:
            tx._connection.execute(_PROBE_READ)

    def probe_write(self) -> None:
        """Write and commit like a request, without a change. Raises StoreError where requests cannot write."""
        with self.write() as tx:
            tx._connection.execute(_PROBE_WRITE)


_PROBE_READ = text("SELECT version_num FROM alembic_version")
_PROBE_WRITE = text("UPDATE alembic_version SET version_num = version_num")
