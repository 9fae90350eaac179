"""Alembic's environment: uses the connection of ``sekisho.store.migrations``, or a developer's ``-x url=...``."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from sekisho.store.engines import engines
from sekisho.store.tables import load_all


def _run(connection: Connection) -> None:
    # SQLite can roll back DDL, since ``SQLiteEngines`` begins the transaction.
    tables = load_all(connection.dialect.name)
    context.configure(connection=connection, target_metadata=tables, transactional_ddl=True)
    with context.begin_transaction():
        context.run_migrations()


given: Connection | None = context.config.attributes.get("connection")
if given is not None:
    _run(given)
else:
    with engines(context.get_x_argument(as_dictionary=True)["url"]).writing.begin() as own:
        _run(own)
