"""Whether a certificate waits for its device is asked when it connects."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Make the index."""
    op.create_index(
        op.f("ix_ownership_tokens_account_id_region_certificate_id"),
        "ownership_tokens",
        ["account_id", "region", "certificate_id"],
    )
