"""The registry as it began."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def seq() -> sa.Column[int]:
    """The order of creation."""
    return sa.Column("seq", NUMBER, sa.Identity(), nullable=False)


def realm() -> tuple[sa.Column[str], sa.Column[str]]:
    """Account and region."""
    return sa.Column("account_id", TEXT, nullable=False), sa.Column("region", TEXT, nullable=False)


def upgrade() -> None:
    """Make every table."""
    op.create_table(
        "accounts",
        seq(),
        sa.Column("account_id", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_accounts")),
        sa.UniqueConstraint("account_id", name=op.f("uq_accounts_account_id")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "ca_certificates",
        seq(),
        *realm(),
        sa.Column("certificate_id", TEXT, nullable=False),
        sa.Column("certificate_pem", TEXT, nullable=False),
        sa.Column("subject", sa.LargeBinary(), nullable=False),
        sa.Column("subject_sha256", TEXT, nullable=False),
        sa.Column("public_key_id", TEXT, nullable=False),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("mode", TEXT, nullable=False),
        sa.Column("auto_registration_status", TEXT, nullable=False),
        sa.Column("template_body", TEXT, nullable=True),
        sa.Column("role_arn", TEXT, nullable=True),
        sa.Column("template_name", TEXT, nullable=True),
        sa.Column("not_before", sa.BigInteger(), nullable=False),
        sa.Column("not_after", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("modified_at", sa.BigInteger(), nullable=False),
        sa.Column("customer_version", sa.Integer(), nullable=False),
        sa.Column("generation_id", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_ca_certificates")),
        sa.UniqueConstraint(
            "certificate_id", "region", "account_id", name=op.f("uq_ca_certificates_certificate_id_region_account_id")
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_ca_certificates_account_id_region_seq"), "ca_certificates", ["account_id", "region", "seq"]
    )
    op.create_index(
        op.f("ix_ca_certificates_account_id_region_subject_sha256_seq"),
        "ca_certificates",
        ["account_id", "region", "subject_sha256", "seq"],
    )
    op.create_index(
        op.f("ix_ca_certificates_account_id_region_template_name_seq"),
        "ca_certificates",
        ["account_id", "region", "template_name", "seq"],
        sqlite_where=sa.text("template_name IS NOT NULL"),
        postgresql_where=sa.text("template_name IS NOT NULL"),
    )
    op.create_table(
        "certificates",
        seq(),
        *realm(),
        sa.Column("certificate_id", TEXT, nullable=False),
        sa.Column("certificate_pem", TEXT, nullable=False),
        sa.Column("ca_certificate_id", TEXT, nullable=True),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("mode", TEXT, nullable=False),
        sa.Column("not_before", sa.BigInteger(), nullable=False),
        sa.Column("not_after", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("modified_at", sa.BigInteger(), nullable=False),
        sa.Column("customer_version", sa.Integer(), nullable=False),
        sa.Column("generation_id", TEXT, nullable=False),
        sa.Column("previous_owned_by", TEXT, nullable=True),
        sa.Column("transfer_message", TEXT, nullable=True),
        sa.Column("transfer_reject_reason", TEXT, nullable=True),
        sa.Column("transferred_at", sa.BigInteger(), nullable=True),
        sa.Column("transfer_accepted_at", sa.BigInteger(), nullable=True),
        sa.Column("transfer_rejected_at", sa.BigInteger(), nullable=True),
        sa.Column("transferred_to", TEXT, nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_certificates")),
        sa.UniqueConstraint(
            "certificate_id", "account_id", "region", name=op.f("uq_certificates_certificate_id_account_id_region")
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_certificates_account_id_region_ca_certificate_id_seq"),
        "certificates",
        ["account_id", "region", "ca_certificate_id", "seq"],
        sqlite_where=sa.text("ca_certificate_id IS NOT NULL"),
        postgresql_where=sa.text("ca_certificate_id IS NOT NULL"),
    )
    op.create_index(op.f("ix_certificates_account_id_region_seq"), "certificates", ["account_id", "region", "seq"])
    op.create_index(
        "ix_certificates_outgoing",
        "certificates",
        ["account_id", "region", "seq"],
        sqlite_where=sa.text("status = 'PENDING_TRANSFER' AND transferred_to IS NOT NULL"),
        postgresql_where=sa.text("status = 'PENDING_TRANSFER' AND transferred_to IS NOT NULL"),
    )
    op.create_table(
        "endpoints",
        seq(),
        *realm(),
        sa.Column("prefix", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_endpoints")),
        sa.UniqueConstraint("account_id", "region", name=op.f("uq_endpoints_account_id_region")),
        sa.UniqueConstraint("prefix", name=op.f("uq_endpoints_prefix")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "outbox",
        seq(),
        *realm(),
        sa.Column("topic", TEXT, nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_outbox")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "policies",
        seq(),
        *realm(),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("default_version_id", sa.Integer(), nullable=False),
        sa.Column("last_version_id", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("modified_at", sa.BigInteger(), nullable=False),
        sa.Column("generation_id", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_policies")),
        sa.UniqueConstraint("account_id", "region", "name", name=op.f("uq_policies_account_id_region_name")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_policies_account_id_region_seq"), "policies", ["account_id", "region", "seq"])
    op.create_table(
        "registration_codes",
        *realm(),
        sa.Column("code", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "region", name=op.f("pk_registration_codes")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "tags",
        *realm(),
        sa.Column("resource_arn", TEXT, nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.Column("value", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "region", "resource_arn", "key", name=op.f("pk_tags")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "things",
        seq(),
        *realm(),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("thing_id", TEXT, nullable=False),
        sa.Column("type_name", TEXT, nullable=True),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.Column("billing_group_name", TEXT, nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_things")),
        sa.UniqueConstraint("account_id", "region", "name", name=op.f("uq_things_account_id_region_name")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_things_account_id_region_seq"), "things", ["account_id", "region", "seq"])
    op.create_index(
        op.f("ix_things_account_id_region_type_name_seq"),
        "things",
        ["account_id", "region", "type_name", "seq"],
        sqlite_where=sa.text("type_name IS NOT NULL"),
        postgresql_where=sa.text("type_name IS NOT NULL"),
    )
    op.create_table(
        "access_keys",
        seq(),
        sa.Column("access_key_id", TEXT, nullable=False),
        sa.Column("account_id", TEXT, nullable=False),
        sa.Column("secret_access_key", TEXT, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name=op.f("fk_access_keys_accounts")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_access_keys")),
        sa.UniqueConstraint("access_key_id", name=op.f("uq_access_keys_access_key_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_access_keys_account_id_seq"), "access_keys", ["account_id", "seq"])
    op.create_table(
        "attachments",
        seq(),
        *realm(),
        sa.Column("thing_name", TEXT, nullable=False),
        sa.Column("principal", TEXT, nullable=False),
        sa.Column("type", TEXT, nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id", "region", "thing_name"],
            ["things.account_id", "things.region", "things.name"],
            name=op.f("fk_attachments_things"),
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_attachments")),
        sa.UniqueConstraint(
            "account_id",
            "region",
            "thing_name",
            "principal",
            name=op.f("uq_attachments_account_id_region_thing_name_principal"),
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_attachments_principal_account_id_region_seq"),
        "attachments",
        ["principal", "account_id", "region", "seq"],
    )
    op.create_index(
        op.f("ix_attachments_account_id_region_thing_name_seq"),
        "attachments",
        ["account_id", "region", "thing_name", "seq"],
    )
    op.create_table(
        "policy_targets",
        seq(),
        *realm(),
        sa.Column("policy_name", TEXT, nullable=False),
        sa.Column("target", TEXT, nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id", "region", "policy_name"],
            ["policies.account_id", "policies.region", "policies.name"],
            name=op.f("fk_policy_targets_policies"),
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_policy_targets")),
        sa.UniqueConstraint(
            "target",
            "account_id",
            "region",
            "policy_name",
            name=op.f("uq_policy_targets_target_account_id_region_policy_name"),
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_policy_targets_account_id_region_policy_name_seq"),
        "policy_targets",
        ["account_id", "region", "policy_name", "seq"],
    )
    op.create_table(
        "policy_versions",
        *realm(),
        sa.Column("policy_name", TEXT, nullable=False),
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.Column("document", TEXT, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id", "region", "policy_name"],
            ["policies.account_id", "policies.region", "policies.name"],
            name=op.f("fk_policy_versions_policies"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_id", "region", "policy_name", "version_id", name=op.f("pk_policy_versions")),
    )
    op.create_table(
        "thing_attributes",
        sa.Column("thing_seq", NUMBER, nullable=False),
        *realm(),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("value", TEXT, nullable=False),
        sa.ForeignKeyConstraint(
            ["thing_seq"], ["things.seq"], name=op.f("fk_thing_attributes_things"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("thing_seq", "name", name=op.f("pk_thing_attributes")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_thing_attributes_account_id_region_name_value_thing_seq"),
        "thing_attributes",
        ["account_id", "region", "name", "value", "thing_seq"],
    )
