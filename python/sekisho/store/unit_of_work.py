"""One transaction, one object; and the store that begins them (``ports.Transaction``, ``ports.Store``)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType

from sqlalchemy import Connection, text

from sekisho.registry.ports import Change
from sekisho.store import deadline, schema_version
from sekisho.store.accounts import SqlAccounts
from sekisho.store.attachments import SqlAttachments
from sekisho.store.billing_groups import SqlBillingGroups
from sekisho.store.ca_certificates import SqlCACertificates
from sekisho.store.certificate_providers import SqlCertificateProviders
from sekisho.store.certificates import SqlCertificates
from sekisho.store.deliveries import SqlDeliveries
from sekisho.store.endpoints import SqlEndpoints
from sekisho.store.engines import engines
from sekisho.store.errors import StoreBusy, failing_clearly
from sekisho.store.group_commit import GroupCommit, Writer
from sekisho.store.identities import SqlIdentities
from sekisho.store.outage import Outage
from sekisho.store.outbox import SqlOutbox
from sekisho.store.ownership_tokens import SqlOwnershipTokens
from sekisho.store.policies import SqlPolicies
from sekisho.store.provisioning_claims import SqlProvisioningClaims
from sekisho.store.provisioning_templates import SqlProvisioningTemplates
from sekisho.store.registration_codes import SqlRegistrationCodes
from sekisho.store.registration_tasks import SqlRegistrationTasks
from sekisho.store.rotations import SqlRotations
from sekisho.store.tags import SqlTags
from sekisho.store.thing_groups import SqlThingGroups
from sekisho.store.thing_types import SqlThingTypes
from sekisho.store.things import SqlThings


class SqlTransaction:
    """Everything that one transaction sees and does. Good until its block ends."""

    __slots__ = (
        "_changes",
        "_connection",
        "accounts",
        "attachments",
        "billing_groups",
        "ca_certificates",
        "certificate_providers",
        "certificates",
        "deliveries",
        "endpoints",
        "identities",
        "outbox",
        "ownership_tokens",
        "policies",
        "provisioning_claims",
        "provisioning_templates",
        "registration_codes",
        "registration_tasks",
        "rotations",
        "tags",
        "thing_groups",
        "thing_types",
        "things",
    )

    def __init__(self, connection: Connection, changes: list[Change] | None) -> None:
        self._changes = changes
        self._connection = connection
        self.accounts = SqlAccounts(connection)
        self.attachments = SqlAttachments(connection)
        self.billing_groups = SqlBillingGroups(connection)
        self.ca_certificates = SqlCACertificates(connection)
        self.certificate_providers = SqlCertificateProviders(connection)
        self.certificates = SqlCertificates(connection)
        self.deliveries = SqlDeliveries(connection)
        self.endpoints = SqlEndpoints(connection)
        self.identities = SqlIdentities(connection)
        self.outbox = SqlOutbox(connection)
        self.ownership_tokens = SqlOwnershipTokens(connection)
        self.policies = SqlPolicies(connection)
        self.provisioning_claims = SqlProvisioningClaims(connection)
        self.provisioning_templates = SqlProvisioningTemplates(connection)
        self.registration_codes = SqlRegistrationCodes(connection)
        self.rotations = SqlRotations(connection)
        self.registration_tasks = SqlRegistrationTasks(connection)
        self.tags = SqlTags(connection)
        self.thing_groups = SqlThingGroups(connection)
        self.thing_types = SqlThingTypes(connection)
        self.things = SqlThings(connection)

    def announce(self, change: Change) -> None:
        """Tell the data plane, once this transaction is committed and never before."""
        if self._changes is None:
            raise RuntimeError("a transaction that reads has nothing to announce")
        self._changes.append(change)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """A part that may fail by itself: where its block raises, what it did and announced is undone."""
        announced = 0 if self._changes is None else len(self._changes)
        try:
            with self._connection.begin_nested():
                yield
        except BaseException:
            if self._changes is not None:
                del self._changes[announced:]
            raise


class SqlStore:
    """The registry in an SQL database.

    Write transactions are serialised, on SQLite by BEGIN IMMEDIATE and on PostgreSQL by an advisory lock that all
    servers on the database share. Why a lock, rather than SERIALIZABLE and trying again: the block of a ``with`` cannot
    be run twice; and it makes the order of ``seq`` that of the commits, so that a page never skips a row that was
    committed late. Within one process a lock comes first, so that waiting costs no connection; it goes to the
    thread that has waited longest, so that no writer is passed over by those that write much. Writers that wait for the
    lock together share a commit (``group_commit``).

    Methods may be called from any thread, and ``read`` from many at once.

    Args:
        url: ``sqlite:////folder/file.db`` or ``postgresql://user:password@host/database``.
        announce: Given the changes of each transaction after it is committed, each once, in order; in the thread that
            wrote. Transactions of two threads may be announced in either order. What it raises reaches the writer,
            though the transaction is kept. Where a commit failed it may be unknown whether the database has kept it:
            its changes are announced with the next commit, which can only come once that is decided.

    A transaction has ``deadline.STORE_TIMEOUT_SECONDS`` for all that it waits for; then it fails.

    Raises:
        StoreError: from every method, saying what is wrong with the database and what to do.
    """

    def __init__(self, url: str, announce: Callable[[Sequence[Change]], None]) -> None:
        self._engines = engines(url)
        self._announce = announce
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

    def open(self) -> None:
        """Make what is missing, and migrate what is older. Call once, before anything else.

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
            # How long a migration takes depends on how much there is.
            self._engines.allow_long_statements(connection)
            deadline.lift()
            schema_version.bring_to_head(connection, self.place)

    def close(self) -> None:
        """Close every connection. On SQLite the last one moves the write-ahead log into the file."""
        self._engines.reading.dispose()
        self._engines.writing.dispose()

    def __enter__(self) -> SqlStore:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def read(self) -> Iterator[SqlTransaction]:
        """A transaction that sees one state of the store and changes nothing."""
        engine = self._engines.reading
        with (
            failing_clearly(self.place),
            deadline.begin(),
            self._engines.connect(engine) as connection,
            connection.begin(),
        ):
            yield SqlTransaction(connection, None)

    @contextmanager
    def write(self) -> Iterator[SqlTransaction]:
        """Commits when the block ends, rolls back when it raises. When it returns the change is on disk.

        Raises RuntimeError within another ``write`` of the same thread, which would wait for itself.
        """
        writer = Writer(self._commits)
        try:
            with deadline.begin(), failing_clearly(self.place):
                with self._write_outage.attempt():
                    writer.join()
                with writer as connection:
                    yield SqlTransaction(connection, writer.changes)
        finally:
            if writer.to_announce:
                self._announce(tuple(dict.fromkeys(writer.to_announce)))

    def probe_read(self) -> None:
        """Read as a request does. Raises StoreError where requests cannot."""
        self._engines.check_place()
        with self.read() as tx:
            tx._connection.execute(_PROBE_READ)

    def probe_write(self) -> None:
        """Write and commit as a request does; nothing changes. Raises StoreError where requests cannot."""
        with self.write() as tx:
            tx._connection.execute(_PROBE_WRITE)


_PROBE_READ = text("SELECT version_num FROM alembic_version")
_PROBE_WRITE = text("UPDATE alembic_version SET version_num = version_num")
