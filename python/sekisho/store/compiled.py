"""Compiles each statement once per database, and runs it without SQLAlchemy's layers.

SQLAlchemy writes the SQL and converts values by their types. Its own execution of a statement that it has compiled
takes several times the CPU time that SQLite needs to run it, and nothing of it is used here.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, cast

from sqlalchemy import Connection, Dialect, Insert, Row, UpdateBase
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.selectable import SelectBase

from sekisho.store.engines import driver_of, failure

MAX_STATEMENTS: Final = 1024
"""Compiled statements of one database that are kept, several times as many as there are. The one used least recently
is dropped."""

MAX_LENGTHS: Final = 64
"""Lengths of the lists of one statement (``IN``) for which its SQL is kept: each length is another text."""

Statement = SelectBase | UpdateBase
Parameters = Mapping[str, Any]
_Convert = Callable[[Any], Any]


class CompiledStatements:
    """The statements of one database. Methods may be called from any thread.

    A statement is recognised by its identity. Statements are therefore constants of modules; one that is built for a
    call is compiled for that call.

    Args:
        dialect: Of an engine that has connected before a statement is run.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._compiled = lru_cache(MAX_STATEMENTS)(self._compile)

    def execute(self, connection: Connection, statement: Statement, parameters: Parameters) -> Result:
        """Run a statement with parameters by name. Raises DBAPIError."""
        # The SQL of an INSERT or UPDATE depends on the columns that have values.
        names = tuple(parameters) if isinstance(statement, UpdateBase) else ()
        return self._compiled(statement, names).execute(connection, parameters)

    def execute_many(self, connection: Connection, statement: UpdateBase, rows: Sequence[Parameters]) -> Result:
        """Run a statement that returns no rows, once with each of several parameters. Raises DBAPIError."""
        return self._compiled(statement, tuple(rows[0])).execute_many(connection, rows)

    def _compile(self, statement: Statement, names: tuple[str, ...]) -> _Compiled:
        if isinstance(statement, Insert):
            # Else SQLAlchemy has the database return keys that it generates, which only RETURNING may ask for here.
            statement = statement.inline()
        return _Compiled(statement, names, self._dialect)


class _Compiled:
    """A statement, and its SQL for each length of its lists."""

    def __init__(self, statement: Statement, names: Sequence[str], dialect: Dialect) -> None:
        self._compiler = statement.compile(dialect=dialect, column_keys=list(names) or None)
        if self._compiler.literal_execute_params or self._compiler.insert_prefetch or self._compiler.update_prefetch:
            raise TypeError(f"values that SQLAlchemy adds at each execution are not supported: {self._compiler}")
        self._rows = _Rows(statement, dialect)
        self._lists = [parameter.key for parameter in self._compiler.post_compile_params]
        self._texts: dict[tuple[int, ...], _Text] = {}

    def execute(self, connection: Connection, parameters: Parameters) -> Result:
        text = self._text(parameters)
        cursor = run(connection, text.sql, text.values(parameters))
        return Result(connection, text.sql, cursor, self._rows)

    def execute_many(self, connection: Connection, rows: Sequence[Parameters]) -> Result:
        text = self._text(rows[0])
        cursor = run(connection, text.sql, [text.values(row) for row in rows], many=True)
        return Result(connection, text.sql, cursor, self._rows)

    def _text(self, parameters: Parameters) -> _Text:
        lengths = tuple([len(parameters[name]) for name in self._lists]) if self._lists else ()
        text = self._texts.get(lengths)
        if text is None:
            if len(self._texts) >= MAX_LENGTHS:
                self._texts.clear()
            text = self._texts[lengths] = _Text(self._compiler, self._lists, parameters)
        return text


class _Text:
    """The SQL of a statement, and how its parameters become the driver's.

    Args:
        lists: Names of parameters that are lists: each item becomes a parameter.
        parameters: Any whose lists are as long.
    """

    def __init__(self, compiler: SQLCompiler, lists: Sequence[str], parameters: Parameters) -> None:
        self.sql: str = compiler.string
        names: Sequence[str] | None = compiler.positiontup
        types = {name: bind.type for bind, name in compiler.bind_names.items() if name not in lists}
        self._expanded: list[tuple[str, Sequence[str]]] = []
        if lists:
            state = compiler.construct_expanded_state(parameters)
            self.sql, names = state.statement, state.positiontup
            self._expanded = list(state.parameter_expansion.items())
            types |= {
                item: bind.type
                for bind, name in compiler.bind_names.items()
                for item in state.parameter_expansion.get(name, ())
            }
        self._fixed = {
            name: bind.effective_value
            for bind, name in compiler.bind_names.items()
            if not bind.required and name not in lists
        }
        self._is_positional = names is not None
        self._names = list(types if names is None else names)
        self._converts: list[tuple[Any, _Convert]] = []
        for place, name in enumerate(self._names):
            convert = types[name].dialect_impl(compiler.dialect).bind_processor(compiler.dialect)
            if convert is not None:
                self._converts.append((place if self._is_positional else name, convert))

    def values(self, parameters: Parameters) -> Any:
        """Return the driver's parameters: a list, or by name. Raises TypeError where one is missing."""
        if self._fixed:
            parameters = {**self._fixed, **parameters}
        for name, items in self._expanded:
            parameters = {**parameters, **dict(zip(items, parameters[name], strict=True))}
        values: Any
        try:
            if self._is_positional:
                values = [parameters[name] for name in self._names]
            else:
                values = {name: parameters[name] for name in self._names}
        except KeyError as error:
            raise TypeError(f"the statement has no value for its parameter {error}: {self.sql}") from None
        for place, convert in self._converts:
            values[place] = convert(values[place])
        return values


