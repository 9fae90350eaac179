"""Provisioning templates and their versions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sekisho.realm import Realm


class TemplateType(StrEnum):
    """What a template is for: fleet provisioning with a claim, or just-in-time provisioning of a CA's devices."""

    FLEET_PROVISIONING = "FLEET_PROVISIONING"
    JITP = "JITP"


@dataclass(frozen=True, slots=True)
class ProvisioningHook:
    """The function that is called before a device is provisioned (Developer Guide, pre-provisioning-hook)."""

    target_arn: str
    payload_version: str


@dataclass(frozen=True, slots=True)
class ProvisioningTemplate:
    """A provisioning template. Each of its versions has a body."""

    realm: Realm
    name: str
    type: TemplateType
    description: str | None
    enabled: bool
    role_arn: str
    hook: ProvisioningHook | None
    default_version_id: int
    last_version_id: int
    """The number of the newest version, which may be deleted. Numbers are not used again."""
    created_at: datetime
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class ProvisioningTemplateVersion:
    """A version of a provisioning template."""

    realm: Realm
    template_name: str
    version_id: int
    body: str
    created_at: datetime
