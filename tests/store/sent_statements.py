"""Records the statements that transactions hand to the database's driver."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sekisho.store import compiled


@contextmanager
def sent_statements() -> Iterator[list[tuple[str, Any]]]:
    """Yield the statements that are run in the block, with their parameters; of many parameters the first."""
    statements: list[tuple[str, Any]] = []
    run = compiled.run

    def record(connection: Any, sql: str, values: Any, *, many: bool = False) -> Any:
        first = values[0] if many else values
        # SQLAlchemy takes a list for the parameters of several executions.
        statements.append((sql, tuple(first) if isinstance(first, list) else first))
        return run(connection, sql, values, many=many)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "run", record)
        yield statements