class _Rows:
    """How rows that a statement returns become tuples with the columns' names as attributes."""

    def __init__(self, statement: Statement, dialect: Dialect) -> None:
        self._columns = list(statement.exported_columns)
        self._dialect = dialect
        self._make: Callable[[Sequence[Any]], Row[Any]] | None = None

    def make(self, cursor: Any) -> Callable[[Sequence[Any]], Row[Any]]:
        """Return the function that makes a row of one of the driver's."""
        if self._make is None:
            self._make = self._maker(cursor.description)
        return self._make

    def _maker(self, description: Sequence[Any]) -> Callable[[Sequence[Any]], Row[Any]]:
        converts: list[tuple[int, _Convert]] = []
        # The conversion depends on what the driver returns, too.
        for place, (column, described) in enumerate(zip(self._columns, description, strict=True)):
            implementation = column.type.dialect_impl(self._dialect)
            convert = implementation.result_processor(self._dialect, described[1])
            if convert is not None:
                converts.append((place, convert))
        # SQLAlchemy's Row has the same interface. Its attributes take several times as long.
        names = [column.key or "" for column in self._columns]
        row_class = namedtuple("Row", names, rename=True)  # type: ignore[misc]
        make = cast("Callable[[Sequence[Any]], Row[Any]]", row_class._make)
        if not converts:
            return make

        def make_converted(row: Sequence[Any]) -> Row[Any]:
            values = list(row)
            for place, convert in converts:
                values[place] = convert(values[place])
            return make(values)

        return make_converted


class Result:
    """What a statement has done or returned. Its rows can be read once, by one of the methods."""

    __slots__ = ("_connection", "_cursor", "_rows", "_sql")

    def __init__(self, connection: Connection, sql: str, cursor: Any, rows: _Rows) -> None:
        self._connection = connection
        self._sql = sql
        self._cursor = cursor
        self._rows = rows

    @property
    def rowcount(self) -> int:
        """Rows that were written. Unknown where the statement returns them."""
        return int(self._cursor.rowcount)

    @property
    def returns_rows(self) -> bool:
        """Whether there are rows to read, which may be none."""
        return self._cursor.description is not None

    def all(self) -> list[Row[Any]]:
        """Return every row."""
        make = self._rows.make(self._cursor)
        return [make(row) for row in self._read(self._cursor.fetchall)]

    def __iter__(self) -> Iterator[Row[Any]]:
        return iter(self.all())

    def first(self) -> Row[Any] | None:
        """Return the first row, or None, without reading the others."""
        row = self._read(self._cursor.fetchone)
        made = None if row is None else self._rows.make(self._cursor)(row)
        # An open cursor would go on reading a state of the database that is gone.
        self._cursor.close()
        return made

    def one(self) -> Row[Any]:
        """Return the only row. Raises RuntimeError where there are none, or more."""
        rows = self.all()
        if len(rows) != 1:
            raise RuntimeError(f"a statement that returns one row returned {len(rows)}: {self._sql}")
        return rows[0]

    def scalar(self) -> Any:
        """Return the first value of the first row, or None."""
        row = self.first()
        return None if row is None else row[0]

    def scalar_one(self) -> Any:
        """Return the only value. Raises RuntimeError as ``one``."""
        return self.one()[0]

    def scalars(self) -> list[Any]:
        """Return the first value of each row."""
        return [row[0] for row in self.all()]

    def _read(self, fetch: Callable[[], Any]) -> Any:
        error_type: type[Exception] = self._connection.dialect.loaded_dbapi.Error
        try:
            return fetch()
        except error_type as error:
            raise failure(self._connection, self._sql, error) from error


def run(connection: Connection, sql: str, values: Any, *, many: bool = False) -> Any:
    """Hand a statement to the driver; return its cursor. ``many``: for each of several values. Raises DBAPIError."""
    cursor = driver_of(connection).cursor()
    error_type: type[Exception] = connection.dialect.loaded_dbapi.Error
    try:
        if many:
            cursor.executemany(sql, values)
        else:
            cursor.execute(sql, values)
    except error_type as error:
        raise failure(connection, sql, error) from error
    return cursor
