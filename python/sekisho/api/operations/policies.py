"""Policies and their versions.

Source: https://docs.aws.amazon.com/iot/latest/apireference/API_CreatePolicy.html and its neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sekisho import arn, pages
from sekisho.api.operation import Call, operation
from sekisho.tags.rules import checked_tags

if TYPE_CHECKING:
    from types_boto3_iot.type_defs import (
        CreatePolicyRequestTypeDef,
        CreatePolicyVersionRequestTypeDef,
        DeletePolicyRequestTypeDef,
        DeletePolicyVersionRequestTypeDef,
        GetPolicyRequestTypeDef,
        GetPolicyVersionRequestTypeDef,
        ListPoliciesRequestTypeDef,
        ListPolicyVersionsRequestTypeDef,
        SetDefaultPolicyVersionRequestTypeDef,
    )


@operation("iot", "CreatePolicy")
def create_policy(call: Call, request: CreatePolicyRequestTypeDef) -> Mapping[str, Any]:
    """Create a policy; its document becomes version 1."""
    name = request["policyName"]
    tags = checked_tags((tag["Key"], tag.get("Value", "")) for tag in request.get("tags", ()))
    version = call.services.policies.create(call.realm, name, request["policyDocument"], tags)
    return {
        "policyName": name,
        "policyArn": arn.policy(call.realm, name),
        "policyDocument": version.document,
        "policyVersionId": str(version.version_id),
    }


@operation("iot", "GetPolicy")
def get_policy(call: Call, request: GetPolicyRequestTypeDef) -> Mapping[str, Any]:
    """Return a policy with the document of its default version."""
    policy, version = call.services.policies.get(call.realm, request["policyName"])
    return {
        "policyName": policy.name,
        "policyArn": arn.policy(call.realm, policy.name),
        "policyDocument": version.document,
        "defaultVersionId": str(policy.default_version_id),
        "creationDate": policy.created_at,
        "lastModifiedDate": policy.modified_at,
        "generationId": policy.generation_id,
    }


@operation("iot", "DeletePolicy")
def delete_policy(call: Call, request: DeletePolicyRequestTypeDef) -> None:
    """Delete a policy that is attached to nothing and has one version."""
    call.services.policies.delete(call.realm, request["policyName"])


@operation("iot", "ListPolicies")
def list_policies(call: Call, request: ListPoliciesRequestTypeDef) -> Mapping[str, Any]:
    """Return policies, newest first unless asked otherwise."""
    window = pages.window(
        request.get("marker"), request.get("pageSize"), ascending=request.get("ascendingOrder", False)
    )
    found = call.services.policies.list(call.realm, window)
    return {
        "policies": [
            {"policyName": policy.name, "policyArn": arn.policy(call.realm, policy.name)} for policy in found.items
        ],
        "nextMarker": pages.next_marker(found.next_after),
    }


@operation("iot", "CreatePolicyVersion")
def create_policy_version(call: Call, request: CreatePolicyVersionRequestTypeDef) -> Mapping[str, Any]:
    """Add a version to a policy, as the default version if asked."""
    name = request["policyName"]
    set_as_default = request.get("setAsDefault", False)
    version = call.services.policies.create_version(
        call.realm, name, request["policyDocument"], set_as_default=set_as_default
    )
    return {
        "policyArn": arn.policy(call.realm, name),
        "policyDocument": version.document,
        "policyVersionId": str(version.version_id),
        "isDefaultVersion": set_as_default,
    }


@operation("iot", "GetPolicyVersion")
def get_policy_version(call: Call, request: GetPolicyVersionRequestTypeDef) -> Mapping[str, Any]:
    """Return a version of a policy. A version never changes, so its modification date is its creation date."""
    policy, version = call.services.policies.get_version(call.realm, request["policyName"], request["policyVersionId"])
    return {
        "policyArn": arn.policy(call.realm, policy.name),
        "policyName": policy.name,
        "policyDocument": version.document,
        "policyVersionId": str(version.version_id),
        "isDefaultVersion": version.version_id == policy.default_version_id,
        "creationDate": version.created_at,
        "lastModifiedDate": version.created_at,
        "generationId": policy.generation_id,
    }


@operation("iot", "DeletePolicyVersion")
def delete_policy_version(call: Call, request: DeletePolicyVersionRequestTypeDef) -> None:
    """Delete a version that is not the default version."""
    call.services.policies.delete_version(call.realm, request["policyName"], request["policyVersionId"])


@operation("iot", "ListPolicyVersions")
def list_policy_versions(call: Call, request: ListPolicyVersionsRequestTypeDef) -> Mapping[str, Any]:
    """Return the versions of a policy, newest first."""
    policy, versions = call.services.policies.versions(call.realm, request["policyName"])
    return {
        "policyVersions": [
            {
                "versionId": str(version.version_id),
                "isDefaultVersion": version.version_id == policy.default_version_id,
                "createDate": version.created_at,
            }
            for version in versions
        ]
    }


@operation("iot", "SetDefaultPolicyVersion")
def set_default_policy_version(call: Call, request: SetDefaultPolicyVersionRequestTypeDef) -> None:
    """Set the default version; it applies to live connections at once."""
    call.services.policies.set_default_version(call.realm, request["policyName"], request["policyVersionId"])
