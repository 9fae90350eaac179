"""Provisioning templates and their versions (``ports.ProvisioningTemplateRows``)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, select

from sekisho.realm import Realm
from sekisho.registry.model import (
    ProvisioningHook,
    ProvisioningTemplate,
    ProvisioningTemplateVersion,
    TemplateType,
)
from sekisho.registry.ports import Slice, Window
from sekisho.store import schema
from sekisho.store.statements import Rows, insert, its, reading, realm_parameters, removing, replace, replacing

_TABLE = schema.provisioning_templates
_VERSIONS = schema.provisioning_template_versions


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
_BY_KEY = reading(_TABLE, _make, *_KEY)
_OF_REALM = reading(_TABLE, _make, "account_id", "region")
_VERSION = Rows(select(_VERSIONS).where(its(_VERSIONS, *_VERSION_KEY)), _VERSIONS.c.version_id, _version)
# Numbers rise, so the order of numbers is that of creation.
_VERSIONS_OF = Rows(
    select(_VERSIONS, _VERSIONS.c.version_id.label("seq")).where(
        its(_VERSIONS, "account_id", "region", "template_name")
    ),
    _VERSIONS.c.version_id,
    _version,
)
_REPLACE = replacing(_TABLE, *_KEY)
_REMOVE = removing(_TABLE, *_KEY)
_REMOVE_VERSION = removing(_VERSIONS, *_VERSION_KEY)


class SqlProvisioningTemplates:
    """Provisioning templates of all realms."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, realm: Realm, name: str) -> ProvisioningTemplate | None:
        """The template, or None."""
        return _BY_KEY.one(self._connection, realm_parameters(realm, name=name))

    def add(self, template: ProvisioningTemplate, first: ProvisioningTemplateVersion) -> None:
        """Add a template with its first version. Raises AlreadyThere where the realm has one of this name."""
        insert(self._connection, _TABLE, _values(template), template.name)
        self.add_version(first)

    def replace(self, template: ProvisioningTemplate) -> None:
        """Overwrite it. Raises KeyError where the realm has none of this name."""
        parameters = _values(template) | realm_parameters(template.realm, name=template.name)
        replace(self._connection, _REPLACE, parameters, template.name)

    def remove(self, realm: Realm, name: str) -> None:
        """Forget it with all its versions and claims."""
        self._connection.execute(_REMOVE, realm_parameters(realm, name=name))

    def page(self, realm: Realm, window: Window) -> Slice[ProvisioningTemplate]:
        """Part of the realm's list."""
        return _OF_REALM.page(self._connection, window, realm_parameters(realm))

    def version(self, realm: Realm, name: str, version_id: int) -> ProvisioningTemplateVersion | None:
        """One body, or None."""
        return _VERSION.one(self._connection, realm_parameters(realm, template_name=name, version_id=version_id))

    def page_versions(self, realm: Realm, name: str, window: Window) -> Slice[ProvisioningTemplateVersion]:
        """Part of the list of a template's versions, in order of their numbers."""
        return _VERSIONS_OF.page(self._connection, window, realm_parameters(realm, template_name=name))

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
        insert(self._connection, _VERSIONS, values, f"version {version.version_id} of {version.template_name}")

    def remove_version(self, realm: Realm, name: str, version_id: int) -> None:
        """Forget one body."""
        parameters = realm_parameters(realm, template_name=name, version_id=version_id)
        self._connection.execute(_REMOVE_VERSION, parameters)
