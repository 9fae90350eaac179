"""Thing types.

Source: https://docs.aws.amazon.com/iot/latest/apireference/API_CreateThingType.html and its neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sekisho import arn, pages
from sekisho.api.operation import Call, operation
from sekisho.tags.rules import checked_tags
from sekisho.thing_types.model import PropagatingAttribute, ThingType

if TYPE_CHECKING:
    from types_boto3_iot.type_defs import (
        CreateThingTypeRequestTypeDef,
        DeleteThingTypeRequestTypeDef,
        DeprecateThingTypeRequestTypeDef,
        DescribeThingTypeRequestTypeDef,
        ListThingTypesRequestTypeDef,
        UpdateThingTypeRequestTypeDef,
    )


@operation("iot", "CreateThingType")
def create_thing_type(call: Call, request: CreateThingTypeRequestTypeDef) -> Mapping[str, Any]:
    """Create a thing type; an identical one is no error."""
    properties: Mapping[str, Any] = request.get("thingTypeProperties", {})
    made = call.services.thing_types.create(
        call.realm,
        request["thingTypeName"],
        description=properties.get("thingTypeDescription"),
        searchable_attributes=properties.get("searchableAttributes", ()),
        propagating_attributes=_propagating(properties) or (),
        tags=checked_tags((tag["Key"], tag.get("Value", "")) for tag in request.get("tags", ())),
    )
    return {"thingTypeName": made.name, "thingTypeArn": _arn(made), "thingTypeId": made.type_id}


@operation("iot", "DescribeThingType")
def describe_thing_type(call: Call, request: DescribeThingTypeRequestTypeDef) -> Mapping[str, Any]:
    """Return a thing type."""
    found = call.services.thing_types.describe(call.realm, request["thingTypeName"])
    return {**_definition(found), "thingTypeId": found.type_id}


@operation("iot", "UpdateThingType")
def update_thing_type(call: Call, request: UpdateThingTypeRequestTypeDef) -> Mapping[str, Any]:
    """Change the given properties."""
    properties: Mapping[str, Any] = request.get("thingTypeProperties", {})
    call.services.thing_types.update(
        call.realm,
        request["thingTypeName"],
        description=properties.get("thingTypeDescription"),
        searchable_attributes=properties.get("searchableAttributes"),
        propagating_attributes=_propagating(properties),
    )
    return {}


@operation("iot", "DeprecateThingType")
def deprecate_thing_type(call: Call, request: DeprecateThingTypeRequestTypeDef) -> Mapping[str, Any]:
    """Deprecate a type, so that no thing can be given it; or undo that."""
    call.services.thing_types.deprecate(call.realm, request["thingTypeName"], undo=request.get("undoDeprecate", False))
    return {}


@operation("iot", "DeleteThingType")
def delete_thing_type(call: Call, request: DeleteThingTypeRequestTypeDef) -> Mapping[str, Any]:
    """Delete a type that was deprecated at least five minutes ago."""
    call.services.thing_types.delete(call.realm, request["thingTypeName"])
    return {}


@operation("iot", "ListThingTypes")
def list_thing_types(call: Call, request: ListThingTypesRequestTypeDef) -> Mapping[str, Any]:
    """Return thing types, oldest first."""
    found = call.services.thing_types.list(
        call.realm,
        pages.window(request.get("nextToken"), request.get("maxResults")),
        name=request.get("thingTypeName"),
    )
    return {
        "thingTypes": [_definition(each) for each in found.items],
        "nextToken": pages.next_marker(found.next_after),
    }


def _propagating(properties: Mapping[str, Any]) -> Sequence[PropagatingAttribute] | None:
    configuration = properties.get("mqtt5Configuration")
    if configuration is None:
        return None
    return [
        PropagatingAttribute(
            user_property_key=each.get("userPropertyKey", ""),
            thing_attribute=each.get("thingAttribute"),
            connection_attribute=each.get("connectionAttribute"),
        )
        for each in configuration.get("propagatingAttributes", ())
    ]


def _definition(thing_type: ThingType) -> Mapping[str, Any]:
    propagating = [
        {
            "userPropertyKey": each.user_property_key,
            "thingAttribute": each.thing_attribute,
            "connectionAttribute": each.connection_attribute,
        }
        for each in thing_type.propagating_attributes
    ]
    return {
        "thingTypeName": thing_type.name,
        "thingTypeArn": _arn(thing_type),
        "thingTypeProperties": {
            "thingTypeDescription": thing_type.description,
            "searchableAttributes": list(thing_type.searchable_attributes),
            "mqtt5Configuration": {"propagatingAttributes": propagating} if propagating else None,
        },
        "thingTypeMetadata": {
            "deprecated": thing_type.deprecated_at is not None,
            "deprecationDate": thing_type.deprecated_at,
            "creationDate": thing_type.created_at,
        },
    }


def _arn(thing_type: ThingType) -> str:
    return arn.thing_type(thing_type.realm, thing_type.name)
