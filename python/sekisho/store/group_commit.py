"""Group commit: write transactions share a commit, so that many writers wait for one fsync together.

A writer runs its block while it holds the process's write lock. When its block ends while other writers wait for the
lock, the open database transaction goes to the next one, which works inside a savepoint, and the earlier writer waits
for the commit. These writers are a group. Its last member commits, and then all of them return.

A writer alone begins and commits a transaction of its own, without a savepoint.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from sekisho.change import Change
from sekisho.store import deadline
from sekisho.store.engines import Engines, run
from sekisho.store.errors import StoreBusy, StoreError, StoreUnavailable, failing_clearly, translate
from sekisho.store.fifo_lock import FifoLock

MAX_GROUP_WRITERS: Final = 64
"""The maximum of writers that share a commit."""

MAX_GROUP_SECONDS: Final = 0.05
"""Seconds from the start of a group within which further writers join it.

Much shorter than ``postgresql.SERVER_GRACE_SECONDS``: a group has the server's time limits of its first member.
"""

COMMIT_GRACE_SECONDS: Final = 0.5
"""Seconds after its deadline that a writer whose block has ended in time waits for the commit of its group."""


class GroupCommit:
    """The write lock of a store, and the commits that its holders share.

    Outcomes for the members of a group:

    - A block that raises undoes its own part. The others are committed.
    - A commit that fails, and an error that ends the whole database transaction (a lost connection, a full disk), fail
      every member with the same message.
    - A block that does not end delays the members before it. Each of them fails with StoreBusy at its own deadline.
      Whether its change is kept is open until that block ends. No further writer joins such a group.

    Changes of which it is not known whether the database has kept them are *undecided*. They are announced with the
    next commit that succeeds: it had the write lock after them, so they are decided then.
    """

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._lock = FifoLock()
        self._holder: int | None = None
        self._handed_over: _Group | None = None
        """The open group for the next holder of the lock, which alone reads it."""
        self._deciding = threading.Lock()
        """Guards ``_Group.is_decided``, ``_undecided`` and the counters."""
        self._undecided: dict[Change, None] = {}
        self._write_transactions = self._commits = self._rollbacks = 0

    def statistics(self) -> Mapping[str, int]:
        """Return the numbers of write transactions, commits, and rollbacks with failed commits, since the start."""
        with self._deciding:
            return {
                "write_transactions": self._write_transactions,
                "commits": self._commits,
                "rollbacks": self._rollbacks,
            }

    def join(self, writer: Writer) -> None:
        """Wait for the write lock, and begin a transaction or continue that of a group.

        Raises:
            RuntimeError: The thread holds the lock already, and would wait for itself.
            StoreError: The lock, a connection or the database cannot be had before the deadline.
        """
        me = threading.get_ident()
        if self._holder == me:
            raise RuntimeError("a write transaction cannot begin within another")
        if not self._lock.acquire(timeout=deadline.seconds_left() or 0.0):
            raise self._busy()
        self._holder = me
        group, self._handed_over = self._handed_over, None
        if group is None:
            writer.group = self._begin()
            return
        writer.group = group
        if deadline.seconds_left() == 0.0:
            # The lock came too late for this writer, but the group has to be passed on or committed.
            self._pass_on(writer)
            raise self._busy()
        group.size += 1
        group.deadline = max(group.deadline, deadline.moment())
        try:
            with failing_clearly(self._engines.place):
                run(group.connection, "SAVEPOINT member")
            writer.has_savepoint = True
        except BaseException as error:
            self._decide(writer, error)
            raise

    def _busy(self) -> StoreBusy:
        return StoreBusy(
            f"{self._engines.place}: other requests held the write lock for {deadline.STORE_TIMEOUT_SECONDS:g} s."
            " Try again."
        )

    def _begin(self) -> _Group:
        try:
            with failing_clearly(self._engines.place), ExitStack() as resources:
                connection = resources.enter_context(self._engines.connect(self._engines.writing))
                resources.enter_context(connection.begin())
                self._engines.lock_for_writing(connection)
                return _Group(connection, resources.pop_all(), deadline.moment())
        except BaseException:
            self._release()
            raise

    def end(self, writer: Writer) -> None:
        """End a block that raised nothing. Returns once it is committed, with what to announce in ``to_announce``.

        Raises StoreError where it is not, or where that is not known in time.
        """
        group = writer.group
        if writer.has_savepoint:
            try:
                with failing_clearly(self._engines.place), group.all_its_time():
                    run(group.connection, "RELEASE SAVEPOINT member")
            except BaseException as error:
                self.undo(writer, error)
                raise
        group.changes += writer.changes
        if not self._pass_on(writer):
            self._wait(writer)
        elif group.failure is not None:
            raise group.failure
        writer.to_announce += writer.changes

    def undo(self, writer: Writer, error: BaseException) -> None:
        """End a block that raised ``error``: undo its part. Raises nothing."""
        if not writer.has_savepoint:
            # It is the only member of its group.
            self._decide(writer, error)
            return
        group, fatal = writer.group, None
        try:
            with group.all_its_time():
                run(group.connection, "ROLLBACK TO SAVEPOINT member")
                run(group.connection, "RELEASE SAVEPOINT member")
        except BaseException as broken:  # noqa: BLE001 - the caller raises ``error``
            # The error that ended the transaction says more than that of the rollback.
            fatal = error if isinstance(error, StoreError | DBAPIError) else broken
        if group.connection.invalidated:
            fatal = fatal or error
        if fatal is None:
            self._pass_on(writer)
        else:
            self._decide(writer, fatal)

    def _pass_on(self, writer: Writer) -> bool:
        """Hand the group and the lock to the next writer, or commit if none may join. Return whether it committed."""
        group = writer.group
        is_open = group.size < MAX_GROUP_WRITERS and time.monotonic() - group.began < MAX_GROUP_SECONDS
        if is_open and self._lock.is_wanted:
            group.decided = group.decided or threading.Event()
            self._holder, self._handed_over = None, group
            if self._lock.hand_over():
                return False
            self._handed_over = None
        self._decide(writer, None)
        return True

    def _decide(self, writer: Writer, error: BaseException | None) -> None:
        """Commit, or roll back because of ``error``; release the lock, and let the other members return."""
        group = writer.group
        try:
            with failing_clearly(self._engines.place), group.all_its_time():
                group.resources.__exit__(type(error) if error else None, error, None)
        except BaseException as failure:  # noqa: BLE001 - ``end`` and ``_wait`` raise it
            error = error or failure
        group.failure = error
        with self._deciding:
            self._write_transactions += group.size
            if error is None:
                self._commits += 1
                writer.to_announce += self._undecided
                self._undecided.clear()
            else:
                self._rollbacks += 1
                # The database may have kept them.
                self._undecided.update(dict.fromkeys(group.changes))
            group.is_decided = True
        self._release()
        if group.decided is not None:
            group.decided.set()

    def _wait(self, writer: Writer) -> None:
        """Wait until another member has committed the group. Raises StoreError where that fails."""
        group = writer.group
        try:
            if group.decided is not None:
                group.decided.wait((deadline.seconds_left() or 0.0) + COMMIT_GRACE_SECONDS)
        finally:
            with self._deciding:
                if not group.is_decided:
                    self._undecided.update(dict.fromkeys(writer.changes))
        if not group.is_decided:
            raise StoreBusy(
                f"{self._engines.place}: a commit that is shared with other requests did not end within"
                f" {deadline.STORE_TIMEOUT_SECONDS:g} s. Whether this change is kept is open. Try again."
            )
        if group.failure is not None:
            raise self._same(group.failure) from group.failure

    def _same(self, failure: BaseException) -> StoreError:
        """Make a new exception, since one that several threads raise collects the tracebacks of all."""
        clear = translate(failure, self._engines.place) if isinstance(failure, DBAPIError) else failure
        if isinstance(clear, StoreError):
            return type(clear)(*clear.args)
        return StoreUnavailable(
            f"{self._engines.place}: a commit that is shared with other requests failed ({failure}). Try again."
        )

    def _release(self) -> None:
        # Before the lock, whose next holder sets it.
        self._holder = None
        self._lock.release()


@dataclass(slots=True)
class _Group:
    """Writers that share one database transaction. Its fields belong to the holder of the write lock."""

    connection: Connection
    resources: ExitStack
    """Its exit commits, or rolls back after an error, and returns the connection."""
    deadline: float
    """The latest deadline of the members, for savepoints and the commit."""
    changes: list[Change] = field(default_factory=list)
    """The changes of the blocks that have ended."""
    size: int = 1
    began: float = field(default_factory=time.monotonic)
    decided: threading.Event | None = None
    """Set after the commit or rollback; None until a member waits for it."""
    is_decided: bool = False
    failure: BaseException | None = None
    """Why it is not committed, as far as is known."""

    def all_its_time(self) -> AbstractContextManager[None]:
        """Set the deadline of the block: the group's, or the thread's if that is later."""
        return deadline.until(max(self.deadline, deadline.moment()))


class Writer:
    """One block that writes: a context manager that takes the write lock in ``join``, and commits or undoes at its end.

    Attributes:
        changes: The changes of the block.
        to_announce: Changes that are committed and not announced yet; complete when the block has ended.
    """

    __slots__ = ("_commits", "changes", "group", "has_savepoint", "to_announce")

    group: _Group

    def __init__(self, commits: GroupCommit) -> None:
        self._commits = commits
        self.has_savepoint = False
        self.changes: list[Change] = []
        self.to_announce: list[Change] = []

    def join(self) -> None:
        """Wait for the write lock. Raises RuntimeError and StoreError (``GroupCommit.join``)."""
        self._commits.join(self)

    def __enter__(self) -> Connection:
        return self.group.connection

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._commits.end(self)
        else:
            self._commits.undo(self, error)
