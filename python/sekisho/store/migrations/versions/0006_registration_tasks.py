"""Bulk registrations and their reports."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "registration_tasks",
        sa.Column("seq", NUMBER, sa.Identity(), nullable=False),
        sa.Column("account_id", TEXT, nullable=False),
        sa.Column("region", TEXT, nullable=False),
        sa.Column("task_id", TEXT, nullable=False),
        sa.Column("template_body", TEXT, nullable=False),
        sa.Column("input_bucket", TEXT, nullable=False),
        sa.Column("input_key", TEXT, nullable=False),
        sa.Column("role_arn", TEXT, nullable=False),
        sa.Column("report_token", TEXT, nullable=False),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("message", TEXT),
        sa.Column("success_count", sa.BigInteger(), nullable=False),
        sa.Column("failure_count", sa.BigInteger(), nullable=False),
        sa.Column("lines_done", sa.BigInteger(), nullable=False),
        sa.Column("bytes_done", sa.BigInteger(), nullable=False),
        sa.Column("input_bytes", sa.BigInteger()),
        sa.Column("input_version", TEXT),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("modified_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_registration_tasks")),
        sa.UniqueConstraint(
            "task_id", "account_id", "region", name=op.f("uq_registration_tasks_task_id_account_id_region")
        ),
        sqlite_autoincrement=True,
    )
    for columns in (
        ["account_id", "region", "seq"],
        ["account_id", "region", "status", "seq"],
        ["status", "account_id", "seq"],
        ["status", "modified_at"],
    ):
        op.create_index(op.f(f"ix_registration_tasks_{'_'.join(columns)}"), "registration_tasks", columns)
    op.create_table(
        "registration_task_reports",
        sa.Column("account_id", TEXT, nullable=False),
        sa.Column("region", TEXT, nullable=False),
        sa.Column("task_id", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("line", sa.BigInteger(), nullable=False),
        sa.Column("content", TEXT, nullable=False),
        sa.PrimaryKeyConstraint(
            "task_id", "account_id", "region", "kind", "number", "line", name=op.f("pk_registration_task_reports")
        ),
        sa.ForeignKeyConstraint(
            ["task_id", "account_id", "region"],
            ["registration_tasks.task_id", "registration_tasks.account_id", "registration_tasks.region"],
            name=op.f("fk_registration_task_reports_registration_tasks"),
            ondelete="CASCADE",
        ),
    )
