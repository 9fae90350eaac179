"""Definitions that the tables of all features share.

- A table of a realm has ``account_id`` and ``region``.
- A table that can be listed has ``seq``: the order of creation, never used twice, at which a page continues.
- Every query reads an index in its order and stops; ``tests/store/test_query_plans.py`` checks the database's plans. An
  index for one query names it.
- Both databases compare text byte by byte, so that equality, order and prefixes mean the same.
- An instant is a whole number of microseconds since 1970-01-01T00:00:00Z.

A table is defined in the ``store.py`` of its feature, and says what writing its rows announces to the data plane. A
change of a table comes with a migration in ``migrations/versions``; tests compare the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Identity,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TextClause,
    TypeDecorator,
)
from sqlalchemy.engine import Dialect

from sekisho.change import Change, ChangeKind
from sekisho.realm import Realm

if TYPE_CHECKING:
    from sekisho.store.transaction import Transaction

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)


class Instant(TypeDecorator[datetime]):
    """A timezone-aware datetime, stored as microseconds since 1970 in UTC: exact, and the same on every database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Convert to microseconds. Raises ValueError without a time zone: such a datetime depends on the machine."""
        del dialect
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time that is stored needs a time zone")
        return (value - EPOCH) // MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        """Convert to a datetime in UTC."""
        del dialect
        return None if value is None else EPOCH + timedelta(microseconds=value)


# PostgreSQL would otherwise order by the collation of the database, and could not use an index for a prefix.
String = Text().with_variant(Text(collation="C"), "postgresql")

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _seq() -> Column[int]:
    # SQLite increments only columns of the type INTEGER.
    return Column("seq", BigInteger().with_variant(Integer, "sqlite"), Identity(), primary_key=True)


def realm_columns() -> tuple[Column[str], Column[str]]:
    """Return the columns of the realm that a row belongs to."""
    return Column("account_id", String, nullable=False), Column("region", String, nullable=False)


@dataclass(frozen=True, slots=True)
class Write:
    """A row that a statement is about to write."""

    kind: Literal["insert", "update", "delete"]
    values: Mapping[str, Any]
    """The key and the new values of the row, by column."""

    @property
    def realm(self) -> Realm:
        """The realm of the row. Raises KeyError where the statement does not name it."""
        return Realm(self.values["account_id"], self.values["region"])


Announcer = Callable[["Transaction", Write], Iterable[Change]]
"""Returns the changes of a write, before it. Raises KeyError where the statement does not name a column that it needs.
"""


@dataclass(frozen=True, slots=True)
class PartOf:
    """The rows are part of rows of another table, which announces them and is written first in the same transaction."""

    table: str


_announcers: Final[dict[str, Announcer | PartOf | None]] = {}
"""By table. Not in ``Table.info``, which Alembic would write into migrations."""

_conditions: Final[dict[Index, ColumnElement[bool] | TextClause]] = {}
"""Of the partial indexes."""


def naming(kind: ChangeKind, column: str, *, of_inserts: bool) -> Announcer:
    """Return an announcer of one change, whose id is the value of ``column``.

    Args:
        of_inserts: Whether a new row is announced. It need not be if nothing can depend on a new row.
    """

    def announce(_tx: Transaction, write: Write) -> Iterable[Change]:
        if write.kind == "insert" and not of_inserts:
            return ()
        return (Change(write.realm, kind, write.values[column]),)

    return announce


def listed(name: str, *parts: Any, announces: Announcer | PartOf | None) -> Table:
    """Define a table that is listed in the order of creation.

    AUTOINCREMENT: without it SQLite would use the ``seq`` of a removed last row again.

    Args:
        announces: Returns the changes that a write announces; None: live connections do not depend on the rows.
    """
    _announcers[name] = announces
    return Table(name, metadata, _seq(), *parts, sqlite_autoincrement=True)


def keyed(name: str, *parts: Any, announces: Announcer | PartOf | None, **options: Any) -> Table:
    """Define a table whose primary key is among its columns, and which is not listed.

    Args:
        announces: As for ``listed``.
        options: Options of ``Table``.
    """
    _announcers[name] = announces
    return Table(name, metadata, *parts, **options)


def announces(table: Table) -> Announcer | PartOf | None:
    """Return the announcer of a table."""
    return _announcers[table.name]


def partial_index(
    name: str | None, *columns: Column[Any], where: ColumnElement[bool] | TextClause, unique: bool = False
) -> Index:
    """Define an index of those rows of a table for which ``where`` holds.

    PostgreSQL's option is added by ``load_all``: with it SQLAlchemy imports the dialect, which a server on SQLite does
    not need.
    """
    index = Index(name, *columns, unique=unique, sqlite_where=where)
    _conditions[index] = where
    return index


def load_all(dialect: str) -> MetaData:
    """Import the ``store.py`` of every feature; return the metadata with all tables.

    Args:
        dialect: The dialect of the metadata: ``sqlite`` or ``postgresql``.
    """
    package = Path(__file__).parents[1]
    for file in sorted(package.rglob("store.py")):
        parts = file.relative_to(package).with_suffix("").parts
        import_module(".".join(("sekisho", *parts)))
    if dialect == "postgresql":
        for index, where in _conditions.items():
            index.dialect_kwargs["postgresql_where"] = where
    return metadata
