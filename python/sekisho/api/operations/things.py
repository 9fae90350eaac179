"""Things.

Source: https://docs.aws.amazon.com/iot/latest/apireference/API_CreateThing.html and its neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sekisho import arn, pages
from sekisho.api.operation import Call, operation
from sekisho.things.model import Thing

if TYPE_CHECKING:
    from types_boto3_iot.type_defs import (
        CreateThingRequestTypeDef,
        DeleteThingRequestTypeDef,
        DescribeThingRequestTypeDef,
        ListThingsRequestTypeDef,
        UpdateThingRequestTypeDef,
    )


@operation("iot", "CreateThing")
def create_thing(call: Call, request: CreateThingRequestTypeDef) -> Mapping[str, Any]:
    """Create a thing; an identical one is no error."""
    payload = request.get("attributePayload")
    thing = call.services.things.create(
        call.realm,
        request["thingName"],
        attributes=None if payload is None else payload.get("attributes"),
        type_name=request.get("thingTypeName"),
        billing_group_name=request.get("billingGroupName"),
    )
    return {"thingName": thing.name, "thingArn": _arn(thing), "thingId": thing.thing_id}


@operation("iot", "DescribeThing")
def describe_thing(call: Call, request: DescribeThingRequestTypeDef) -> Mapping[str, Any]:
    """Return a thing."""
    thing = call.services.things.describe(call.realm, request["thingName"])
    return {
        "defaultClientId": thing.name,
        "thingName": thing.name,
        "thingId": thing.thing_id,
        "thingArn": _arn(thing),
        "thingTypeName": thing.type_name,
        "attributes": dict(thing.attributes),
        "version": thing.version,
        "billingGroupName": thing.billing_group_name,
    }


@operation("iot", "UpdateThing")
def update_thing(call: Call, request: UpdateThingRequestTypeDef) -> Mapping[str, Any]:
    """Change the attributes or the type of a thing."""
    payload = request.get("attributePayload")
    call.services.things.update(
        call.realm,
        request["thingName"],
        attributes=None if payload is None else payload.get("attributes"),
        merge=payload is not None and payload.get("merge", False),
        expected_version=request.get("expectedVersion"),
        type_name=request.get("thingTypeName"),
        remove_type=request.get("removeThingType", False),
    )
    return {}


@operation("iot", "DeleteThing")
def delete_thing(call: Call, request: DeleteThingRequestTypeDef) -> Mapping[str, Any]:
    """Delete a thing that has no principals."""
    call.services.things.delete(call.realm, request["thingName"], expected_version=request.get("expectedVersion"))
    return {}


@operation("iot", "ListThings")
def list_things(call: Call, request: ListThingsRequestTypeDef) -> Mapping[str, Any]:
    """Return things, oldest first."""
    things = call.services.things.list(
        call.realm,
        pages.window(request.get("nextToken"), request.get("maxResults")),
        type_name=request.get("thingTypeName"),
        attribute_name=request.get("attributeName"),
        attribute_value=request.get("attributeValue"),
        value_is_prefix=request.get("usePrefixAttributeValue", False),
    )
    return {
        "things": [
            {
                "thingName": thing.name,
                "thingTypeName": thing.type_name,
                "thingArn": _arn(thing),
                "attributes": dict(thing.attributes),
                "version": thing.version,
            }
            for thing in things.items
        ],
        "nextToken": pages.next_marker(things.next_after),
    }


def _arn(thing: Thing) -> str:
    return arn.thing(thing.realm, thing.name)
