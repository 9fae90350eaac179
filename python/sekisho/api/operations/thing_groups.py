"""Static thing groups.

Source: https://docs.aws.amazon.com/iot/latest/apireference/API_CreateThingGroup.html and its neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sekisho import arn, pages
from sekisho.api.operation import Call, operation
from sekisho.realm import Realm
from sekisho.tags.rules import checked_tags
from sekisho.thing_groups.model import ThingGroup

if TYPE_CHECKING:
    from types_boto3_iot.type_defs import (
        CreateThingGroupRequestTypeDef,
        DeleteThingGroupRequestTypeDef,
        DescribeThingGroupRequestTypeDef,
        ListThingGroupsRequestTypeDef,
        UpdateThingGroupRequestTypeDef,
    )


@operation("iot", "CreateThingGroup")
def create_thing_group(call: Call, request: CreateThingGroupRequestTypeDef) -> Mapping[str, Any]:
    """Create a group; an identical one is no error."""
    properties: Mapping[str, Any] = request.get("thingGroupProperties", {})
    group = call.services.thing_groups.create(
        call.realm,
        request["thingGroupName"],
        parent_name=request.get("parentGroupName"),
        description=properties.get("thingGroupDescription"),
        attributes=properties.get("attributePayload", {}).get("attributes"),
        tags=checked_tags((tag["Key"], tag.get("Value", "")) for tag in request.get("tags", ())),
    )
    return {
        "thingGroupName": group.name,
        "thingGroupArn": arn.thing_group(call.realm, group.name),
        "thingGroupId": group.group_id,
    }


@operation("iot", "DescribeThingGroup")
def describe_thing_group(call: Call, request: DescribeThingGroupRequestTypeDef) -> Mapping[str, Any]:
    """Return a group with its ancestors."""
    group = call.services.thing_groups.describe(call.realm, request["thingGroupName"])
    return {
        "thingGroupName": group.name,
        "thingGroupId": group.group_id,
        "thingGroupArn": arn.thing_group(call.realm, group.name),
        "version": group.version,
        "thingGroupProperties": {
            "thingGroupDescription": group.description,
            "attributePayload": {"attributes": dict(group.attributes)} if group.attributes else None,
        },
        "thingGroupMetadata": {
            "parentGroupName": group.parent_name,
            "rootToParentThingGroups": [name_and_arn(call.realm, name) for name in group.ancestors],
            "creationDate": group.created_at,
        },
    }


@operation("iot", "UpdateThingGroup")
def update_thing_group(call: Call, request: UpdateThingGroupRequestTypeDef) -> Mapping[str, Any]:
    """Change the description or attributes of a group."""
    properties = request["thingGroupProperties"]
    payload = properties.get("attributePayload", {})
    group = call.services.thing_groups.update(
        call.realm,
        request["thingGroupName"],
        description=properties.get("thingGroupDescription"),
        attributes=payload.get("attributes"),
        merge=payload.get("merge", False),
        expected_version=request.get("expectedVersion"),
    )
    return {"version": group.version}


@operation("iot", "DeleteThingGroup")
def delete_thing_group(call: Call, request: DeleteThingGroupRequestTypeDef) -> Mapping[str, Any]:
    """Delete a group that has no groups below it."""
    call.services.thing_groups.delete(
        call.realm, request["thingGroupName"], expected_version=request.get("expectedVersion")
    )
    return {}


@operation("iot", "ListThingGroups")
def list_thing_groups(call: Call, request: ListThingGroupsRequestTypeDef) -> Mapping[str, Any]:
    """Return groups, oldest first."""
    found = call.services.thing_groups.list(
        call.realm,
        pages.window(request.get("nextToken"), request.get("maxResults")),
        parent_name=request.get("parentGroup"),
        prefix=request.get("namePrefixFilter", ""),
        recursive=request.get("recursive"),
    )
    return {
        "thingGroups": [_shown(group) for group in found.items],
        "nextToken": pages.next_marker(found.next_after),
    }


def name_and_arn(realm: Realm, name: str) -> Mapping[str, str]:
    """Return a group as lists contain it."""
    return {"groupName": name, "groupArn": arn.thing_group(realm, name)}


def _shown(group: ThingGroup) -> Mapping[str, str]:
    return name_and_arn(group.realm, group.name)
