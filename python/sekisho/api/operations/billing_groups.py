"""Billing groups.

Source: https://docs.aws.amazon.com/iot/latest/apireference/API_CreateBillingGroup.html and its neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sekisho import arn, pages
from sekisho.api.operation import Call, operation
from sekisho.billing_groups.model import BillingGroup
from sekisho.naming import by_name_or_arn
from sekisho.tags.rules import checked_tags

if TYPE_CHECKING:
    from types_boto3_iot.type_defs import (
        AddThingToBillingGroupRequestTypeDef,
        CreateBillingGroupRequestTypeDef,
        DeleteBillingGroupRequestTypeDef,
        DescribeBillingGroupRequestTypeDef,
        ListBillingGroupsRequestTypeDef,
        ListThingsInBillingGroupRequestTypeDef,
        RemoveThingFromBillingGroupRequestTypeDef,
        UpdateBillingGroupRequestTypeDef,
    )


@operation("iot", "CreateBillingGroup")
def create_billing_group(call: Call, request: CreateBillingGroupRequestTypeDef) -> Mapping[str, Any]:
    """Create a billing group; an identical one is no error."""
    group = call.services.billing_groups.create(
        call.realm,
        request["billingGroupName"],
        description=request.get("billingGroupProperties", {}).get("billingGroupDescription"),
        tags=checked_tags((tag["Key"], tag.get("Value", "")) for tag in request.get("tags", ())),
    )
    return {"billingGroupName": group.name, "billingGroupArn": _arn(group), "billingGroupId": group.group_id}


@operation("iot", "DescribeBillingGroup")
def describe_billing_group(call: Call, request: DescribeBillingGroupRequestTypeDef) -> Mapping[str, Any]:
    """Return a billing group."""
    group = call.services.billing_groups.describe(call.realm, request["billingGroupName"])
    return {
        "billingGroupName": group.name,
        "billingGroupId": group.group_id,
        "billingGroupArn": _arn(group),
        "version": group.version,
        "billingGroupProperties": {"billingGroupDescription": group.description},
        "billingGroupMetadata": {"creationDate": group.created_at},
    }


@operation("iot", "UpdateBillingGroup")
def update_billing_group(call: Call, request: UpdateBillingGroupRequestTypeDef) -> Mapping[str, Any]:
    """Change the description of a billing group."""
    group = call.services.billing_groups.update(
        call.realm,
        request["billingGroupName"],
        description=request["billingGroupProperties"].get("billingGroupDescription"),
        expected_version=request.get("expectedVersion"),
    )
    return {"version": group.version}


@operation("iot", "DeleteBillingGroup")
def delete_billing_group(call: Call, request: DeleteBillingGroupRequestTypeDef) -> Mapping[str, Any]:
    """Delete a billing group that no thing is in."""
    call.services.billing_groups.delete(
        call.realm, request["billingGroupName"], expected_version=request.get("expectedVersion")
    )
    return {}


@operation("iot", "ListBillingGroups")
def list_billing_groups(call: Call, request: ListBillingGroupsRequestTypeDef) -> Mapping[str, Any]:
    """Return billing groups, oldest first."""
    found = call.services.billing_groups.list(
        call.realm,
        pages.window(request.get("nextToken"), request.get("maxResults")),
        prefix=request.get("namePrefixFilter", ""),
    )
    return {
        "billingGroups": [{"groupName": group.name, "groupArn": _arn(group)} for group in found.items],
        "nextToken": pages.next_marker(found.next_after),
    }


@operation("iot", "AddThingToBillingGroup")
def add_thing_to_billing_group(call: Call, request: AddThingToBillingGroupRequestTypeDef) -> Mapping[str, Any]:
    """Add a thing to a billing group, and remove it from the one that it was in."""
    call.services.billing_groups.add_thing(call.realm, *_group_and_thing(call, request))
    return {}


@operation("iot", "RemoveThingFromBillingGroup")
def remove_thing_from_billing_group(
    call: Call, request: RemoveThingFromBillingGroupRequestTypeDef
) -> Mapping[str, Any]:
    """Remove a thing from a billing group."""
    call.services.billing_groups.remove_thing(call.realm, *_group_and_thing(call, request))
    return {}


@operation("iot", "ListThingsInBillingGroup")
def list_things_in_billing_group(call: Call, request: ListThingsInBillingGroupRequestTypeDef) -> Mapping[str, Any]:
    """Return the things in a billing group, oldest first."""
    found = call.services.billing_groups.things_in(
        call.realm,
        request["billingGroupName"],
        pages.window(request.get("nextToken"), request.get("maxResults")),
    )
    return {
        "things": [thing.name for thing in found.items],
        "nextToken": pages.next_marker(found.next_after),
    }


def _group_and_thing(
    call: Call, request: AddThingToBillingGroupRequestTypeDef | RemoveThingFromBillingGroupRequestTypeDef
) -> tuple[str, str]:
    return (
        by_name_or_arn(call.realm, "billinggroup", request.get("billingGroupName"), request.get("billingGroupArn")),
        by_name_or_arn(call.realm, "thing", request.get("thingName"), request.get("thingArn")),
    )


def _arn(group: BillingGroup) -> str:
    return arn.billing_group(group.realm, group.name)
