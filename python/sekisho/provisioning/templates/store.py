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
    select,
)

from sekisho.change import Change, ChangeKind
from sekisho.pages import Slice, Window
from sekisho.provisioning.claims.store import ProvisioningClaimRows
from sekisho.provisioning.templates.model import (
    ProvisioningHook,
    ProvisioningTemplate,
    ProvisioningTemplateVersion,
    TemplateType,
)
from sekisho.realm import Realm
from sekisho.store.statements import Query, insert, its, reading, realm_parameters, removing, replace, replacing
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
    # A claim stays what it is, whatever its template makes.
    announces=None,
)


def _make(row: Row[Any]) -> ProvisioningTemplate:
    hook = None
    if row.hook_target_arn is not None:
        hook = ProvisioningHook(row.hook_target_arn, row.hook_payload_version)
    return ProvisioningTemplate(
        realm=Realm(row.account_id, row.region),
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
        "account_id": template.realm.account_id,
        "region": template.realm.region,
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
        realm=Realm(row.account_id, row.region),
        template_name=row.template_name,
        version_id=row.version_id,
        body=row.body,
        created_at=row.created_at,
    )


_KEY = ("account_id", "region", "name")
_VERSION_KEY = ("account_id", "region", "template_name", "version_id")
_BY_KEY = reading(PROVISIONING_TEMPLATES, _make, *_KEY)
_OF_REALM = reading(PROVISIONING_TEMPLATES, _make, "account_id", "region")
_VERSION = Query(
    select(PROVISIONING_TEMPLATE_VERSIONS).where(its(PROVISIONING_TEMPLATE_VERSIONS, *_VERSION_KEY)),
    PROVISIONING_TEMPLATE_VERSIONS.c.version_id,
    _version,
)
# Numbers rise, so the order of numbers is that of creation.
_VERSIONS_OF = Query(
    select(PROVISIONING_TEMPLATE_VERSIONS, PROVISIONING_TEMPLATE_VERSIONS.c.version_id.label("seq")).where(
        its(PROVISIONING_TEMPLATE_VERSIONS, "account_id", "region", "template_name")
    ),
    PROVISIONING_TEMPLATE_VERSIONS.c.version_id,
    _version,
)
_REPLACE = replacing(PROVISIONING_TEMPLATES, *_KEY)
_REMOVE = removing(PROVISIONING_TEMPLATES, *_KEY)
_REMOVE_VERSION = removing(PROVISIONING_TEMPLATE_VERSIONS, *_VERSION_KEY)


class ProvisioningTemplateRows:
    """Provisioning templates of all realms."""

    __slots__ = ("_tx",)

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    def get(self, realm: Realm, name: str) -> ProvisioningTemplate | None:
        """The template, or None."""
        return _BY_KEY.one(self._tx, realm_parameters(realm, name=name))

    def add(self, template: ProvisioningTemplate, first: ProvisioningTemplateVersion) -> None:
        """Add a template with its first version. Raises AlreadyThere where the realm has one of this name."""
        insert(self._tx, PROVISIONING_TEMPLATES, _values(template), template.name)
        self.add_version(first)

    def replace(self, template: ProvisioningTemplate) -> None:
        """Overwrite it. Raises KeyError where the realm has none of this name."""
        parameters = _values(template) | realm_parameters(template.realm, name=template.name)
        replace(self._tx, _REPLACE, parameters, template.name)

    def remove(self, realm: Realm, name: str) -> None:
        """Forget it with all its versions and claims."""
        self._tx.execute(_REMOVE, realm_parameters(realm, name=name))

    def page(self, realm: Realm, window: Window) -> Slice[ProvisioningTemplate]:
        """Part of the realm's list."""
        return _OF_REALM.page(self._tx, window, realm_parameters(realm))

    def version(self, realm: Realm, name: str, version_id: int) -> ProvisioningTemplateVersion | None:
        """One body, or None."""
        return _VERSION.one(self._tx, realm_parameters(realm, template_name=name, version_id=version_id))

    def page_versions(self, realm: Realm, name: str, window: Window) -> Slice[ProvisioningTemplateVersion]:
        """Part of the list of a template's versions, in order of their numbers."""
        return _VERSIONS_OF.page(self._tx, window, realm_parameters(realm, template_name=name))

    def add_version(self, version: ProvisioningTemplateVersion) -> None:
        """Raises AlreadyThere where the number is taken. The template must be in the store."""
        values = {
            "account_id": version.realm.account_id,
            "region": version.realm.region,
            "template_name": version.template_name,
            "version_id": version.version_id,
            "body": version.body,
            "created_at": version.created_at,
        }
        insert(
            self._tx, PROVISIONING_TEMPLATE_VERSIONS, values, f"version {version.version_id} of {version.template_name}"
        )

    def remove_version(self, realm: Realm, name: str, version_id: int) -> None:
        """Forget one body."""
        parameters = realm_parameters(realm, template_name=name, version_id=version_id)
        self._tx.execute(_REMOVE_VERSION, parameters)
