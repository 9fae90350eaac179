"""An account has one prefix in all regions: prefixes of endpoints are unique within a region."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Replace the constraint. SQLite can do so only by copying the table."""
    with op.batch_alter_table("endpoints", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.drop_constraint(op.f("uq_endpoints_prefix"), type_="unique")
        table.create_unique_constraint(op.f("uq_endpoints_prefix_region"), ["prefix", "region"])
