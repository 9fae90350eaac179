"""Messages with real clients, where AWS IoT differs from MQTT."""

from __future__ import annotations

import json
import queue
from typing import Any

import pytest
from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests import x509
from tests.e2e import mqtt_wire
from tests.e2e.certificate_files import CertificateFiles, in_files
from tests.e2e.devices import V5, V311, WITHIN, Device, allow, register
from tests.e2e.mqtt_wire import DISCONNECT, PUBACK, PUBLISH, SUBACK, Wire, publish, subscribe
from tests.e2e.running_server import Clients, RunningServer

VERSIONS = pytest.mark.parametrize("version", [V311, V5], ids=["3.1.1", "5"])
LEVELS = pytest.mark.parametrize("level", [mqtt_wire.V311, mqtt_wire.V5], ids=["3.1.1", "5"])

OWN_TOPICS = [
    {"Effect": "Allow", "Action": "iot:Connect", "Resource": "arn:aws:iot:*:*:client/${iot:ClientId}"},
    {"Effect": "Allow", "Action": "iot:Publish", "Resource": "arn:aws:iot:*:*:topic/own/${iot:ClientId}/*"},
    {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": "arn:aws:iot:*:*:topicfilter/*"},
    {"Effect": "Allow", "Action": "iot:Receive", "Resource": "arn:aws:iot:*:*:topic/own/${iot:ClientId}/*"},
]


@pytest.fixture(scope="module")
def clients(server: RunningServer) -> Clients:
    return server.session()


@pytest.fixture(scope="module")
def device(clients: Clients, tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    """Register a device that may do anything."""
    device_files = in_files(tmp_path_factory.mktemp("device"), x509.new_device(None))
    register(clients, device_files, allow(clients.iot, "anything"))
    return device_files


@pytest.fixture(scope="module")
def narrow(clients: Clients, tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    """Register a device that may publish and subscribe only on topics of its client ID."""
    device_files = in_files(tmp_path_factory.mktemp("narrow"), x509.new_device(None))
    register(clients, device_files, allow(clients.iot, "own-topics", *OWN_TOPICS))
    return device_files


def is_silent(device: Device) -> bool:
    try:
        device.messages.get_nowait()
    except queue.Empty:
        return True
    return False


@VERSIONS
def test_policy_variables_limit_a_device_to_its_topics_and_receive_is_checked_at_delivery(
    server: RunningServer, device: CertificateFiles, narrow: CertificateFiles, version: MQTTProtocolVersion
) -> None:
    with Device(server, narrow, "own-1", version=version) as bound, Device(server, device, "free") as free:
        assert not free.subscribe("own/#").is_failure
        # The subscription is allowed, because Receive is narrower: messages on other topics never arrive.
        assert not bound.subscribe("own/#", 1).is_failure
        bound.publish("own/own-1/up", "mine", 1)
        assert free.message().payload == b"mine"
        assert bound.message().payload == b"mine"
        free.publish("own/own-2/down", "not mine", 1)
        free.publish("own/own-1/down", "for me", 1)
        assert bound.message().payload == b"for me"
        assert is_silent(bound)


@LEVELS
def test_a_publish_that_no_policy_allows_is_not_delivered(
    server: RunningServer, device: CertificateFiles, narrow: CertificateFiles, level: int
) -> None:
    with Device(server, device, "watcher") as watcher, Wire(server, narrow) as wire:
        assert not watcher.subscribe("own/#").is_failure
        wire.connect("own-3", level)
        wire.send(publish("own/own-4/up", b"forged", level, qos=1, packet_id=9))
        if level == mqtt_wire.V311:
            assert wire.rest() == []
        else:
            # With a reason code, and the connection stays open.
            assert wire.expect(PUBACK).body[:3] == b"\x00\x09\x87"
            assert wire.is_alive()
        watcher.publish("own/own-3/up", "after", 1)
        assert watcher.message().payload == b"after"


@VERSIONS
def test_retained_messages_are_sent_for_an_exact_topic_and_not_for_a_wildcard(
    server: RunningServer, device: CertificateFiles, version: MQTTProtocolVersion
) -> None:
    topic = f"kept/{int(version)}/exact"
    with Device(server, device, "keeper", version=version) as keeper:
        keeper.publish(topic, "kept", 1, retain=True)
    with Device(server, device, "later", version=version) as later:
        for wildcard in ("kept/#", f"kept/{int(version)}/+"):
            assert not later.subscribe(wildcard, 1).is_failure
        assert not later.subscribe("kept/mark", 1).is_failure
        later.publish("kept/mark", "mark", 1)
        # Messages for the wildcards would have come before this one.
        assert later.message().payload == b"mark"
    with Device(server, device, "exact", version=version) as exact:
        assert not exact.subscribe(topic, 1).is_failure
        message = exact.message()
        assert (message.payload, message.retain) == (b"kept", True)


@VERSIONS
def test_a_wildcard_does_not_match_its_parent_level(
    server: RunningServer, device: CertificateFiles, version: MQTTProtocolVersion
) -> None:
    with Device(server, device, "wild", version=version) as wild:
        assert not wild.subscribe("sensor/#", 1).is_failure
        for topic in ("sensor", "sensor/", "sensor/x", "sensor/x/y"):
            wild.publish(topic, topic, 1)
        assert [wild.message().topic for _ in range(3)] == ["sensor/", "sensor/x", "sensor/x/y"]


@LEVELS
def test_qos_2_is_refused_and_not_acknowledged(server: RunningServer, device: CertificateFiles, level: int) -> None:
    with Wire(server, device) as wire:
        wire.connect("qos-2-publish", level)
        wire.send(publish("t", b"m", level, qos=2))
        ended = wire.rest()
    expected = [] if level == mqtt_wire.V311 else [(DISCONNECT, 0x9B)]
    assert [(each.kind, each.body[0]) for each in ended] == expected
    with Wire(server, device) as wire:
        wire.connect("qos-2-subscribe", level)
        wire.send(subscribe("t", version=level, qos=2))
        assert all(each.kind != SUBACK or each.body[-1] >= 0x80 for each in wire.rest())


@VERSIONS
def test_a_will_is_sent_for_a_lost_connection_and_not_after_disconnect(
    server: RunningServer, device: CertificateFiles, version: MQTTProtocolVersion
) -> None:
    def with_will(text: str) -> Any:
        return lambda client: client.will_set("wills", text, 1)

    with Device(server, device, "heir", version=version) as heir:
        assert not heir.subscribe("wills", 1).is_failure
        polite = Device(server, device, "polite", version=version, prepare=with_will("polite"))
        polite.connect()
        polite.disconnect()
        lost = Device(server, device, "lost", version=version, prepare=with_will("lost"))
        lost.connect()
        lost.drop()
        assert heir.message().payload == b"lost"
        assert is_silent(heir)


@LEVELS
def test_a_client_id_belongs_to_the_last_connection(
    server: RunningServer, device: CertificateFiles, level: int
) -> None:
    with Wire(server, device) as first, Wire(server, device) as second:
        first.connect("one-of-it", level)
        second.connect("one-of-it", level)
        expected = [] if level == mqtt_wire.V311 else [(DISCONNECT, 0x8E)]
        assert [(each.kind, each.body[0]) for each in first.rest()] == expected
        assert second.is_alive()


@LEVELS
def test_a_session_keeps_messages_at_qos_1_only(server: RunningServer, device: CertificateFiles, level: int) -> None:
    name = f"persistent-{level}"
    # Session Expiry Interval of five minutes.
    kept = bytes.fromhex("110000012c") if level == mqtt_wire.V5 else b""
    come = mqtt_wire.connect(name, level, clean=False, properties=kept)
    with Wire(server, device) as before:
        before.send(come)
        assert before.expect(mqtt_wire.CONNACK).body[:2] == b"\0\0"
        before.send(subscribe("letters", version=level, qos=1))
        before.expect(SUBACK)
        before.send(b"\xe0\x00")
        assert before.rest() == []
    with Device(server, device, "postman") as postman:
        postman.publish("letters", "lost", 0)
        postman.publish("letters", "first", 1)
        postman.publish("letters", "second", 1)
    with Wire(server, device) as after:
        after.send(come)
        assert after.expect(mqtt_wire.CONNACK).body[:2] == b"\x01\0"
        got = [after.expect(PUBLISH) for _ in range(2)]
        assert [each.body.endswith(word) for each, word in zip(got, (b"first", b"second"), strict=True)] == [True] * 2
        assert all(not each.flags & 0x08 for each in got), "DUP is never set"
        assert after.is_alive()


@VERSIONS
def test_a_shared_subscription_gives_each_message_to_one_member(
    server: RunningServer, device: CertificateFiles, version: MQTTProtocolVersion
) -> None:
    topic = f"work/{int(version)}"
    with (
        Device(server, device, "member-1", version=version) as one,
        Device(server, device, "member-2", version=version) as two,
        Device(server, device, "boss", version=version) as boss,
    ):
        received: queue.Queue[int] = queue.Queue()
        for member in (one, two):
            member.client.on_message = lambda _client, _data, message: received.put(int(message.payload))
            assert not member.subscribe(f"$share/crew/{topic}", 1).is_failure
        for number in range(20):
            boss.publish(topic, str(number), 1)
        assert sorted(received.get(timeout=WITHIN) for _ in range(20)) == list(range(20))
        assert received.empty()


def test_properties_of_mqtt_5_reach_a_subscriber_of_mqtt_5_and_not_one_of_3_1_1(
    server: RunningServer, device: CertificateFiles
) -> None:
    # paho makes these attributes at run time.
    properties: Any = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.ContentType = "application/json"
    properties.ResponseTopic = "answers/1"
    properties.CorrelationData = b"\x00\x01"
    properties.PayloadFormatIndicator = 1
    properties.MessageExpiryInterval = 600
    properties.UserProperty = [("a", "1"), ("a", "2")]
    with Device(server, device, "new") as new, Device(server, device, "old", version=V311) as old:
        for each in (new, old):
            assert not each.subscribe("props", 1).is_failure
        new.publish("props", "{}", 1, properties=properties)
        got: Any = new.message().properties
        assert got.ContentType == "application/json"
        assert got.ResponseTopic == "answers/1"
        assert got.CorrelationData == b"\x00\x01"
        assert got.PayloadFormatIndicator == 1
        assert 0 < got.MessageExpiryInterval <= 600
        assert got.UserProperty == [("a", "1"), ("a", "2")]
        assert old.message().payload == b"{}"


@LEVELS
def test_a_publish_on_a_reserved_topic_is_refused(server: RunningServer, device: CertificateFiles, level: int) -> None:
    with Wire(server, device) as wire:
        wire.connect("reserved", level)
        wire.send(publish("$aws/events/presence/connected/forged", b"{}", level, qos=1, packet_id=3))
        if level == mqtt_wire.V311:
            assert wire.rest() == []
        else:
            assert wire.expect(PUBACK).body[:3] == b"\x00\x03\x90"
            assert wire.is_alive()


def test_lifecycle_events_are_published_on_reserved_topics(server: RunningServer, device: CertificateFiles) -> None:
    with Device(server, device, "observer") as observer:
        assert not observer.subscribe("$aws/events/presence/+/visitor", 1).is_failure
        visitor = Device(server, device, "visitor", version=V311)
        visitor.connect()
        came = observer.message()
        visitor.disconnect()
        left = observer.message()
    assert (came.topic, left.topic) == (
        "$aws/events/presence/connected/visitor",
        "$aws/events/presence/disconnected/visitor",
    )
    connected, disconnected = json.loads(came.payload), json.loads(left.payload)
    assert (connected["clientId"], connected["eventType"]) == ("visitor", "connected")
    assert connected["principalIdentifier"] == device.certificate_id
    assert (disconnected["clientInitiatedDisconnect"], disconnected["disconnectReason"]) == (
        True,
        "CLIENT_INITIATED_DISCONNECT",
    )
    assert disconnected["sessionIdentifier"] == connected["sessionIdentifier"]
