"""RegisterThing: registers a thing by a template in the request.

Source: https://docs.aws.amazon.com/iot/latest/apireference/API_RegisterThing.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sekisho.api.operation import Call, operation

if TYPE_CHECKING:
    from types_boto3_iot.type_defs import RegisterThingRequestTypeDef


@operation("iot", "RegisterThing")
def register_thing(call: Call, request: RegisterThingRequestTypeDef) -> Mapping[str, Any]:
    """Provision a thing, its certificate and its policies by a template: all of it, or nothing."""
    provisioned = call.services.thing_registration.register(
        call.realm, request["templateBody"], request.get("parameters", {})
    )
    certificate = provisioned.certificate
    return {
        "certificatePem": None if certificate is None else certificate.certificate_pem,
        "resourceArns": provisioned.resource_arns,
    }
