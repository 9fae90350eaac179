"""The endpoint of an account in a region.

Source: https://docs.aws.amazon.com/iot/latest/apireference/API_DescribeEndpoint.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sekisho.api.operation import Call, operation

if TYPE_CHECKING:
    from types_boto3_iot.type_defs import DescribeEndpointRequestTypeDef


@operation("iot", "DescribeEndpoint")
def describe_endpoint(call: Call, request: DescribeEndpointRequestTypeDef) -> Mapping[str, Any]:
    """Return the host name of the endpoint; clients know the port (8883)."""
    endpoint = call.services.endpoints.describe(call.realm, request.get("endpointType"))
    return {"endpointAddress": endpoint.server_name}
