"""Creates the schema of a database, or migrates it.

A new database gets the tables of all features, an old one is migrated; tests show that both have the same schema.
Alembic is imported only to migrate, since the import takes longer than the rest of opening a store.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import Column, Connection, MetaData, String, Table, inspect, select

from sekisho.store.errors import ForeignDatabase, NewerSchema
from sekisho.store.tables import load_all

HEAD: Final = max(file.name[:4] for file in Path(__file__).parent.glob("migrations/versions/[0-9]*.py"))
"""The revision of the newest migration."""

_UNRELEASED: Final = frozenset(f"{number:04}" for number in range(1, 9))
"""Revisions whose migrations were replaced by one before the first release."""

# As Alembic makes it.
_VERSION = Table(
    "alembic_version",
    MetaData(naming_convention={"pk": "%(table_name)s_pkc"}),
    Column("version_num", String(32), primary_key=True, nullable=False),
)


def current(connection: Connection) -> str | None:
    """Return the revision of a database, or None where it has no table of Sekisho."""
    if not inspect(connection).has_table(_VERSION.name):
        return None
    revision: str | None = connection.execute(select(_VERSION.c.version_num)).scalar()
    return revision


def bring_to_head(connection: Connection, place: str) -> None:
    """Create or migrate the schema, within the caller's transaction.

    Raises NewerSchema where the revision is unknown, ForeignDatabase where the tables are not those of Sekisho.
    """
    revision = current(connection)
    if revision == HEAD:
        return
    if revision is None:
        others = sorted(inspect(connection).get_table_names())
        if others:
            raise ForeignDatabase(
                f"{place} is not a database of Sekisho (it has the table {others[0]!r})."
                " Use another data folder, or another database."
            )
        load_all(connection.dialect.name).create_all(connection, checkfirst=False)
        _VERSION.create(connection, checkfirst=False)
        connection.execute(_VERSION.insert(), {"version_num": HEAD})
        return

    from sekisho.store.migrations import is_known, upgrade

    if revision in _UNRELEASED:
        raise ForeignDatabase(
            f"{place} has the schema {revision!r} of a build before the first release, which this Sekisho does not"
            " migrate. Start the last build before it once on this database, or use another data folder."
        )
    if not is_known(revision):
        raise NewerSchema(
            f"{place} has the schema {revision!r} of a newer Sekisho; this one knows schemas up to {HEAD!r}. Upgrade"
            " Sekisho, or restore an older backup."
        )
    upgrade(connection)
