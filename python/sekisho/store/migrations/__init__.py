"""How a database of an earlier Sekisho becomes one of today's. Alembic, with no ini file.

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
    """Alembic's configuration, wherever the package is installed."""
    config = Config()
    # % begins an interpolation in what Alembic reads.
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    return config


def head() -> str | None:
    """The newest revision."""
    return ScriptDirectory.from_config(configuration()).get_current_head()


def is_known(revision: str) -> bool:
    """Whether ``revision`` is one of ours."""
    try:
        found = ScriptDirectory.from_config(configuration()).get_revision(revision)
    except CommandError:
        return False
    # Alembic also takes the beginning of a revision's name for it.
    return found is not None and found.revision == revision


def upgrade(connection: Connection) -> None:
    """Bring a database to the newest revision, in the transaction that ``connection`` has begun."""
    config = configuration()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
