"""Publish over HTTP, for callers that sign with SigV4.

Source: https://docs.aws.amazon.com/iot/latest/apireference/API_iotdata_Publish.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sekisho.api.operation import Call, operation
from sekisho.messaging.publishing import Message, correlation_data, expiry_within_limits, user_properties

if TYPE_CHECKING:
    from types_boto3_iot_data.type_defs import PublishRequestTypeDef


@operation("iot-data", "Publish")
def publish(call: Call, request: PublishRequestTypeDef) -> Mapping[str, Any]:
    """Publish a message. AWS answers with a small JSON body that the model does not declare."""
    indicator = request.get("payloadFormatIndicator")
    payload = request.get("payload", b"")
    message = Message(
        topic=request["topic"],
        payload=payload if isinstance(payload, bytes) else bytes(payload),  # type: ignore[arg-type]
        qos=request.get("qos", 0),
        retain=request.get("retain", False),
        payload_is_utf8=None if indicator is None else indicator == "UTF8_DATA",
        content_type=request.get("contentType"),
        response_topic=request.get("responseTopic"),
        correlation_data=correlation_data(request.get("correlationData")),
        expiry_seconds=expiry_within_limits(request.get("messageExpiry")),
        user_properties=user_properties(request.get("userProperties")),
    )
    call.services.publishing.publish(call.realm, message)
    return {"message": "OK", "traceId": call.request_id}
