"""Run by Alembic, on the connection that ``sekisho.store.migrations`` hands in, or on a developer's ``-x url=...``."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from sekisho.store.engines import engines
from sekisho.store.tables import load_all


def _run(connection: Connection) -> None:
    # SQLite can roll back DDL, once Python's driver lets it.
    tables = load_all(connection.dialect.name)
    context.configure(connection=connection, target_metadata=tables, transactional_ddl=True)
    with context.begin_transaction():
        context.run_migrations()


handed_in: Connection | None = context.config.attributes.get("connection")
if handed_in is not None:
    _run(handed_in)
else:
    with engines(context.get_x_argument(as_dictionary=True)["url"]).writing.begin() as own:
        _run(own)
