"""Provisioning templates and their versions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Row,
    UniqueConstraint,
)

from sekisho.change import Change, ChangeKind
from sekisho.provisioning.claims.store import ProvisioningClaimRows
from sekisho.provisioning.templates.model import (
    ProvisioningHook,
    ProvisioningTemplate,
    ProvisioningTemplateVersion,
    TemplateType,
)
from sekisho.store.rows import RealmTable, VersionedRows, VersionTable, realm_of, realm_values
from sekisho.store.tables import Instant, String, Write, keyed, listed, realm_columns
from sekisho.store.transaction import Transaction


def _announce_claims(tx: Transaction, write: Write) -> Iterable[Change]:
    if write.kind != "delete":
        return ()
    realm = write.realm
    claims = ProvisioningClaimRows(tx).of_template(realm, write.values["name"])
    return [Change(realm, ChangeKind.CERTIFICATE, claim.certificate_id) for claim in claims]


PROVISIONING_TEMPLATES = listed(
    "provisioning_templates",
    *realm_columns(),
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
    announces=_announce_claims,
)

PROVISIONING_TEMPLATE_VERSIONS = keyed(
    "provisioning_template_versions",
    *realm_columns(),
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
    # No decision depends on the bodies of templates.
    announces=None,
)


def _make(row: Row[Any]) -> ProvisioningTemplate:
    hook = None
    if row.hook_target_arn is not None:
        hook = ProvisioningHook(row.hook_target_arn, row.hook_payload_version)
    return ProvisioningTemplate(
        realm=realm_of(row),
        name=row.name,
        type=TemplateType(row.type),
        description=row.description,
        enabled=row.enabled,
        role_arn=row.role_arn,
        hook=hook,
        default_version_id=row.default_version_id,
        last_version_id=row.last_version_id,
        created_at=row.created_at,
        modified_at=row.modified_at,
    )


def _values(template: ProvisioningTemplate) -> dict[str, Any]:
    hook = template.hook
    return {
        **realm_values(template.realm),
        "name": template.name,
        "type": template.type.value,
        "description": template.description,
        "enabled": template.enabled,
        "role_arn": template.role_arn,
        "hook_target_arn": None if hook is None else hook.target_arn,
        "hook_payload_version": None if hook is None else hook.payload_version,
        "default_version_id": template.default_version_id,
        "last_version_id": template.last_version_id,
        "created_at": template.created_at,
        "modified_at": template.modified_at,
    }


def _version(row: Row[Any]) -> ProvisioningTemplateVersion:
    return ProvisioningTemplateVersion(
        realm=realm_of(row),
        template_name=row.template_name,
        version_id=row.version_id,
        body=row.body,
        created_at=row.created_at,
    )


def _version_values(version: ProvisioningTemplateVersion) -> dict[str, Any]:
    return {
        **realm_values(version.realm),
        "template_name": version.template_name,
        "version_id": version.version_id,
        "body": version.body,
        "created_at": version.created_at,
    }


class ProvisioningTemplateRows(VersionedRows[ProvisioningTemplate, ProvisioningTemplateVersion]):
    """Provisioning templates of all realms, and their versions."""

    __slots__ = ()

    _table = RealmTable(PROVISIONING_TEMPLATES, "name", _make, _values)
    _versions = VersionTable(PROVISIONING_TEMPLATE_VERSIONS, "template_name", _version, _version_values)
