"""Tags of resources.

Source: https://docs.aws.amazon.com/iot/latest/apireference/API_TagResource.html and its neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sekisho.api.operation import Call, operation
from sekisho.errors import InvalidRequestException, LimitExceededException
from sekisho.tags.rules import checked_tags

if TYPE_CHECKING:
    from types_boto3_iot.type_defs import (
        ListTagsForResourceRequestTypeDef,
        TagResourceRequestTypeDef,
        UntagResourceRequestTypeDef,
    )


@operation("iot", "TagResource")
def tag_resource(call: Call, request: TagResourceRequestTypeDef) -> Mapping[str, Any]:
    """Add tags to a resource."""
    tags = checked_tags(((tag["Key"], tag.get("Value", "")) for tag in request["tags"]), LimitExceededException)
    call.services.tags.tag(call.realm, request["resourceArn"], tags)
    return {}


@operation("iot", "UntagResource")
def untag_resource(call: Call, request: UntagResourceRequestTypeDef) -> Mapping[str, Any]:
    """Remove tags from a resource."""
    call.services.tags.untag(call.realm, request["resourceArn"], list(request["tagKeys"]))
    return {}


@operation("iot", "ListTagsForResource")
def list_tags_for_resource(call: Call, request: ListTagsForResourceRequestTypeDef) -> Mapping[str, Any]:
    """Return all tags of a resource in one page: there are at most fifty."""
    if request.get("nextToken"):
        raise InvalidRequestException("The nextToken was not given by this service: tags come in one page.")
    tags = call.services.tags.of(call.realm, request["resourceArn"])
    return {"tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
