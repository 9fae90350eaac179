"""A transaction: reads and writes rows, and announces what the writes mean to live connections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Final, Literal

from sqlalchemy import Connection, Executable, Table, UpdateBase
from sqlalchemy.sql.selectable import SelectBase

from sekisho.change import Change
from sekisho.store import tables
from sekisho.store.compiled import CompiledStatements, Result
from sekisho.store.tables import PartOf, Write

KEY_PREFIX: Final = "its_"
"""Begins the parameters of conditions, since plain column names are taken by the values of an INSERT or UPDATE."""


class Transaction:
    """A transaction, which can be used until its block ends.

    The rows of a feature are read and written by the class in its ``store.py``, made from a transaction:
    ``CertificateRows(tx).get(realm, certificate_id)``.
    """

    __slots__ = ("_changes", "_connection", "_has_ended", "_statements", "_written")

    def __init__(self, connection: Connection, statements: CompiledStatements, changes: list[Change] | None) -> None:
        self._changes = changes
        self._connection = connection
        self._statements = statements
        self._written: set[str] = set()
        self._has_ended = False

    def end(self) -> None:
        """Refuse further statements, since another transaction may use the connection."""
        self._has_ended = True

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self._connection.dialect.name

    def execute(
        self,
        statement: Executable,
        parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] = MappingProxyType({}),
    ) -> Result:
        """Run a statement. One that writes rows announces what its table says, once this transaction is committed.

        Args:
            statement: A SELECT, or an INSERT, UPDATE or DELETE of a table of ``store.tables``. A constant of a module,
                since it is compiled at its first execution.
            parameters: By name; of a key in a condition, the column's name after KEY_PREFIX. Several, of the same
                names, for a statement that writes and returns nothing.

        Raises:
            TypeError: The statement is another one.
            RuntimeError: The transaction only reads, or has ended; the parameters do not name what the table announces;
                or the table is part of another one that has not been written.
        """
        if self._has_ended:
            raise RuntimeError("a transaction cannot be used after its block")
        if not isinstance(statement, UpdateBase):
            if not isinstance(statement, SelectBase) or not isinstance(parameters, Mapping):
                raise TypeError(f"a transaction runs SELECT, INSERT, UPDATE and DELETE, not {statement}")
            return self._statements.execute(self._connection, statement, parameters)
        if self._changes is None:
            raise RuntimeError("a transaction that reads cannot write")
        changes = self._changes_of(statement, parameters)
        if isinstance(parameters, Mapping):
            result = self._statements.execute(self._connection, statement, parameters)
        else:
            result = self._statements.execute_many(self._connection, statement, parameters)
        # What returns rows is not counted before they are read. A change that is announced in vain costs a look.
        if result.returns_rows or result.rowcount != 0:
            self._changes.extend(changes)
        return result

    def _changes_of(
        self, statement: UpdateBase, parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    ) -> Sequence[Change]:
        """Return the changes that writing these rows means, before they are written."""
        table = statement.table
        if not isinstance(table, Table):
            raise TypeError(f"a transaction writes to tables, not to {table}")
        announces = tables.announces(table)
        if isinstance(announces, PartOf):
            if announces.table not in self._written:
                raise RuntimeError(f"{table.name} is part of {announces.table}, which has to be written before it")
            return ()
        self._written.add(table.name)
        if announces is None:
            return ()
        kind: Literal["insert", "update", "delete"]
        kind = "insert" if statement.is_insert else "update" if statement.is_update else "delete"
        changes: list[Change] = []
        for row in [parameters] if isinstance(parameters, Mapping) else parameters:
            values = row if kind == "insert" else {name.removeprefix(KEY_PREFIX): row[name] for name in row}
            try:
                changes.extend(announces(self, Write(kind, values)))
            except KeyError as error:
                raise RuntimeError(
                    f"{table.name} cannot be written without naming {error}: what depends on the row is announced by it"
                ) from None
        return changes

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Begin a savepoint: if the block raises, its writes and announcements are undone."""
        announced = 0 if self._changes is None else len(self._changes)
        written = self._written.copy()
        try:
            with self._connection.begin_nested():
                yield
        except BaseException:
            self._written = written
            if self._changes is not None:
                del self._changes[announced:]
            raise
