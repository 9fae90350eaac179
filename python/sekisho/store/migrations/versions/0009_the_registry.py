"""The tables of the first release.

Its number is that of the last of the nine migrations that it replaces: none of them was released, and a database that
has them all is at this revision.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def seq() -> sa.Column[int]:
    """Return the column of the order of creation."""
    return sa.Column("seq", NUMBER, sa.Identity(), nullable=False)


def realm() -> tuple[sa.Column[str], sa.Column[str]]:
    """Return the columns of the realm."""
    return sa.Column("account_id", TEXT, nullable=False), sa.Column("region", TEXT, nullable=False)


def upgrade() -> None:
    """Create every table."""
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
    op.create_index(op.f("ix_ca_certificates_subject_sha256_seq"), "ca_certificates", ["subject_sha256", "seq"])
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
        op.f("ix_certificate_providers_account_id_region_seq"), "certificate_providers", ["account_id", "region", "seq"]
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
        sa.Column("signed_sha256", sa.LargeBinary(), nullable=True),
        sa.Column("issuer_serial_sha256", sa.LargeBinary(), nullable=True),
        sa.Column("public_key_sha256", sa.LargeBinary(), nullable=True),
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
    op.create_index(
        "ix_certificates_revoked_issuer_serial_sha256",
        "certificates",
        ["account_id", "region", "issuer_serial_sha256"],
        sqlite_where=sa.text("status = 'REVOKED'"),
        postgresql_where=sa.text("status = 'REVOKED'"),
    )
    op.create_index(
        "ix_certificates_revoked_public_key_sha256",
        "certificates",
        ["account_id", "region", "public_key_sha256"],
        sqlite_where=sa.text("status = 'REVOKED'"),
        postgresql_where=sa.text("status = 'REVOKED'"),
    )
    op.create_index(
        op.f("ix_certificates_signed_sha256_account_id_region"),
        "certificates",
        ["signed_sha256", "account_id", "region"],
    )
    op.create_table(
        "deliveries",
        seq(),
        *realm(),
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
        op.f("ix_deliveries_handler_state_account_id_next_attempt_at_seq"),
        "deliveries",
        ["handler", "state", "account_id", "next_attempt_at", "seq"],
    )
    op.create_index(
        op.f("ix_deliveries_handler_state_next_attempt_at_seq"),
        "deliveries",
        ["handler", "state", "next_attempt_at", "seq"],
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
        "ownership_tokens",
        *realm(),
        sa.Column("token_sha256", TEXT, nullable=False),
        sa.Column("certificate_id", TEXT, nullable=False),
        sa.Column("claim_certificate_id", TEXT, nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "region", "token_sha256", name=op.f("pk_ownership_tokens")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_ownership_tokens_account_id_region_certificate_id"),
        "ownership_tokens",
        ["account_id", "region", "certificate_id"],
    )
    op.create_index(op.f("ix_ownership_tokens_expires_at"), "ownership_tokens", ["expires_at"])
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
        "registration_codes",
        *realm(),
        sa.Column("code", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "region", name=op.f("pk_registration_codes")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "registration_tasks",
        seq(),
        *realm(),
        sa.Column("task_id", TEXT, nullable=False),
        sa.Column("template_body", TEXT, nullable=False),
        sa.Column("input_bucket", TEXT, nullable=False),
        sa.Column("input_key", TEXT, nullable=False),
        sa.Column("role_arn", TEXT, nullable=False),
        sa.Column("report_token", TEXT, nullable=False),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("message", TEXT, nullable=True),
        sa.Column("success_count", sa.BigInteger(), nullable=False),
        sa.Column("failure_count", sa.BigInteger(), nullable=False),
        sa.Column("lines_done", sa.BigInteger(), nullable=False),
        sa.Column("bytes_done", sa.BigInteger(), nullable=False),
        sa.Column("input_bytes", sa.BigInteger(), nullable=True),
        sa.Column("input_version", TEXT, nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("modified_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_registration_tasks")),
        sa.UniqueConstraint(
            "task_id", "account_id", "region", name=op.f("uq_registration_tasks_task_id_account_id_region")
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_registration_tasks_account_id_region_seq"), "registration_tasks", ["account_id", "region", "seq"]
    )
    op.create_index(
        op.f("ix_registration_tasks_account_id_region_status_seq"),
        "registration_tasks",
        ["account_id", "region", "status", "seq"],
    )
    op.create_index(
        op.f("ix_registration_tasks_status_account_id_seq"), "registration_tasks", ["status", "account_id", "seq"]
    )
    op.create_index(op.f("ix_registration_tasks_status_modified_at"), "registration_tasks", ["status", "modified_at"])
    op.create_table(
        "rotations",
        seq(),
        *realm(),
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
        op.f("ix_rotations_account_id_region_ca_certificate_id_state_seq"),
        "rotations",
        ["account_id", "region", "ca_certificate_id", "state", "seq"],
        sqlite_where=sa.text("ca_certificate_id IS NOT NULL"),
        postgresql_where=sa.text("ca_certificate_id IS NOT NULL"),
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
        "ux_rotations_pending_new",
        "rotations",
        ["new_certificate_id", "account_id", "region"],
        unique=True,
        sqlite_where=sa.text("state = 'PENDING'"),
        postgresql_where=sa.text("state = 'PENDING'"),
    )
    op.create_index(
        "ux_rotations_pending_old",
        "rotations",
        ["account_id", "region", "old_certificate_id"],
        unique=True,
        sqlite_where=sa.text("state = 'PENDING'"),
        postgresql_where=sa.text("state = 'PENDING'"),
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
    op.create_index(
        op.f("ix_thing_groups_account_id_region_parent_name_seq"),
        "thing_groups",
        ["account_id", "region", "parent_name", "seq"],
    )
    op.create_index(op.f("ix_thing_groups_account_id_region_seq"), "thing_groups", ["account_id", "region", "seq"])
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
    op.create_index(
        op.f("ix_things_account_id_region_billing_group_name_seq"),
        "things",
        ["account_id", "region", "billing_group_name", "seq"],
        sqlite_where=sa.text("billing_group_name IS NOT NULL"),
        postgresql_where=sa.text("billing_group_name IS NOT NULL"),
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
        op.f("ix_attachments_account_id_region_thing_name_seq"),
        "attachments",
        ["account_id", "region", "thing_name", "seq"],
    )
    op.create_index(
        op.f("ix_attachments_principal_account_id_region_seq"),
        "attachments",
        ["principal", "account_id", "region", "seq"],
    )
    op.create_table(
        "memberships",
        seq(),
        *realm(),
        sa.Column("thing_name", TEXT, nullable=False),
        sa.Column("group_name", TEXT, nullable=False),
        sa.Column("member_of", TEXT, nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id", "region", "member_of"],
            ["thing_groups.account_id", "thing_groups.region", "thing_groups.name"],
            name=op.f("fk_memberships_thing_groups"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["account_id", "region", "thing_name"],
            ["things.account_id", "things.region", "things.name"],
            name=op.f("fk_memberships_things"),
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
        "registration_task_reports",
        *realm(),
        sa.Column("task_id", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("line", sa.BigInteger(), nullable=False),
        sa.Column("content", TEXT, nullable=False),
        sa.ForeignKeyConstraint(
            ["task_id", "account_id", "region"],
            ["registration_tasks.task_id", "registration_tasks.account_id", "registration_tasks.region"],
            name=op.f("fk_registration_task_reports_registration_tasks"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "task_id", "account_id", "region", "kind", "number", "line", name=op.f("pk_registration_task_reports")
        ),
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
