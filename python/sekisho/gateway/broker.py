"""Publishes to the data plane's broker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sekisho import _sekisho
from sekisho.errors import InvalidRequestException, ServiceUnavailableException, ThrottlingException
from sekisho.messaging.publishing import Message
from sekisho.realm import Realm
from sekisho.refusal import RefusalReason
from sekisho.regions import Regions

if TYPE_CHECKING:
    # Only the type stubs have this name; the built module has no such object.
    from sekisho._sekisho import PublicationDict

_TEMPORARY: Final = frozenset(
    {RefusalReason.PUBLISH_RATE, RefusalReason.RETAINED_STORE_FULL, RefusalReason.MESSAGE_MEMORY_FULL}
)
"""Reasons after which a retry may succeed."""


class GatewayBroker:
    """``messaging.publishing.Broker`` over ``Gateway.publish``.

    Args:
        regions: The regions that the server serves. A message for another one is refused: it would make a realm there.
        is_service: Messages are the service's own, such as events, and may be published on reserved topics.
    """

    def __init__(self, gateway: _sekisho.Gateway, regions: Regions | None = None, *, is_service: bool = False) -> None:
        self._gateway = gateway
        self._regions = regions or Regions()
        self._is_service = is_service

    def publish(self, realm: Realm, message: Message) -> None:
        """Publish without a connection. Returns when the broker has stored what it keeps (retained messages)."""
        if realm.region not in self._regions:
            raise InvalidRequestException(self._regions.why_not(realm.region))
        publication: PublicationDict = {
            "account_id": realm.account_id,
            "region": realm.region,
            "topic": message.topic,
            "payload": message.payload,
            "qos": message.qos,
            "retain": message.retain,
            "payload_is_utf8": message.payload_is_utf8,
            "expiry_seconds": message.expiry_seconds,
            "response_topic": message.response_topic,
            "correlation_data": message.correlation_data,
            "content_type": message.content_type,
            "user_properties": list(message.user_properties),
        }
        try:
            unpublished = self._gateway.publish([publication], self._is_service)[0]
        except _sekisho.GatewayError as error:
            raise ServiceUnavailableException(f"The message broker does not take messages: {error}") from None
        if unpublished is None:
            return
        reason, detail = unpublished["reason"], unpublished["detail"]
        message_of_error = detail if reason is None else f"{reason}: {detail}"
        raise (ThrottlingException if reason in _TEMPORARY else InvalidRequestException)(message_of_error)
