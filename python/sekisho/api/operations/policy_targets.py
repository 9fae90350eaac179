"""Targets of policies, which the older operations call principals.

Source: https://docs.aws.amazon.com/iot/latest/apireference/API_AttachPolicy.html and its neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sekisho import arn, pages
from sekisho.api.operation import Call, operation
from sekisho.pages import Slice
from sekisho.policies.model import Policy

if TYPE_CHECKING:
    from types_boto3_iot.type_defs import (
        AttachPolicyRequestTypeDef,
        AttachPrincipalPolicyRequestTypeDef,
        DetachPolicyRequestTypeDef,
        DetachPrincipalPolicyRequestTypeDef,
        ListAttachedPoliciesRequestTypeDef,
        ListPolicyPrincipalsRequestTypeDef,
        ListPrincipalPoliciesRequestTypeDef,
        ListTargetsForPolicyRequestTypeDef,
    )


@operation("iot", "AttachPolicy")
def attach_policy(call: Call, request: AttachPolicyRequestTypeDef) -> None:
    """Attach a policy to a certificate, a Cognito identity or a thing group."""
    call.services.policies.attach(call.realm, request["policyName"], request["target"])


@operation("iot", "DetachPolicy")
def detach_policy(call: Call, request: DetachPolicyRequestTypeDef) -> None:
    """Detach a policy from a target."""
    call.services.policies.detach(call.realm, request["policyName"], request["target"])


@operation("iot", "ListAttachedPolicies")
def list_attached_policies(call: Call, request: ListAttachedPoliciesRequestTypeDef) -> Mapping[str, Any]:
    """Return the policies of a target, in the order in which they were attached.

    ``recursive`` includes those of parent groups; certificates and identities have no parents.
    """
    window = pages.window(request.get("marker"), request.get("pageSize"))
    recursive = request.get("recursive", False)
    return _policies(
        call, call.services.policies.attached_to(call.realm, request["target"], window, recursive=recursive)
    )


@operation("iot", "ListTargetsForPolicy")
def list_targets_for_policy(call: Call, request: ListTargetsForPolicyRequestTypeDef) -> Mapping[str, Any]:
    """Return the targets of a policy, in the order in which it was attached to them."""
    window = pages.window(request.get("marker"), request.get("pageSize"))
    found = call.services.policies.targets_of(call.realm, request["policyName"], window)
    return {"targets": list(found.items), "nextMarker": pages.next_marker(found.next_after)}


@operation("iot", "AttachPrincipalPolicy")
def attach_principal_policy(call: Call, request: AttachPrincipalPolicyRequestTypeDef) -> None:
    """Attach a policy to a principal, as AttachPolicy did before thing groups; deprecated, still in use."""
    call.services.policies.attach(call.realm, request["policyName"], request["principal"])


@operation("iot", "DetachPrincipalPolicy")
def detach_principal_policy(call: Call, request: DetachPrincipalPolicyRequestTypeDef) -> None:
    """Detach a policy from a principal, as DetachPolicy did before thing groups; deprecated, still in use."""
    call.services.policies.detach(call.realm, request["policyName"], request["principal"])


@operation("iot", "ListPrincipalPolicies")
def list_principal_policies(call: Call, request: ListPrincipalPoliciesRequestTypeDef) -> Mapping[str, Any]:
    """Return the policies of a principal, newest first unless asked otherwise; deprecated."""
    window = pages.window(
        request.get("marker"), request.get("pageSize"), ascending=request.get("ascendingOrder", False)
    )
    return _policies(call, call.services.policies.attached_to(call.realm, request["principal"], window))


@operation("iot", "ListPolicyPrincipals")
def list_policy_principals(call: Call, request: ListPolicyPrincipalsRequestTypeDef) -> Mapping[str, Any]:
    """Return the principals of a policy, newest first unless asked otherwise; deprecated.

    The list is empty where there is no such policy, as on AWS IoT.
    """
    window = pages.window(
        request.get("marker"), request.get("pageSize"), ascending=request.get("ascendingOrder", False)
    )
    found = call.services.policies.principals_of(call.realm, request["policyName"], window)
    return {"principals": list(found.items), "nextMarker": pages.next_marker(found.next_after)}


def _policies(call: Call, found: Slice[Policy]) -> Mapping[str, Any]:
    return {
        "policies": [
            {"policyName": policy.name, "policyArn": arn.policy(call.realm, policy.name)} for policy in found.items
        ],
        "nextMarker": pages.next_marker(found.next_after),
    }
