from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from sekisho import _sekisho
from sekisho.errors import AwsException, InvalidRequestException, ServiceUnavailableException, ThrottlingException
from sekisho.gateway.broker import GatewayBroker
from sekisho.messaging.publishing import Message
from sekisho.realm import Realm
from sekisho.regions import Regions

if TYPE_CHECKING:
    from sekisho._sekisho import UnpublishedDict

HOME = Realm("123456789012", "eu-central-1")


def refused(reason: str | None) -> UnpublishedDict:
    return {"reason": reason, "detail": "why"}


class Answering:
    """The part of a gateway that publishes; answers as the test says."""

    def __init__(self, answer: UnpublishedDict | Exception | None) -> None:
        self.answer = answer
        self.taken: list[object] = []

    def publish(self, messages: list[object], is_service: bool) -> list[UnpublishedDict | None]:
        assert not is_service
        self.taken += messages
        if isinstance(self.answer, Exception):
            raise self.answer
        return [self.answer]


def publish(answer: UnpublishedDict | Exception | None, message: Message) -> list[object]:
    gateway = Answering(answer)
    GatewayBroker(cast(_sekisho.Gateway, gateway)).publish(HOME, message)
    return gateway.taken


def test_a_message_crosses_the_boundary_as_the_dictionary_of_the_contract() -> None:
    message = Message(
        topic="a/b",
        payload=b"\x00",
        qos=1,
        retain=True,
        payload_is_utf8=False,
        content_type="text/plain",
        response_topic="r",
        correlation_data=b"c",
        expiry_seconds=7,
        user_properties=(("n", "v"),),
    )
    assert publish(None, message) == [
        {
            "account_id": "123456789012",
            "region": "eu-central-1",
            "topic": "a/b",
            "payload": b"\x00",
            "qos": 1,
            "retain": True,
            "payload_is_utf8": False,
            "expiry_seconds": 7,
            "response_topic": "r",
            "correlation_data": b"c",
            "content_type": "text/plain",
            "user_properties": [("n", "v")],
        }
    ]


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (refused("TOPIC_RESERVED"), InvalidRequestException, "TOPIC_RESERVED: why"),
        (refused("RETAINED_STORE_FULL"), ThrottlingException, "RETAINED_STORE_FULL: why"),
        (refused("MESSAGE_MEMORY_FULL"), ThrottlingException, "MESSAGE_MEMORY_FULL: why"),
        (refused("PUBLISH_RATE"), ThrottlingException, "PUBLISH_RATE: why"),
        (refused(None), InvalidRequestException, "why"),
        (_sekisho.GatewayError("stopped"), ServiceUnavailableException, "stopped"),
    ],
)
def test_a_refusal_of_the_broker_is_raised_with_its_reason(
    answer: UnpublishedDict | Exception, error: type[AwsException], says: str
) -> None:
    with pytest.raises(error) as refusal:
        publish(answer, Message("a"))
    assert says in refusal.value.message


def test_a_real_gateway_publishes_and_refuses_a_reserved_topic_with_a_reason() -> None:
    broker = GatewayBroker(_sekisho.Gateway(host="127.0.0.1", mqtt_port=0))
    broker.publish(HOME, Message("a", user_properties=(("n", "v"),), expiry_seconds=1, correlation_data=b"c"))
    with pytest.raises(InvalidRequestException, match="TOPIC_RESERVED: The topic begins with"):
        broker.publish(HOME, Message("$nothing"))


def test_a_message_for_a_region_that_is_not_in_the_list_is_not_passed_on() -> None:
    gateway = Answering(None)
    broker = GatewayBroker(cast(_sekisho.Gateway, gateway), Regions(("plant-1",)))
    with pytest.raises(InvalidRequestException, match="'plant-2' is neither a region of AWS"):
        broker.publish(Realm("123456789012", "plant-2"), Message(topic="t", payload=b""))
    assert gateway.taken == []
    broker.publish(Realm("123456789012", "plant-1"), Message(topic="t", payload=b""))
    assert len(gateway.taken) == 1


def test_the_limits_of_the_settings_reach_the_gateway_and_retained_messages_are_counted() -> None:
    gateway = _sekisho.Gateway(host="127.0.0.1", mqtt_port=0, max_retained_bytes=4096, account_share=50)
    broker = GatewayBroker(gateway)
    broker.publish(HOME, Message("kept", b"x" * 1024, retain=True))
    held = dict(gateway.statistics())["held.retained_bytes"]
    assert 1024 < held <= 2048
    with pytest.raises(ThrottlingException, match=r"RETAINED_STORE_FULL: .* max_retained_bytes"):
        broker.publish(HOME, Message("more", b"x" * 1024, retain=True))
    broker.publish(HOME, Message("kept", retain=True))
    assert dict(gateway.statistics())["held.retained_bytes"] == 0
