"""Types and groups of things."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def seq() -> sa.Column[int]:
    """The order of creation."""
    return sa.Column("seq", NUMBER, sa.Identity(), nullable=False)


def realm() -> tuple[sa.Column[str], sa.Column[str]]:
    """Account and region."""
    return sa.Column("account_id", TEXT, nullable=False), sa.Column("region", TEXT, nullable=False)


def upgrade() -> None:
    """Make thing types, thing groups and billing groups, and find things by their billing group."""
    op.create_index(
        op.f("ix_things_account_id_region_billing_group_name_seq"),
        "things",
        ["account_id", "region", "billing_group_name", "seq"],
        sqlite_where=sa.text("billing_group_name IS NOT NULL"),
        postgresql_where=sa.text("billing_group_name IS NOT NULL"),
    )
    op.create_table(
        "thing_types",
        seq(),
        *realm(),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("type_id", TEXT, nullable=False),
        sa.Column("description", TEXT, nullable=True),
        sa.Column("searchable_attributes", sa.JSON(), nullable=False),
        sa.Column("propagating_attributes", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("deprecated_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_thing_types")),
        sa.UniqueConstraint("account_id", "region", "name", name=op.f("uq_thing_types_account_id_region_name")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_thing_types_account_id_region_seq"), "thing_types", ["account_id", "region", "seq"])
    op.create_table(
        "thing_groups",
        seq(),
        *realm(),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("group_id", TEXT, nullable=False),
        sa.Column("parent_name", TEXT, nullable=False),
        sa.Column("ancestors", sa.JSON(), nullable=False),
        sa.Column("description", TEXT, nullable=True),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_thing_groups")),
        sa.UniqueConstraint("account_id", "region", "name", name=op.f("uq_thing_groups_account_id_region_name")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_thing_groups_account_id_region_seq"), "thing_groups", ["account_id", "region", "seq"])
    op.create_index(
        op.f("ix_thing_groups_account_id_region_parent_name_seq"),
        "thing_groups",
        ["account_id", "region", "parent_name", "seq"],
    )
    op.create_table(
        "thing_group_ancestors",
        sa.Column("group_seq", NUMBER, nullable=False),
        *realm(),
        sa.Column("ancestor", TEXT, nullable=False),
        sa.ForeignKeyConstraint(
            ["group_seq"], ["thing_groups.seq"], name=op.f("fk_thing_group_ancestors_thing_groups"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("group_seq", "ancestor", name=op.f("pk_thing_group_ancestors")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_thing_group_ancestors_account_id_region_ancestor_group_seq"),
        "thing_group_ancestors",
        ["account_id", "region", "ancestor", "group_seq"],
    )
    op.create_table(
        "memberships",
        seq(),
        *realm(),
        sa.Column("thing_name", TEXT, nullable=False),
        sa.Column("group_name", TEXT, nullable=False),
        sa.Column("member_of", TEXT, nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id", "region", "thing_name"],
            ["things.account_id", "things.region", "things.name"],
            name=op.f("fk_memberships_things"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["account_id", "region", "member_of"],
            ["thing_groups.account_id", "thing_groups.region", "thing_groups.name"],
            name=op.f("fk_memberships_thing_groups"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_memberships")),
        sa.UniqueConstraint(
            "account_id",
            "region",
            "thing_name",
            "group_name",
            name=op.f("uq_memberships_account_id_region_thing_name_group_name"),
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_memberships_account_id_region_group_name_seq"),
        "memberships",
        ["account_id", "region", "group_name", "seq"],
    )
    op.create_index(
        op.f("ix_memberships_account_id_region_member_of_group_name_seq"),
        "memberships",
        ["account_id", "region", "member_of", "group_name", "seq"],
    )
    op.create_table(
        "billing_groups",
        seq(),
        *realm(),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("group_id", TEXT, nullable=False),
        sa.Column("description", TEXT, nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_billing_groups")),
        sa.UniqueConstraint("account_id", "region", "name", name=op.f("uq_billing_groups_account_id_region_name")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_billing_groups_account_id_region_seq"), "billing_groups", ["account_id", "region", "seq"])
