"""Migrates databases of earlier versions, with Alembic and without an ini file.

A new migration begins as ``alembic -x url=sqlite:////tmp/old.db revision --autogenerate --rev-id NNNN -m "..."`` in
the repository, on a database at the last revision.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection

FOLDER = Path(__file__).parent


def configuration() -> Config:
    """Return Alembic's configuration."""
    config = Config()
    # In Alembic's options % begins an interpolation.
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    return config


def head() -> str | None:
    """Return the newest revision."""
    return ScriptDirectory.from_config(configuration()).get_current_head()


def is_known(revision: str) -> bool:
    """Return whether this version has the revision."""
    try:
        found = ScriptDirectory.from_config(configuration()).get_revision(revision)
    except CommandError:
        return False
    # Alembic also accepts the beginning of a revision's name.
    return found is not None and found.revision == revision


def upgrade(connection: Connection) -> None:
    """Migrate a database to the newest revision, in the transaction of ``connection``."""
    config = configuration()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
