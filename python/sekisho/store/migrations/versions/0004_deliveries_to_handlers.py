"""Deliveries of events to handlers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "deliveries",
        sa.Column("seq", NUMBER, sa.Identity(), nullable=False),
        sa.Column("account_id", TEXT, nullable=False),
        sa.Column("region", TEXT, nullable=False),
        sa.Column("handler", TEXT, nullable=False),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.BigInteger(), nullable=False),
        sa.Column("last_error", TEXT, nullable=True),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_deliveries")),
        sa.UniqueConstraint(
            "handler", "subject", "account_id", "region", name=op.f("uq_deliveries_handler_subject_account_id_region")
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_deliveries_handler_state_next_attempt_at_seq"),
        "deliveries",
        ["handler", "state", "next_attempt_at", "seq"],
        unique=False,
    )
