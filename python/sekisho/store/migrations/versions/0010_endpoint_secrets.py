"""The secret that prefixes of endpoints are derived from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "endpoint_secrets",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("secret", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_endpoint_secrets")),
    )
