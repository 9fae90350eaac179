"""Which schema a database has, and how it gets this one.

A fresh database is made from the tables of all features and an old one is migrated; tests show that both come out the
same.
Alembic is imported only to migrate, since importing it takes longer than all the rest of opening a store.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import Column, Connection, MetaData, String, Table, inspect, select

from sekisho.store.errors import ForeignDatabase, NewerSchema
from sekisho.store.tables import load_all

HEAD: Final = max(file.name[:4] for file in Path(__file__).parent.glob("migrations/versions/[0-9]*.py"))
"""Revision of the newest migration."""

_UNRELEASED: Final = frozenset(f"{number:04}" for number in range(1, 9))
"""Revisions whose migrations were replaced by one before the first release."""

# As Alembic makes it.
_VERSION = Table(
    "alembic_version",
    MetaData(naming_convention={"pk": "%(table_name)s_pkc"}),
    Column("version_num", String(32), primary_key=True, nullable=False),
)


def current(connection: Connection) -> str | None:
    """The revision of a database, or None where it has no table of ours."""
    if not inspect(connection).has_table(_VERSION.name):
        return None
    revision: str | None = connection.execute(select(_VERSION.c.version_num)).scalar()
    return revision


def bring_to_head(connection: Connection, place: str) -> None:
    """Make or migrate the schema, within the caller's transaction: all of it, or nothing.

    Raises NewerSchema where the revision is not one of ours, ForeignDatabase where the tables are not.
    """
    revision = current(connection)
    if revision == HEAD:
        return
    if revision is None:
        others = sorted(inspect(connection).get_table_names())
        if others:
            raise ForeignDatabase(
                f"{place} is not a database of Sekisho's (it has the table {others[0]!r})."
                " Name another data folder, or a database of its own."
            )
        load_all(connection.dialect.name).create_all(connection, checkfirst=False)
        _VERSION.create(connection, checkfirst=False)
        connection.execute(_VERSION.insert(), {"version_num": HEAD})
        return

    from sekisho.store.migrations import is_known, upgrade

    if revision in _UNRELEASED:
        raise ForeignDatabase(
            f"{place} has the schema {revision!r} of a build from before the first release, which this Sekisho does not"
            " migrate. Start the last build from before it once on this database, or name another data folder."
        )
    if not is_known(revision):
        raise NewerSchema(
            f"{place} has the schema {revision!r}, which this Sekisho (up to {HEAD!r}) does not know: a newer one has"
            " written it. Upgrade Sekisho, or restore a backup from before."
        )
    upgrade(connection)
