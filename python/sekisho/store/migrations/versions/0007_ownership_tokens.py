"""Ownership tokens of certificates that wait for their device."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "ownership_tokens",
        sa.Column("account_id", TEXT, nullable=False),
        sa.Column("region", TEXT, nullable=False),
        sa.Column("token_sha256", TEXT, nullable=False),
        sa.Column("certificate_id", TEXT, nullable=False),
        sa.Column("claim_certificate_id", TEXT, nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "region", "token_sha256", name=op.f("pk_ownership_tokens")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_ownership_tokens_expires_at"), "ownership_tokens", ["expires_at"])
    op.create_index(
        op.f("ix_ownership_tokens_account_id_region_certificate_id"),
        "ownership_tokens",
        ["account_id", "region", "certificate_id"],
    )
