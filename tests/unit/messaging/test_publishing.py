from __future__ import annotations

from dataclasses import replace

import pytest

from sekisho.errors import InvalidRequestException, RequestEntityTooLargeException
from sekisho.messaging.publishing import (
    Message,
    Publishing,
    correlation_data,
    expiry_within_limits,
    user_properties,
)
from sekisho.realm import Realm

HOME = Realm("123456789012", "eu-central-1")


class Collector:
    """A broker that records messages."""

    def __init__(self) -> None:
        self.messages: list[tuple[Realm, Message]] = []

    def publish(self, realm: Realm, message: Message) -> None:
        self.messages.append((realm, message))


@pytest.mark.parametrize(
    "message",
    [
        Message("a"),
        Message("/a//b/"),
        Message("a/b/c/d/e/f/g/h", b"x" * 131072, qos=1, retain=True),
        Message("é" * 128),
        Message("$aws/things/pump/shadow/update", b"{}"),
        Message("$aws/rules/store/a/b/c/d/e/f/g/h"),
        Message("a", content_type="x" * 256, correlation_data=b"x" * 8192, response_topic="b"),
        Message("a", user_properties=(("n" * 4096, "v" * 4096),)),
    ],
)
def test_a_message_within_the_limits_reaches_the_broker_unchanged(message: Message) -> None:
    broker = Collector()
    Publishing(broker).publish(HOME, message)
    assert broker.messages == [(HOME, message)]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"topic": ""}, "topic is empty"),
        ({"topic": "a/+/b"}, "wildcard '+'"),
        ({"topic": "a/#"}, "wildcard '#'"),
        ({"topic": "a/b/c/d/e/f/g/h/i"}, "8 slashes; the maximum is 7"),
        ({"topic": "$aws/rules/store/a/b/c/d/e/f/g/h/i"}, "8 slashes"),
        ({"topic": "x" * 257}, "topic has 257 bytes; the maximum is 256"),
        ({"topic": "é" * 129}, "258 bytes"),
        ({"topic": "a\0b"}, "U+0000"),
        ({"topic": "a\ud800b"}, "surrogate"),
        ({"qos": 2}, "qos 2 is not supported. Give 0 or 1"),
        ({"topic": "$aws/things/pump/shadow/update", "retain": True}, "cannot be retained"),
        ({"response_topic": "a/#"}, "responseTopic 'a/#' has the wildcard"),
        ({"response_topic": ""}, "responseTopic is empty"),
        ({"content_type": "x" * 257}, "contentType has 257 bytes; the maximum is 256"),
        ({"content_type": "a\0"}, "contentType has the character U+0000"),
        ({"correlation_data": b"x" * 8193}, "correlationData has 8193 bytes; the maximum is 8192"),
        ({"user_properties": (("n" * 4096, "v" * 4097),)}, "userProperties has 8193 bytes"),
    ],
)
def test_a_message_that_breaks_a_rule_does_not_reach_the_broker(change: dict[str, object], says: str) -> None:
    broker = Collector()
    with pytest.raises(InvalidRequestException) as refusal:
        Publishing(broker).publish(HOME, replace(Message("a"), **change))  # type: ignore[arg-type]
    assert says in refusal.value.message
    assert broker.messages == []


def test_a_payload_of_more_than_128_kb_is_too_large() -> None:
    broker = Collector()
    with pytest.raises(RequestEntityTooLargeException, match="131073 bytes"):
        Publishing(broker).publish(HOME, Message("a", b"x" * 131073))
    assert broker.messages == []


@pytest.mark.parametrize(
    ("asked", "taken"), [(None, None), (0, 1), (1, 1), (604_800, 604_800), (604_801, 604_800), (2**62, 604_800)]
)
def test_an_expiry_is_limited_to_one_second_and_seven_days(asked: int | None, taken: int | None) -> None:
    assert expiry_within_limits(asked) == taken


def test_a_negative_expiry_is_refused() -> None:
    with pytest.raises(InvalidRequestException, match="messageExpiry -1 is negative"):
        expiry_within_limits(-1)


def test_correlation_data_is_base64() -> None:
    assert correlation_data(None) is None
    assert correlation_data("AAEC") == b"\x00\x01\x02"
    for wrong in ("A", "not base64!", "é"):
        with pytest.raises(InvalidRequestException, match="base64"):
            correlation_data(wrong)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, ()),
        ("", ()),
        ("[]", ()),
        ('[{"a": "1"}, {"a": "2"}]', (("a", "1"), ("a", "2"))),
        ('[{"a": "1", "b": ""}]', (("a", "1"), ("b", ""))),
    ],
)
def test_user_properties_keep_their_order_and_may_repeat(
    text: str | None, expected: tuple[tuple[str, str], ...]
) -> None:
    assert user_properties(text) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is not valid JSON"),
        ('{"a": "1"}', "is not a list"),
        ('["a"]', "item 1 is not an object"),
        ('[{"a": "1"}, {"b": 2}]', "item 2 has a value that is not a string"),
        ('[{"a": "\\u0000"}]', "U+0000"),
        ("[" * 100_000, "is not valid JSON"),
    ],
)
def test_user_properties_in_another_form_are_refused(text: str, says: str) -> None:
    with pytest.raises(InvalidRequestException) as refusal:
        user_properties(text)
    assert says in refusal.value.message
