"""An index for turns between the accounts whose events wait for one handler."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Make the index."""
    op.create_index(
        op.f("ix_deliveries_handler_state_account_id_next_attempt_at_seq"),
        "deliveries",
        ["handler", "state", "account_id", "next_attempt_at", "seq"],
    )
