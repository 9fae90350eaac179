"""Rotations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
OF_A_CA = sa.text("ca_certificate_id IS NOT NULL")
PENDING = sa.text("state = 'PENDING'")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "rotations",
        sa.Column("seq", NUMBER, sa.Identity(), nullable=False),
        sa.Column("account_id", TEXT, nullable=False),
        sa.Column("region", TEXT, nullable=False),
        sa.Column("old_certificate_id", TEXT, nullable=False),
        sa.Column("new_certificate_id", TEXT, nullable=False),
        sa.Column("ca_certificate_id", TEXT, nullable=True),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("state", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_rotations")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_rotations_account_id_region_old_certificate_id_seq"),
        "rotations",
        ["account_id", "region", "old_certificate_id", "seq"],
    )
    op.create_index(
        op.f("ix_rotations_account_id_region_state_seq"), "rotations", ["account_id", "region", "state", "seq"]
    )
    op.create_index(
        op.f("ix_rotations_account_id_region_ca_certificate_id_state_seq"),
        "rotations",
        ["account_id", "region", "ca_certificate_id", "state", "seq"],
        sqlite_where=OF_A_CA,
        postgresql_where=OF_A_CA,
    )
    op.create_index(
        "ux_rotations_pending_old",
        "rotations",
        ["account_id", "region", "old_certificate_id"],
        unique=True,
        sqlite_where=PENDING,
        postgresql_where=PENDING,
    )
    op.create_index(
        "ux_rotations_pending_new",
        "rotations",
        ["new_certificate_id", "account_id", "region"],
        unique=True,
        sqlite_where=PENDING,
        postgresql_where=PENDING,
    )
