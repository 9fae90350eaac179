"""Provisioning templates, their versions, and claims.

Source: https://docs.aws.amazon.com/iot/latest/apireference/API_CreateProvisioningTemplate.html and its neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from sekisho import arn, pages
from sekisho.api.operation import Call, operation
from sekisho.provisioning.templates.model import ProvisioningHook, ProvisioningTemplate, TemplateType
from sekisho.tags.rules import checked_tags

if TYPE_CHECKING:
    from types_boto3_iot.type_defs import (
        CreateProvisioningClaimRequestTypeDef,
        CreateProvisioningTemplateRequestTypeDef,
        CreateProvisioningTemplateVersionRequestTypeDef,
        DeleteProvisioningTemplateRequestTypeDef,
        DeleteProvisioningTemplateVersionRequestTypeDef,
        DescribeProvisioningTemplateRequestTypeDef,
        DescribeProvisioningTemplateVersionRequestTypeDef,
        ListProvisioningTemplatesRequestTypeDef,
        ListProvisioningTemplateVersionsRequestTypeDef,
        ProvisioningHookTypeDef,
        UpdateProvisioningTemplateRequestTypeDef,
    )

_PAYLOAD_VERSION: Final = "2020-04-01"
"""The payload version of a hook that names none (API Reference, ProvisioningHook)."""


@operation("iot", "CreateProvisioningTemplate")
def create_provisioning_template(call: Call, request: CreateProvisioningTemplateRequestTypeDef) -> Mapping[str, Any]:
    """Create a template; its body becomes version 1."""
    template = call.services.provisioning_templates.create(
        call.realm,
        request["templateName"],
        request["templateBody"],
        request["provisioningRoleArn"],
        template_type=TemplateType(request.get("type", TemplateType.FLEET_PROVISIONING)),
        description=request.get("description"),
        enabled=request.get("enabled", False),
        hook=_hook(request.get("preProvisioningHook")),
        tags=checked_tags((tag["Key"], tag.get("Value", "")) for tag in request.get("tags", ())),
    )
    return {**_named(template), "defaultVersionId": template.default_version_id}


@operation("iot", "DescribeProvisioningTemplate")
def describe_provisioning_template(
    call: Call, request: DescribeProvisioningTemplateRequestTypeDef
) -> Mapping[str, Any]:
    """Return a template with the body of its default version."""
    template, version = call.services.provisioning_templates.get(call.realm, request["templateName"])
    hook = template.hook
    return {
        **_summary(template),
        "defaultVersionId": template.default_version_id,
        "templateBody": version.body,
        "provisioningRoleArn": template.role_arn,
        "preProvisioningHook": None
        if hook is None
        else {"payloadVersion": hook.payload_version, "targetArn": hook.target_arn},
    }


@operation("iot", "UpdateProvisioningTemplate")
def update_provisioning_template(call: Call, request: UpdateProvisioningTemplateRequestTypeDef) -> Mapping[str, Any]:
    """Change the given properties."""
    call.services.provisioning_templates.update(
        call.realm,
        request["templateName"],
        description=request.get("description"),
        enabled=request.get("enabled"),
        default_version_id=request.get("defaultVersionId"),
        role_arn=request.get("provisioningRoleArn"),
        hook=_hook(request.get("preProvisioningHook")),
        remove_hook=request.get("removePreProvisioningHook", False),
    )
    return {}


@operation("iot", "DeleteProvisioningTemplate")
def delete_provisioning_template(call: Call, request: DeleteProvisioningTemplateRequestTypeDef) -> Mapping[str, Any]:
    """Delete a template with its versions, unless a CA certificate uses it."""
    call.services.provisioning_templates.delete(call.realm, request["templateName"])
    return {}


@operation("iot", "ListProvisioningTemplates")
def list_provisioning_templates(call: Call, request: ListProvisioningTemplatesRequestTypeDef) -> Mapping[str, Any]:
    """Return templates, oldest first."""
    window = pages.window(request.get("nextToken"), request.get("maxResults"))
    found = call.services.provisioning_templates.list(call.realm, window)
    return {
        "templates": [_summary(template) for template in found.items],
        "nextToken": pages.next_marker(found.next_after),
    }


@operation("iot", "CreateProvisioningTemplateVersion")
def create_provisioning_template_version(
    call: Call, request: CreateProvisioningTemplateVersionRequestTypeDef
) -> Mapping[str, Any]:
    """Add a version to a template, as the default version if asked."""
    name = request["templateName"]
    set_as_default = request.get("setAsDefault", False)
    version = call.services.provisioning_templates.create_version(
        call.realm, name, request["templateBody"], set_as_default=set_as_default
    )
    return {
        "templateArn": arn.provisioning_template(call.realm, name),
        "templateName": name,
        "versionId": version.version_id,
        "isDefaultVersion": set_as_default,
    }


@operation("iot", "DescribeProvisioningTemplateVersion")
def describe_provisioning_template_version(
    call: Call, request: DescribeProvisioningTemplateVersionRequestTypeDef
) -> Mapping[str, Any]:
    """Return a version of a template."""
    template, version = call.services.provisioning_templates.get_version(
        call.realm, request["templateName"], request["versionId"]
    )
    return {
        "versionId": version.version_id,
        "creationDate": version.created_at,
        "templateBody": version.body,
        "isDefaultVersion": version.version_id == template.default_version_id,
    }


@operation("iot", "DeleteProvisioningTemplateVersion")
def delete_provisioning_template_version(
    call: Call, request: DeleteProvisioningTemplateVersionRequestTypeDef
) -> Mapping[str, Any]:
    """Delete a version that is not the default version."""
    call.services.provisioning_templates.delete_version(call.realm, request["templateName"], request["versionId"])
    return {}


@operation("iot", "ListProvisioningTemplateVersions")
def list_provisioning_template_versions(
    call: Call, request: ListProvisioningTemplateVersionsRequestTypeDef
) -> Mapping[str, Any]:
    """Return the versions of a template, oldest first."""
    window = pages.window(request.get("nextToken"), request.get("maxResults"))
    template, found = call.services.provisioning_templates.versions(call.realm, request["templateName"], window)
    return {
        "versions": [
            {
                "versionId": version.version_id,
                "creationDate": version.created_at,
                "isDefaultVersion": version.version_id == template.default_version_id,
            }
            for version in found.items
        ],
        "nextToken": pages.next_marker(found.next_after),
    }


@operation("iot", "CreateProvisioningClaim")
def create_provisioning_claim(call: Call, request: CreateProvisioningClaimRequestTypeDef) -> Mapping[str, Any]:
    """Issue a claim certificate that is valid for five minutes. The private key is returned now and never again."""
    created = call.services.provisioning_templates.create_claim(call.realm, request["templateName"])
    return {
        "certificateId": created.claim.certificate_id,
        "certificatePem": created.claim.certificate_pem,
        "keyPair": {"PublicKey": created.public_key_pem, "PrivateKey": created.private_key_pem},
        "expiration": created.claim.not_after,
    }


def _hook(hook: ProvisioningHookTypeDef | None) -> ProvisioningHook | None:
    if hook is None:
        return None
    return ProvisioningHook(hook["targetArn"], hook.get("payloadVersion", _PAYLOAD_VERSION))


def _named(template: ProvisioningTemplate) -> dict[str, Any]:
    return {
        "templateArn": arn.provisioning_template(template.realm, template.name),
        "templateName": template.name,
    }


def _summary(template: ProvisioningTemplate) -> dict[str, Any]:
    return {
        **_named(template),
        "description": template.description,
        "creationDate": template.created_at,
        "lastModifiedDate": template.modified_at,
        "enabled": template.enabled,
        "type": template.type.value,
    }
