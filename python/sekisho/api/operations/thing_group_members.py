"""Members of thing groups.

``overrideDynamicGroups`` is accepted and changes nothing, because there are no dynamic groups.

Source: https://docs.aws.amazon.com/iot/latest/apireference/API_AddThingToThingGroup.html and its neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sekisho import pages
from sekisho.api.operation import Call, operation
from sekisho.api.operations.thing_groups import name_and_arn
from sekisho.naming import by_name_or_arn

if TYPE_CHECKING:
    from types_boto3_iot.type_defs import (
        AddThingToThingGroupRequestTypeDef,
        ListThingGroupsForThingRequestTypeDef,
        ListThingsInThingGroupRequestTypeDef,
        RemoveThingFromThingGroupRequestTypeDef,
        UpdateThingGroupsForThingRequestTypeDef,
    )


@operation("iot", "AddThingToThingGroup")
def add_thing_to_thing_group(call: Call, request: AddThingToThingGroupRequestTypeDef) -> Mapping[str, Any]:
    """Add a thing to a group."""
    call.services.thing_groups.add_thing(call.realm, *_group_and_thing(call, request))
    return {}


@operation("iot", "RemoveThingFromThingGroup")
def remove_thing_from_thing_group(call: Call, request: RemoveThingFromThingGroupRequestTypeDef) -> Mapping[str, Any]:
    """Remove a thing from a group."""
    call.services.thing_groups.remove_thing(call.realm, *_group_and_thing(call, request))
    return {}


@operation("iot", "UpdateThingGroupsForThing")
def update_thing_groups_for_thing(call: Call, request: UpdateThingGroupsForThingRequestTypeDef) -> Mapping[str, Any]:
    """Remove a thing from groups and add it to others."""
    call.services.thing_groups.update_groups_of(
        call.realm,
        by_name_or_arn(call.realm, "thing", request.get("thingName"), None),
        add=request.get("thingGroupsToAdd", ()),
        remove=request.get("thingGroupsToRemove", ()),
    )
    return {}


@operation("iot", "ListThingGroupsForThing")
def list_thing_groups_for_thing(call: Call, request: ListThingGroupsForThingRequestTypeDef) -> Mapping[str, Any]:
    """Return the groups of a thing, in the order in which it was added."""
    found = call.services.thing_groups.groups_of(
        call.realm, request["thingName"], pages.window(request.get("nextToken"), request.get("maxResults"))
    )
    return {
        "thingGroups": [name_and_arn(call.realm, name) for name in found.items],
        "nextToken": pages.next_marker(found.next_after),
    }


@operation("iot", "ListThingsInThingGroup")
def list_things_in_thing_group(call: Call, request: ListThingsInThingGroupRequestTypeDef) -> Mapping[str, Any]:
    """Return the things in a group, in the order in which they were added."""
    found = call.services.thing_groups.things_in(
        call.realm,
        request["thingGroupName"],
        pages.window(request.get("nextToken"), request.get("maxResults")),
        recursive=request.get("recursive", False),
    )
    return {"things": list(found.items), "nextToken": pages.next_marker(found.next_after)}


def _group_and_thing(
    call: Call, request: AddThingToThingGroupRequestTypeDef | RemoveThingFromThingGroupRequestTypeDef
) -> tuple[str, str]:
    return (
        by_name_or_arn(call.realm, "thinggroup", request.get("thingGroupName"), request.get("thingGroupArn")),
        by_name_or_arn(call.realm, "thing", request.get("thingName"), request.get("thingArn")),
    )
