"""Provisioning templates, provisioning claims and certificate providers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def seq() -> sa.Column[int]:
    """The order of creation."""
    return sa.Column("seq", NUMBER, sa.Identity(), nullable=False)


def realm() -> tuple[sa.Column[str], sa.Column[str]]:
    """Account and region."""
    return sa.Column("account_id", TEXT, nullable=False), sa.Column("region", TEXT, nullable=False)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "provisioning_templates",
        seq(),
        *realm(),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("type", TEXT, nullable=False),
        sa.Column("description", TEXT, nullable=True),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("role_arn", TEXT, nullable=False),
        sa.Column("hook_target_arn", TEXT, nullable=True),
        sa.Column("hook_payload_version", TEXT, nullable=True),
        sa.Column("default_version_id", sa.Integer(), nullable=False),
        sa.Column("last_version_id", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("modified_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_provisioning_templates")),
        sa.UniqueConstraint(
            "account_id", "region", "name", name=op.f("uq_provisioning_templates_account_id_region_name")
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_provisioning_templates_account_id_region_seq"),
        "provisioning_templates",
        ["account_id", "region", "seq"],
    )
    op.create_table(
        "provisioning_template_versions",
        *realm(),
        sa.Column("template_name", TEXT, nullable=False),
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.Column("body", TEXT, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id", "region", "template_name"],
            ["provisioning_templates.account_id", "provisioning_templates.region", "provisioning_templates.name"],
            name=op.f("fk_provisioning_template_versions_provisioning_templates"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "account_id", "region", "template_name", "version_id", name=op.f("pk_provisioning_template_versions")
        ),
    )
    op.create_table(
        "provisioning_claims",
        seq(),
        *realm(),
        sa.Column("certificate_id", TEXT, nullable=False),
        sa.Column("certificate_pem", TEXT, nullable=False),
        sa.Column("template_name", TEXT, nullable=False),
        sa.Column("not_before", sa.BigInteger(), nullable=False),
        sa.Column("not_after", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id", "region", "template_name"],
            ["provisioning_templates.account_id", "provisioning_templates.region", "provisioning_templates.name"],
            name=op.f("fk_provisioning_claims_provisioning_templates"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_provisioning_claims")),
        sa.UniqueConstraint("certificate_id", name=op.f("uq_provisioning_claims_certificate_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_provisioning_claims_account_id_region_template_name_seq"),
        "provisioning_claims",
        ["account_id", "region", "template_name", "seq"],
    )
    op.create_index(op.f("ix_provisioning_claims_not_after"), "provisioning_claims", ["not_after"])
    op.create_table(
        "certificate_providers",
        seq(),
        *realm(),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("function_arn", TEXT, nullable=False),
        sa.Column("operations", sa.JSON(), nullable=False),
        sa.Column("client_token", TEXT, nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("modified_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_certificate_providers")),
        sa.UniqueConstraint(
            "account_id", "region", "name", name=op.f("uq_certificate_providers_account_id_region_name")
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_certificate_providers_account_id_region_seq"),
        "certificate_providers",
        ["account_id", "region", "seq"],
    )
