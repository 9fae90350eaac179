"""Provisioning templates and their versions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sekisho.realm import Realm


class TemplateType(StrEnum):
    """Who provisions through a template: devices with a claim, or a CA's devices at their first connection."""

    FLEET_PROVISIONING = "FLEET_PROVISIONING"
    JITP = "JITP"


@dataclass(frozen=True, slots=True)
class ProvisioningHook:
    """The function that is asked before a device is provisioned (Developer Guide, pre-provisioning-hook)."""

    target_arn: str
    payload_version: str


@dataclass(frozen=True, slots=True)
class ProvisioningTemplate:
    """A named provisioning template; its bodies are its versions."""

    realm: Realm
    name: str
    type: TemplateType
    description: str | None
    enabled: bool
    role_arn: str
    hook: ProvisioningHook | None
    default_version_id: int
    last_version_id: int
    """The highest version number ever given: numbers rise and are never used again."""
    created_at: datetime
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class ProvisioningTemplateVersion:
    """One body of a provisioning template."""

    realm: Realm
    template_name: str
    version_id: int
    body: str
    created_at: datetime
