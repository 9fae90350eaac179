"""Statements that all tables need.

Statements are module constants with named parameters: each is then compiled once per database (``compiled``), and a
request builds none. Parameters of conditions begin with ``its_``, since plain column names are taken by the values
of an INSERT or UPDATE.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, cached_property
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Delete,
    Insert,
    Row,
    Select,
    Table,
    Update,
    bindparam,
    delete,
    select,
    update,
)
from sqlalchemy.sql.dml import ReturningInsert

from sekisho.pages import Slice, Window
from sekisho.realm import Realm
from sekisho.store.errors import AlreadyThere
from sekisho.store.transaction import KEY_PREFIX, Transaction

T = TypeVar("T")

BEFORE_ALL: Final = -1
AFTER_ALL: Final = 2**63 - 1


def its(table: Table, *columns: str) -> ColumnElement[bool]:
    """Return the condition that these columns have the values of the parameters ``its_<column>``."""
    condition: ColumnElement[bool] = table.c[columns[0]] == bindparam(KEY_PREFIX + columns[0])
    for column in columns[1:]:
        condition = condition & (table.c[column] == bindparam(KEY_PREFIX + column))
    return condition


def realm_parameters(realm: Realm, **others: Any) -> dict[str, Any]:
    """Return the parameters for ``its(table, "account_id", "region", ...)``."""
    columns = {"account_id": realm.account_id, "region": realm.region} | others
    return {KEY_PREFIX + name: value for name, value in columns.items()}


def begins(column: ColumnElement[str]) -> ColumnElement[bool]:
    """Return the condition that a text begins with ``its_prefix``, where ``its_prefix_end`` is ``last_with`` of it.

    A comparison, since LIKE would give % and _ a meaning and would not use the index on SQLite.
    """
    return (column >= bindparam("its_prefix")) & (column <= bindparam("its_prefix_end"))


def last_with(prefix: str) -> str:
    """Return the last text that begins with ``prefix``: all texts with the prefix are between both."""
    return prefix + "\U0010ffff"


@cache
def _insert_unless_there(table: Table, dialect: str) -> Insert:
    # SQLAlchemy has a class per dialect for this clause, and none for both.
    if dialect == "sqlite":
        from sqlalchemy.dialects.sqlite import insert as sqlite_insert

        return sqlite_insert(table).on_conflict_do_nothing().inline()
    from sqlalchemy.dialects.postgresql import insert as postgresql_insert

    return postgresql_insert(table).on_conflict_do_nothing().inline()


@cache
def _insert_unless_there_returning_seq(table: Table, dialect: str) -> ReturningInsert[Any]:
    return _insert_unless_there(table, dialect).returning(table.c.seq)


@cache
def _insert_or_overwrite(table: Table, dialect: str) -> Insert:
    key = [column.name for column in table.primary_key]
    others = [column.name for column in table.columns if not column.primary_key]
    if dialect == "sqlite":
        from sqlalchemy.dialects.sqlite import insert as sqlite_insert

        statement = sqlite_insert(table)
        return statement.on_conflict_do_update(
            index_elements=key, set_={name: statement.excluded[name] for name in others}
        )
    from sqlalchemy.dialects.postgresql import insert as postgresql_insert

    other = postgresql_insert(table)
    return other.on_conflict_do_update(index_elements=key, set_={name: other.excluded[name] for name in others})


def insert_unless_there(tx: Transaction, table: Table, values: Mapping[str, Any]) -> bool:
    """Insert a row; False where a unique key is taken. One statement, after which the transaction is usable."""
    return tx.execute(_insert_unless_there(table, tx.dialect), values).rowcount == 1


def insert_returning_seq(tx: Transaction, table: Table, values: Mapping[str, Any]) -> int | None:
    """Insert a row and return its ``seq``; None where a unique key is taken."""
    seq: int | None = tx.execute(_insert_unless_there_returning_seq(table, tx.dialect), values).scalar()
    return seq


def insert(tx: Transaction, table: Table, values: Mapping[str, Any], name: str) -> None:
    """Insert a row. Raises AlreadyThere with ``name`` where a unique key is taken."""
    if not insert_unless_there(tx, table, values):
        raise AlreadyThere(name)


def insert_or_overwrite(tx: Transaction, table: Table, rows: list[dict[str, Any]]) -> None:
    """Insert rows, or overwrite those whose primary key exists."""
    if rows:
        tx.execute(_insert_or_overwrite(table, tx.dialect), rows)


def replacing(table: Table, *key: str) -> Update:
    """Return the UPDATE of the row that ``key`` names, with the values of the parameters."""
    return update(table).where(its(table, *key))


def replace(tx: Transaction, statement: Update, parameters: Mapping[str, Any], name: str) -> None:
    """Overwrite a row. Raises KeyError with ``name`` where it does not exist, so that no change is lost silently."""
    if tx.execute(statement, parameters).rowcount != 1:
        raise KeyError(f"{name} is not in the store, so it cannot be replaced")


_AFTER: Final[BindParameter[int]] = bindparam("its_after")
_LIMIT: Final[BindParameter[int]] = bindparam("its_limit")


class Query(Generic[T]):
    """Statements that read rows, each made when it is first run, and the function that makes objects of the rows.

    Args:
        statement: The SELECT, without an order.
        seq: The column of the order, selected as ``seq``.
        make: Makes an object of a row.
    """

    def __init__(self, statement: Select[Any], seq: ColumnElement[int], make: Callable[[Row[Any]], T]) -> None:
        self._make = make
        self._one = statement
        self._seq = seq

    @cached_property
    def _all(self) -> Select[Any]:
        return self._one.order_by(self._seq)

    @cached_property
    def _ascending(self) -> Select[Any]:
        return self._one.where(self._seq > _AFTER).order_by(self._seq).limit(_LIMIT)

    @cached_property
    def _descending(self) -> Select[Any]:
        return self._one.where(self._seq < _AFTER).order_by(self._seq.desc()).limit(_LIMIT)

    def one(self, tx: Transaction, parameters: Mapping[str, Any]) -> T | None:
        """Return the only row, or None."""
        row = tx.execute(self._one, parameters).first()
        return None if row is None else self._make(row)

    def all(self, tx: Transaction, parameters: Mapping[str, Any]) -> list[T]:
        """Return all rows, oldest first."""
        return [self._make(row) for row in tx.execute(self._all, parameters)]

    def page(self, tx: Transaction, window: Window, parameters: Mapping[str, Any]) -> Slice[T]:
        """Return a page. One row more is read, to know whether it is the last page."""
        if window.limit < 1:
            raise ValueError(f"a page holds at least one item, not {window.limit}")
        after = window.after
        if after is None:
            after = BEFORE_ALL if window.ascending else AFTER_ALL
        statement = self._ascending if window.ascending else self._descending
        rows = tx.execute(statement, {**parameters, "its_after": after, "its_limit": window.limit + 1}).all()
        kept = rows[: window.limit]
        return Slice([self._make(row) for row in kept], kept[-1].seq if len(rows) > len(kept) else None)


def reading(table: Table, make: Callable[[Row[Any]], T], *key: str) -> Query[T]:
    """Return the query of the rows of ``table`` whose columns ``key`` equal the parameters ``its_<column>``."""
    statement = select(table)
    return Query(statement.where(its(table, *key)) if key else statement, table.c.seq, make)


def removing(table: Table, *key: str) -> Delete:
    """Return the DELETE of the rows that ``key`` names."""
    return delete(table).where(its(table, *key))
