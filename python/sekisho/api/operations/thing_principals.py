"""Things and the principals attached to them.

Source: https://docs.aws.amazon.com/iot/latest/apireference/API_AttachThingPrincipal.html and its neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sekisho import pages
from sekisho.api.operation import Call, operation
from sekisho.principals.model import ThingPrincipalType

if TYPE_CHECKING:
    from types_boto3_iot.type_defs import (
        AttachThingPrincipalRequestTypeDef,
        DetachThingPrincipalRequestTypeDef,
        ListPrincipalThingsRequestTypeDef,
        ListPrincipalThingsV2RequestTypeDef,
        ListThingPrincipalsRequestTypeDef,
        ListThingPrincipalsV2RequestTypeDef,
    )


@operation("iot", "AttachThingPrincipal")
def attach_thing_principal(call: Call, request: AttachThingPrincipalRequestTypeDef) -> Mapping[str, Any]:
    """Attach a principal to a thing."""
    call.services.things.attach_principal(
        call.realm, request["thingName"], request["principal"], _type(request.get("thingPrincipalType"))
    )
    return {}


@operation("iot", "DetachThingPrincipal")
def detach_thing_principal(call: Call, request: DetachThingPrincipalRequestTypeDef) -> Mapping[str, Any]:
    """Detach a principal from a thing."""
    call.services.things.detach_principal(call.realm, request["thingName"], request["principal"])
    return {}


@operation("iot", "ListThingPrincipals")
def list_thing_principals(call: Call, request: ListThingPrincipalsRequestTypeDef) -> Mapping[str, Any]:
    """Return the principals of a thing."""
    window = pages.window(request.get("nextToken"), request.get("maxResults"))
    found = call.services.things.principals_of(call.realm, request["thingName"], window)
    return {
        "principals": [attachment.principal for attachment in found.items],
        "nextToken": pages.next_marker(found.next_after),
    }


@operation("iot", "ListThingPrincipalsV2")
def list_thing_principals_v2(call: Call, request: ListThingPrincipalsV2RequestTypeDef) -> Mapping[str, Any]:
    """Return the principals of a thing, with the type of each attachment."""
    window = pages.window(request.get("nextToken"), request.get("maxResults"))
    wanted = _type(request.get("thingPrincipalType"))
    found = call.services.things.principals_of(call.realm, request["thingName"], window, wanted)
    return {
        "thingPrincipalObjects": [
            {"principal": attachment.principal, "thingPrincipalType": attachment.type.value}
            for attachment in found.items
        ],
        "nextToken": pages.next_marker(found.next_after),
    }


@operation("iot", "ListPrincipalThings")
def list_principal_things(call: Call, request: ListPrincipalThingsRequestTypeDef) -> Mapping[str, Any]:
    """Return the things of a principal."""
    window = pages.window(request.get("nextToken"), request.get("maxResults"))
    found = call.services.things.things_of(call.realm, request["principal"], window)
    return {
        "things": [attachment.thing_name for attachment in found.items],
        "nextToken": pages.next_marker(found.next_after),
    }


@operation("iot", "ListPrincipalThingsV2")
def list_principal_things_v2(call: Call, request: ListPrincipalThingsV2RequestTypeDef) -> Mapping[str, Any]:
    """Return the things of a principal, with the type of each attachment."""
    window = pages.window(request.get("nextToken"), request.get("maxResults"))
    wanted = _type(request.get("thingPrincipalType"))
    found = call.services.things.things_of(call.realm, request["principal"], window, wanted)
    return {
        "principalThingObjects": [
            {"thingName": attachment.thing_name, "thingPrincipalType": attachment.type.value}
            for attachment in found.items
        ],
        "nextToken": pages.next_marker(found.next_after),
    }


def _type(name: str | None) -> ThingPrincipalType | None:
    return None if name is None else ThingPrincipalType(name)
