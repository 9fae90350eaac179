"""Every table.

Rules that hold for all of them:

- What belongs to a realm has ``account_id`` and ``region``.
- What can be listed has ``seq``: the order of creation, never used twice, the place where a page goes on.
- Every query of the ports reads an index from front to back and stops; ``tests/store/test_query_plans.py`` asks the
  database. An index that serves one query only says which.
- Text compares byte by byte on both databases, so that equality, order and prefixes mean the same.
- An instant is a whole number of microseconds since 1970-01-01T00:00:00Z.

A change here comes with a migration in ``migrations/versions`` and the new ``HEAD`` in ``schema_version.py``; tests
compare the two.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.engine import Dialect

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)


class Instant(TypeDecorator[datetime]):
    """A timezone-aware datetime, kept as microseconds since 1970 in UTC: exact, and the same on every database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Refuses a datetime without time zone: it would mean another instant on another machine."""
        del dialect
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time that is kept needs a time zone")
        return (value - EPOCH) // MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        """UTC."""
        del dialect
        return None if value is None else EPOCH + timedelta(microseconds=value)


# PostgreSQL would otherwise order by the collation of the database, and could not use an index for a prefix.
String = Text().with_variant(Text(collation="C"), "postgresql")

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _seq() -> Column[int]:
    # SQLite increments only what is called INTEGER.
    return Column("seq", BigInteger().with_variant(Integer, "sqlite"), Identity(), primary_key=True)


def _realm() -> tuple[Column[str], Column[str]]:
    return Column("account_id", String, nullable=False), Column("region", String, nullable=False)


def _listed(name: str, *parts: Any) -> Table:
    """A table in order of creation. AUTOINCREMENT: the number of a removed last row is not given again."""
    return Table(name, metadata, _seq(), *parts, sqlite_autoincrement=True)


ca_certificates = _listed(
    "ca_certificates",
    *_realm(),
    Column("certificate_id", String, nullable=False),
    Column("certificate_pem", String, nullable=False),
    Column("subject", LargeBinary, nullable=False),
    # A name may be longer than an index entry of PostgreSQL; its digest is not.
    Column("subject_sha256", String, nullable=False),
    Column("public_key_id", String, nullable=False),
    Column("status", String, nullable=False),
    Column("mode", String, nullable=False),
    Column("auto_registration_status", String, nullable=False),
    Column("template_body", String),
    Column("role_arn", String),
    Column("template_name", String),
    Column("not_before", Instant, nullable=False),
    Column("not_after", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("modified_at", Instant, nullable=False),
    Column("customer_version", Integer, nullable=False),
    Column("generation_id", String, nullable=False),
    # In this order it answers ``elsewhere`` too.
    UniqueConstraint("certificate_id", "region", "account_id"),
    Index(None, "account_id", "region", "seq"),
    Index(None, "account_id", "region", "subject_sha256", "seq"),
    # For ``with_subject_elsewhere``.
    Index(None, "subject_sha256", "seq"),
)
Index(
    None,
    ca_certificates.c.account_id,
    ca_certificates.c.region,
    ca_certificates.c.template_name,
    ca_certificates.c.seq,
    sqlite_where=ca_certificates.c.template_name.is_not(None),
    postgresql_where=ca_certificates.c.template_name.is_not(None),
)

certificates = _listed(
    "certificates",
    *_realm(),
    Column("certificate_id", String, nullable=False),
    Column("certificate_pem", String, nullable=False),
    # No foreign key: a CA may go, what it signed stays.
    Column("ca_certificate_id", String),
    Column("status", String, nullable=False),
    Column("mode", String, nullable=False),
    Column("not_before", Instant, nullable=False),
    Column("not_after", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("modified_at", Instant, nullable=False),
    Column("customer_version", Integer, nullable=False),
    Column("generation_id", String, nullable=False),
    Column("previous_owned_by", String),
    Column("transfer_message", String),
    Column("transfer_reject_reason", String),
    Column("transferred_at", Instant),
    Column("transfer_accepted_at", Instant),
    Column("transfer_rejected_at", Instant),
    Column("transferred_to", String),
    # Fingerprints; missing where the certificate could not be read when they were introduced.
    Column("signed_sha256", LargeBinary),
    Column("issuer_serial_sha256", LargeBinary),
    Column("public_key_sha256", LargeBinary),
    # In this order it answers ``everywhere`` too.
    UniqueConstraint("certificate_id", "account_id", "region"),
    Index(None, "account_id", "region", "seq"),
    # For ``kin``. A certificate is in few realms.
    Index(None, "signed_sha256", "account_id", "region"),
)
# For ``kin``; a literal, as below.
REVOKED: Final = text("status = 'REVOKED'")
for _column in (certificates.c.issuer_serial_sha256, certificates.c.public_key_sha256):
    Index(
        f"ix_certificates_revoked_{_column.name}",
        certificates.c.account_id,
        certificates.c.region,
        _column,
        sqlite_where=REVOKED,
        postgresql_where=REVOKED,
    )
Index(
    None,
    certificates.c.account_id,
    certificates.c.region,
    certificates.c.ca_certificate_id,
    certificates.c.seq,
    sqlite_where=certificates.c.ca_certificate_id.is_not(None),
    postgresql_where=certificates.c.ca_certificate_id.is_not(None),
)
# A literal, since a partial index serves no condition with a parameter.
OUTGOING: Final = text("status = 'PENDING_TRANSFER' AND transferred_to IS NOT NULL")
Index(
    "ix_certificates_outgoing",
    certificates.c.account_id,
    certificates.c.region,
    certificates.c.seq,
    sqlite_where=OUTGOING,
    postgresql_where=OUTGOING,
)

things = _listed(
    "things",
    *_realm(),
    Column("name", String, nullable=False),
    Column("thing_id", String, nullable=False),
    Column("type_name", String),
    Column("attributes", JSON, nullable=False),
    Column("billing_group_name", String),
    Column("version", BigInteger, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("account_id", "region", "name"),
    Index(None, "account_id", "region", "seq"),
)
Index(
    None,
    things.c.account_id,
    things.c.region,
    things.c.type_name,
    things.c.seq,
    sqlite_where=things.c.type_name.is_not(None),
    postgresql_where=things.c.type_name.is_not(None),
)

Index(
    None,
    things.c.account_id,
    things.c.region,
    things.c.billing_group_name,
    things.c.seq,
    sqlite_where=things.c.billing_group_name.is_not(None),
    postgresql_where=things.c.billing_group_name.is_not(None),
)

# The attributes of ``things`` once more, to find things by them.
thing_attributes = Table(
    "thing_attributes",
    metadata,
    Column("thing_seq", BigInteger().with_variant(Integer, "sqlite"), nullable=False),
    *_realm(),
    Column("name", String, nullable=False),
    Column("value", String, nullable=False),
    PrimaryKeyConstraint("thing_seq", "name"),
    ForeignKeyConstraint(["thing_seq"], ["things.seq"], ondelete="CASCADE"),
    Index(None, "account_id", "region", "name", "value", "thing_seq"),
    sqlite_with_rowid=False,
)

attachments = _listed(
    "attachments",
    *_realm(),
    Column("thing_name", String, nullable=False),
    Column("principal", String, nullable=False),
    Column("type", String, nullable=False),
    UniqueConstraint("account_id", "region", "thing_name", "principal"),
    ForeignKeyConstraint(["account_id", "region", "thing_name"], ["things.account_id", "things.region", "things.name"]),
    Index(None, "account_id", "region", "thing_name", "seq"),
    # Principal first, for the look-up of identities.
    Index(None, "principal", "account_id", "region", "seq"),
)

thing_types = _listed(
    "thing_types",
    *_realm(),
    Column("name", String, nullable=False),
    Column("type_id", String, nullable=False),
    Column("description", String),
    Column("searchable_attributes", JSON, nullable=False),
    Column("propagating_attributes", JSON, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("deprecated_at", Instant),
    UniqueConstraint("account_id", "region", "name"),
    Index(None, "account_id", "region", "seq"),
)

thing_groups = _listed(
    "thing_groups",
    *_realm(),
    Column("name", String, nullable=False),
    Column("group_id", String, nullable=False),
    # Empty for a root: no group has such a name, and an index finds it as it finds any other.
    Column("parent_name", String, nullable=False),
    Column("ancestors", JSON, nullable=False),
    Column("description", String),
    Column("attributes", JSON, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("account_id", "region", "name"),
    Index(None, "account_id", "region", "seq"),
    Index(None, "account_id", "region", "parent_name", "seq"),
)

# The ancestors of ``thing_groups`` once more, to find what is below a group. A group keeps its place for good, so this
# never changes, and no query has to climb a tree.
thing_group_ancestors = Table(
    "thing_group_ancestors",
    metadata,
    Column("group_seq", BigInteger().with_variant(Integer, "sqlite"), nullable=False),
    *_realm(),
    Column("ancestor", String, nullable=False),
    PrimaryKeyConstraint("group_seq", "ancestor"),
    ForeignKeyConstraint(["group_seq"], ["thing_groups.seq"], ondelete="CASCADE"),
    Index(None, "account_id", "region", "ancestor", "group_seq"),
    sqlite_with_rowid=False,
)

# A row for the group that a thing was put into (``member_of``), and one for each group above it. That a thing is in one
# group of a tree at most is the unique key: two would meet in the root.
memberships = _listed(
    "memberships",
    *_realm(),
    Column("thing_name", String, nullable=False),
    Column("group_name", String, nullable=False),
    Column("member_of", String, nullable=False),
    UniqueConstraint("account_id", "region", "thing_name", "group_name"),
    ForeignKeyConstraint(
        ["account_id", "region", "thing_name"],
        ["things.account_id", "things.region", "things.name"],
        ondelete="CASCADE",
    ),
    ForeignKeyConstraint(
        ["account_id", "region", "member_of"],
        ["thing_groups.account_id", "thing_groups.region", "thing_groups.name"],
        ondelete="CASCADE",
    ),
    Index(None, "account_id", "region", "group_name", "seq"),
    Index(None, "account_id", "region", "member_of", "group_name", "seq"),
)

billing_groups = _listed(
    "billing_groups",
    *_realm(),
    Column("name", String, nullable=False),
    Column("group_id", String, nullable=False),
    Column("description", String),
    Column("version", BigInteger, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("account_id", "region", "name"),
    Index(None, "account_id", "region", "seq"),
)

policies = _listed(
    "policies",
    *_realm(),
    Column("name", String, nullable=False),
    Column("default_version_id", Integer, nullable=False),
    Column("last_version_id", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("modified_at", Instant, nullable=False),
    Column("generation_id", String, nullable=False),
    UniqueConstraint("account_id", "region", "name"),
    Index(None, "account_id", "region", "seq"),
)

policy_versions = Table(
    "policy_versions",
    metadata,
    *_realm(),
    Column("policy_name", String, nullable=False),
    Column("version_id", Integer, nullable=False),
    Column("document", String, nullable=False),
    Column("created_at", Instant, nullable=False),
    PrimaryKeyConstraint("account_id", "region", "policy_name", "version_id"),
    ForeignKeyConstraint(
        ["account_id", "region", "policy_name"],
        ["policies.account_id", "policies.region", "policies.name"],
        ondelete="CASCADE",
    ),
)

policy_targets = _listed(
    "policy_targets",
    *_realm(),
    Column("policy_name", String, nullable=False),
    Column("target", String, nullable=False),
    # Target first, for the look-up of identities. It answers ``attached_to`` too: a target has few policies (AWS IoT:
    # ten), so they may be sorted.
    UniqueConstraint("target", "account_id", "region", "policy_name"),
    ForeignKeyConstraint(
        ["account_id", "region", "policy_name"], ["policies.account_id", "policies.region", "policies.name"]
    ),
    Index(None, "account_id", "region", "policy_name", "seq"),
)

provisioning_templates = _listed(
    "provisioning_templates",
    *_realm(),
    Column("name", String, nullable=False),
    Column("type", String, nullable=False),
    Column("description", String),
    Column("enabled", Boolean, nullable=False),
    Column("role_arn", String, nullable=False),
    Column("hook_target_arn", String),
    Column("hook_payload_version", String),
    Column("default_version_id", Integer, nullable=False),
    Column("last_version_id", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("modified_at", Instant, nullable=False),
    UniqueConstraint("account_id", "region", "name"),
    Index(None, "account_id", "region", "seq"),
)

provisioning_template_versions = Table(
    "provisioning_template_versions",
    metadata,
    *_realm(),
    Column("template_name", String, nullable=False),
    Column("version_id", Integer, nullable=False),
    Column("body", String, nullable=False),
    Column("created_at", Instant, nullable=False),
    PrimaryKeyConstraint("account_id", "region", "template_name", "version_id"),
    ForeignKeyConstraint(
        ["account_id", "region", "template_name"],
        ["provisioning_templates.account_id", "provisioning_templates.region", "provisioning_templates.name"],
        ondelete="CASCADE",
    ),
)

provisioning_claims = _listed(
    "provisioning_claims",
    *_realm(),
    Column("certificate_id", String, nullable=False),
    Column("certificate_pem", String, nullable=False),
    Column("template_name", String, nullable=False),
    Column("not_before", Instant, nullable=False),
    Column("not_after", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
    # Of the id alone, for the look-up of identities.
    UniqueConstraint("certificate_id"),
    ForeignKeyConstraint(
        ["account_id", "region", "template_name"],
        ["provisioning_templates.account_id", "provisioning_templates.region", "provisioning_templates.name"],
        ondelete="CASCADE",
    ),
    Index(None, "account_id", "region", "template_name", "seq"),
    Index(None, "not_after"),
)

certificate_providers = _listed(
    "certificate_providers",
    *_realm(),
    Column("name", String, nullable=False),
    Column("function_arn", String, nullable=False),
    Column("operations", JSON, nullable=False),
    Column("client_token", String),
    Column("created_at", Instant, nullable=False),
    Column("modified_at", Instant, nullable=False),
    UniqueConstraint("account_id", "region", "name"),
    Index(None, "account_id", "region", "seq"),
)

tags = Table(
    "tags",
    metadata,
    *_realm(),
    Column("resource_arn", String, nullable=False),
    Column("key", String, nullable=False),
    Column("value", String, nullable=False),
    PrimaryKeyConstraint("account_id", "region", "resource_arn", "key"),
    sqlite_with_rowid=False,
)

registration_codes = Table(
    "registration_codes",
    metadata,
    *_realm(),
    Column("code", String, nullable=False),
    PrimaryKeyConstraint("account_id", "region"),
    sqlite_with_rowid=False,
)

endpoints = _listed(
    "endpoints",
    *_realm(),
    Column("prefix", String, nullable=False),
    UniqueConstraint("account_id", "region"),
    # A name that begins with it leads to one realm.
    UniqueConstraint("prefix"),
)

# Empty but for what is being published, and what was when the server ended.
outbox = _listed(
    "outbox",
    *_realm(),
    Column("topic", String, nullable=False),
    Column("payload", LargeBinary, nullable=False),
)

ownership_tokens = Table(
    "ownership_tokens",
    metadata,
    *_realm(),
    Column("token_sha256", String, nullable=False),
    Column("certificate_id", String, nullable=False),
    Column("claim_certificate_id", String, nullable=False),
    Column("expires_at", Instant, nullable=False),
    PrimaryKeyConstraint("account_id", "region", "token_sha256"),
    # For ``exists_for``.
    Index(None, "account_id", "region", "certificate_id"),
    # For ``expired``.
    Index(None, "expires_at"),
    sqlite_with_rowid=False,
)

# Empty but for what handlers are being called with, what waits for the next attempt, and what was given up.
deliveries = _listed(
    "deliveries",
    *_realm(),
    Column("handler", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", Instant, nullable=False),
    Column("last_error", String),
    Column("state", String, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("handler", "subject", "account_id", "region"),
    Index(None, "handler", "state", "next_attempt_at", "seq"),
    # For turns between accounts, and for what one of them has.
    Index(None, "handler", "state", "account_id", "next_attempt_at", "seq"),
)

# No foreign keys: either certificate may go, what was done stays to be read.
rotations = _listed(
    "rotations",
    *_realm(),
    Column("old_certificate_id", String, nullable=False),
    Column("new_certificate_id", String, nullable=False),
    Column("ca_certificate_id", String),
    Column("started_at", Instant, nullable=False),
    Column("finished_at", Instant),
    Column("state", String, nullable=False),
    Index(None, "account_id", "region", "old_certificate_id", "seq"),
    Index(None, "account_id", "region", "state", "seq"),
)
Index(
    None,
    rotations.c.account_id,
    rotations.c.region,
    rotations.c.ca_certificate_id,
    rotations.c.state,
    rotations.c.seq,
    sqlite_where=rotations.c.ca_certificate_id.is_not(None),
    postgresql_where=rotations.c.ca_certificate_id.is_not(None),
)
# A literal, as OUTGOING.
PENDING: Final = text("state = 'PENDING'")
Index(
    "ux_rotations_pending_old",
    rotations.c.account_id,
    rotations.c.region,
    rotations.c.old_certificate_id,
    unique=True,
    sqlite_where=PENDING,
    postgresql_where=PENDING,
)
# The id first, for the look-up of identities.
Index(
    "ux_rotations_pending_new",
    rotations.c.new_certificate_id,
    rotations.c.account_id,
    rotations.c.region,
    unique=True,
    sqlite_where=PENDING,
    postgresql_where=PENDING,
)

registration_tasks = _listed(
    "registration_tasks",
    *_realm(),
    Column("task_id", String, nullable=False),
    Column("template_body", String, nullable=False),
    Column("input_bucket", String, nullable=False),
    Column("input_key", String, nullable=False),
    Column("role_arn", String, nullable=False),
    Column("report_token", String, nullable=False),
    Column("status", String, nullable=False),
    Column("message", String),
    Column("success_count", BigInteger, nullable=False),
    Column("failure_count", BigInteger, nullable=False),
    Column("lines_done", BigInteger, nullable=False),
    Column("bytes_done", BigInteger, nullable=False),
    Column("input_bytes", BigInteger),
    Column("input_version", String),
    Column("created_at", Instant, nullable=False),
    Column("modified_at", Instant, nullable=False),
    # In this order it answers ``everywhere`` too.
    UniqueConstraint("task_id", "account_id", "region"),
    Index(None, "account_id", "region", "seq"),
    Index(None, "account_id", "region", "status", "seq"),
    # For ``unfinished`` and ``ended_before``.
    Index(None, "status", "account_id", "seq"),
    Index(None, "status", "modified_at"),
)

# What became of the lines, some lines in a row, each a JSON object: written with the step that they report.
registration_task_reports = Table(
    "registration_task_reports",
    metadata,
    *_realm(),
    Column("task_id", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("number", Integer, nullable=False),
    Column("line", BigInteger, nullable=False),
    Column("content", String, nullable=False),
    PrimaryKeyConstraint("task_id", "account_id", "region", "kind", "number", "line"),
    ForeignKeyConstraint(
        ["task_id", "account_id", "region"],
        ["registration_tasks.task_id", "registration_tasks.account_id", "registration_tasks.region"],
        ondelete="CASCADE",
    ),
)

accounts = _listed(
    "accounts",
    Column("account_id", String, nullable=False),
    Column("name", String),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("account_id"),
)

access_keys = _listed(
    "access_keys",
    Column("access_key_id", String, nullable=False),
    Column("account_id", String, nullable=False),
    Column("secret_access_key", String, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("access_key_id"),
    ForeignKeyConstraint(["account_id"], ["accounts.account_id"]),
    Index(None, "account_id", "seq"),
)
