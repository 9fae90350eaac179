"""The data plane's broker, as the control plane publishes through it."""

from __future__ import annotations

from functools import cache
from typing import Final

from sekisho import _sekisho
from sekisho.errors import InvalidRequestException, ServiceUnavailableException, ThrottlingException
from sekisho.messaging.publishing import Message
from sekisho.realm import Realm
from sekisho.regions import Regions

_FOR_NOW: Final = frozenset({"PUBLISH_RATE", "RETAINED_STORE_FULL", "MESSAGE_MEMORY_FULL"})
"""Refusals that may be gone when the caller tries again."""


class GatewayBroker:
    """``messaging.publishing.Broker`` over ``Gateway.publish``.

    Args:
        regions: Those that the server serves. A message for another is refused: it would make a realm there.
        is_service: What is published is the service's own, such as events, and may go to reserved topics.
    """

    def __init__(self, gateway: _sekisho.Gateway, regions: Regions | None = None, *, is_service: bool = False) -> None:
        self._gateway = gateway
        self._regions = regions or Regions()
        self._is_service = is_service

    def publish(self, realm: Realm, message: Message) -> None:
        """Publish with no connection; returns when what is to be kept is kept."""
        if realm.region not in self._regions:
            raise InvalidRequestException(self._regions.why_not(realm.region))
        properties = (
            message.payload_is_utf8,
            message.expiry_seconds,
            message.response_topic,
            message.correlation_data,
            message.content_type,
            list(message.user_properties),
        )
        publication = (
            realm.account_id,
            realm.region,
            message.topic,
            message.payload,
            message.qos,
            message.retain,
            properties,
        )
        try:
            refused = self._gateway.publish([publication], self._is_service)[0]
        except _sekisho.GatewayError as error:
            raise ServiceUnavailableException(f"The message broker does not take messages: {error}") from None
        if refused is not None:
            reason, _, sentence = refused.partition(": ")
            if not sentence and reason in _sentences():
                refused = f"{reason}: {_sentences()[reason]}"
            raise (ThrottlingException if reason in _FOR_NOW else InvalidRequestException)(refused)


@cache
def _sentences() -> dict[str, str]:
    return dict(_sekisho.refusal_reasons())
