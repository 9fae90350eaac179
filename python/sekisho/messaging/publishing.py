"""Publishes messages of the API: the operation Publish of ``iot-data``.

This module checks what does not depend on the broker's state. The broker checks the rest.

Source: API Reference of the data plane, Publish; General Reference, "AWS IoT Core message broker and protocol limits".
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from sekisho.errors import InvalidRequestException, RequestEntityTooLargeException
from sekisho.realm import Realm

MAX_TOPIC_BYTES: Final = 256
MAX_TOPIC_SLASHES: Final = 7
MAX_PAYLOAD_BYTES: Final = 128 * 1024
MAX_CONTENT_TYPE_BYTES: Final = 256
MAX_CORRELATION_DATA_BYTES: Final = 8 * 1024
MAX_USER_PROPERTIES_BYTES: Final = 8 * 1024
MIN_EXPIRY_SECONDS: Final = 1
MAX_EXPIRY_SECONDS: Final = 604_800

_BASIC_INGEST: Final = "$aws/rules/"


@dataclass(frozen=True, slots=True)
class Message:
    """A message with its MQTT 5 properties (MQTT 5 section 3.3.2.3)."""

    topic: str
    payload: bytes = b""
    qos: int = 0
    retain: bool = False
    payload_is_utf8: bool | None = None
    """The Payload Format Indicator; None: without one. As on AWS it is forwarded, and the payload not checked."""
    content_type: str | None = None
    response_topic: str | None = None
    correlation_data: bytes | None = None
    expiry_seconds: int | None = None
    user_properties: tuple[tuple[str, str], ...] = ()


class Broker(Protocol):
    """The broker that delivers messages."""

    def publish(self, realm: Realm, message: Message) -> None:
        """Deliver a message to the subscribers of a realm, and retain it if ``message.retain``.

        Raises:
            InvalidRequestException: The broker refuses the message.
            ThrottlingException: The broker has reached a limit, and may accept the message later.
            ServiceUnavailableException: The broker does not run.
        """
        ...


class Publishing:
    """Checks messages of the API and gives them to the broker."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def publish(self, realm: Realm, message: Message) -> None:
        """Publish a message.

        Raises:
            InvalidRequestException: AWS IoT does not accept the topic, a property or the combination.
            RequestEntityTooLargeException: The payload has more than MAX_PAYLOAD_BYTES.
            ThrottlingException, ServiceUnavailableException: From the broker.
        """
        _require_topic(message.topic, "topic")
        if message.qos not in (0, 1):
            raise InvalidRequestException(f"qos {message.qos} is not supported. Give 0 or 1.")
        if message.retain and message.topic.startswith("$"):
            raise InvalidRequestException(
                f"A message on {message.topic!r} cannot be retained: topics that begin with '$' are reserved."
            )
        if len(message.payload) > MAX_PAYLOAD_BYTES:
            raise RequestEntityTooLargeException(
                f"The payload has {len(message.payload)} bytes; the maximum is {MAX_PAYLOAD_BYTES}."
            )
        if message.response_topic is not None:
            _require_topic(message.response_topic, "responseTopic")
        if message.content_type is not None:
            _require_text(message.content_type, "contentType", MAX_CONTENT_TYPE_BYTES)
        if message.correlation_data is not None:
            _require_size(len(message.correlation_data), "correlationData", MAX_CORRELATION_DATA_BYTES)
        _require_size(
            sum(len(name.encode()) + len(value.encode()) for name, value in message.user_properties),
            "userProperties",
            MAX_USER_PROPERTIES_BYTES,
        )
        self._broker.publish(realm, message)


def expiry_within_limits(seconds: int | None) -> int | None:
    """Return a message expiry in seconds as AWS IoT uses it: 0 becomes 1, more than seven days becomes seven days.

    Raises:
        InvalidRequestException: It is less than 0.
    """
    if seconds is None:
        return None
    if seconds < 0:
        raise InvalidRequestException(f"messageExpiry {seconds} is negative. Give a number of seconds from 0.")
    return min(max(seconds, MIN_EXPIRY_SECONDS), MAX_EXPIRY_SECONDS)


def correlation_data(encoded: str | None) -> bytes | None:
    """Decode the correlation data of a request from base64.

    Raises:
        InvalidRequestException: They are not base64.
    """
    if encoded is None:
        return None
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequestException("correlationData is not valid base64.") from None


def user_properties(text: str | None) -> tuple[tuple[str, str], ...]:
    """Decode the user properties of a request from their JSON text ``[{"name": "value"}, …]``.

    Raises:
        InvalidRequestException: The text has another form.
    """
    if not text:
        return ()
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise _not_user_properties("is not valid JSON") from None
    if not isinstance(content, list):
        raise _not_user_properties("is not a list")
    found: list[tuple[str, str]] = []
    for number, item in enumerate(content, 1):
        if not isinstance(item, dict):
            raise _not_user_properties(f"is not valid: item {number} is not an object")
        found += _pairs(item, number)
    return tuple(found)


def _pairs(item: dict[str, Any], number: int) -> Sequence[tuple[str, str]]:
    for name, value in item.items():
        if not isinstance(value, str):
            raise _not_user_properties(f"is not valid: item {number} has a value that is not a string")
        _require_text(name, f"userProperties: a name in item {number}", MAX_USER_PROPERTIES_BYTES)
        _require_text(value, f"userProperties: a value in item {number}", MAX_USER_PROPERTIES_BYTES)
    return list(item.items())


def _not_user_properties(what: str) -> InvalidRequestException:
    return InvalidRequestException(
        f'userProperties {what}. Give a JSON list of objects with strings, such as [{{"deviceName": "alpha"}}].'
    )


def _require_topic(topic: str, member: str) -> None:
    """Check [MQTT-4.7.1-1], [MQTT-4.7.3-1], [MQTT-4.7.3-2], and the limits of AWS IoT."""
    if not topic:
        raise InvalidRequestException(f"{member} is empty.")
    for wildcard in "+#":
        if wildcard in topic:
            raise InvalidRequestException(
                f"{member} {_shown(topic)} has the wildcard '{wildcard}', which a topic of a message must not have."
            )
    # The first three levels of a Basic Ingest topic name a rule and do not count.
    counted = topic.split("/", 3)[3] if topic.startswith(_BASIC_INGEST) and topic.count("/") >= 3 else topic
    if counted.count("/") > MAX_TOPIC_SLASHES:
        raise InvalidRequestException(
            f"{member} {_shown(topic)} has {counted.count('/')} slashes; the maximum is {MAX_TOPIC_SLASHES}."
        )
    _require_characters(topic, member)
    _require_size(len(counted.encode()), member, MAX_TOPIC_BYTES)


def _require_text(text: str, member: str, most: int) -> None:
    _require_characters(text, member)
    _require_size(len(text.encode()), member, most)


def _require_characters(text: str, member: str) -> None:
    """Check [MQTT-1.5.4-1] and [MQTT-1.5.4-2]: neither U+0000 nor surrogates."""
    if "\0" in text:
        raise InvalidRequestException(f"{member} has the character U+0000, which MQTT forbids.")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidRequestException(f"{member} has half of a surrogate pair, which is not a character.")


def _require_size(size: int, member: str, most: int) -> None:
    if size > most:
        raise InvalidRequestException(f"{member} has {size} bytes; the maximum is {most}.")


def _shown(topic: str) -> str:
    return repr(topic if len(topic) <= 100 else topic[:100] + "…")
