"""The clients that devices and their owners use, unchanged: paho, mosquitto, boto3, the AWS CLI."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.e2e.certificate_files import CertificateFiles
from tests.e2e.devices import V5, V311, Device
from tests.e2e.running_server import RunningServer
from tests.tools import require

BOTH = pytest.mark.parametrize("version", [pytest.param(V311, id="MQTT 3.1.1"), pytest.param(V5, id="MQTT 5")])


def expiring_session() -> Properties:
    """Return CONNECT properties of a session that outlives its connection."""
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = 300
    return properties


# paho


@BOTH
@pytest.mark.parametrize("qos", [0, 1])
def test_paho_publishes_and_subscribes(
    server: RunningServer, device_files: CertificateFiles, version: MQTTProtocolVersion, qos: int
) -> None:
    topic = f"paho/{version}/{qos}"
    with (
        Device(server, device_files, "listener", version=version) as listener,
        Device(server, device_files, "publisher") as publisher,
    ):
        assert listener.subscribe(topic, qos).value == qos
        for number in range(100):
            publisher.publish(topic, str(number), qos)
        arrived = [listener.message() for _ in range(100)]
    assert [int(each.payload) for each in arrived] == list(range(100))
    assert {(each.topic, each.qos, each.retain) for each in arrived} == {(topic, qos, False)}


@BOTH
def test_paho_gets_retained_messages_and_not_cleared_ones(
    server: RunningServer, device_files: CertificateFiles, version: MQTTProtocolVersion
) -> None:
    topic = f"retained/{version}"
    with Device(server, device_files, "publisher", version=version) as publisher:
        publisher.publish(topic, "old", 1, retain=True)
        publisher.publish(topic, "kept", 1, retain=True)
    with Device(server, device_files, "listener", version=version) as listener:
        listener.subscribe(topic, 1)
        kept = listener.message()
        assert (kept.payload, kept.retain) == (b"kept", True)
        listener.publish(topic, "", 1, retain=True)
        assert listener.message().payload == b""
    with Device(server, device_files, "late", version=version) as late:
        late.subscribe(topic, 1)
        # A retained message would come before this one.
        late.publish(topic, "live", 1)
        live = late.message()
        assert (live.payload, live.retain) == (b"live", False)


@BOTH
def test_a_will_is_sent_when_the_connection_is_lost_and_not_when_the_device_disconnects(
    server: RunningServer, device_files: CertificateFiles, version: MQTTProtocolVersion
) -> None:
    topic = f"will/{version}"

    def with_will(client: mqtt.Client) -> None:
        client.will_set(topic, "gone", qos=1)

    with Device(server, device_files, "listener", version=version) as listener:
        listener.subscribe(topic, 1)
        with Device(server, device_files, "leaver", version=version, prepare=with_will):
            pass
        cut = Device(server, device_files, "cut", version=version, prepare=with_will)
        cut.connect()
        cut.drop()
        assert listener.message().payload == b"gone"
        listener.publish(topic, "end", 1)
        # One will, not two.
        assert listener.message().payload == b"end"


@BOTH
def test_a_session_resumes_with_the_messages_of_the_meantime(
    server: RunningServer, device_files: CertificateFiles, version: MQTTProtocolVersion
) -> None:
    topic, properties = f"resume/{version}", expiring_session() if version == V5 else None

    def device() -> Device:
        return Device(
            server, device_files, f"persistent-{version}", version=version, clean=False, properties=properties
        )

    persistent = device()
    assert not persistent.connect().session_present
    persistent.subscribe(topic, 1)
    persistent.disconnect()
    with Device(server, device_files, "publisher", version=version) as publisher:
        publisher.publish(topic, "not kept: QoS 0", 0)
        for number in range(5):
            publisher.publish(topic, str(number), 1)
    persistent = device()
    assert persistent.connect().session_present
    assert [persistent.message().payload for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]
    persistent.disconnect()

    with Device(server, device_files, f"persistent-{version}", version=version) as fresh:
        fresh.publish(topic, "without a subscriber", 1)
        fresh.subscribe("other", 1)
        fresh.publish("other", "end", 1)
        assert fresh.message().payload == b"end"


def test_mqtt_5_properties_reach_the_subscriber(server: RunningServer, device_files: CertificateFiles) -> None:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.UserProperty = [("unit", "°C"), ("unit", "K")]
    properties.ContentType = "application/json"
    properties.ResponseTopic = "answers/here"
    properties.CorrelationData = b"\x00\x01"
    properties.PayloadFormatIndicator = 1
    properties.MessageExpiryInterval = 600
    with Device(server, device_files, "listener") as listener, Device(server, device_files, "publisher") as publisher:
        listener.subscribe("properties", 1)
        publisher.publish("properties", "{}", 1, properties=properties)
        got: Any = listener.message().properties
    assert got.UserProperty == [("unit", "°C"), ("unit", "K")]
    assert (got.ContentType, got.ResponseTopic) == ("application/json", "answers/here")
    assert got.CorrelationData == b"\x00\x01"
    assert got.PayloadFormatIndicator == 1
    assert 590 <= got.MessageExpiryInterval <= 600


# boto3


@BOTH
def test_a_message_published_by_boto3_reaches_a_subscriber(
    server: RunningServer, device_files: CertificateFiles, version: MQTTProtocolVersion
) -> None:
    iot_data = server.session().iot_data
    topic = f"boto3/{version}"
    with Device(server, device_files, "listener", version=version) as listener:
        listener.subscribe(topic, 1)
        iot_data.publish(
            topic=topic,
            qos=1,
            payload=b"by API",
            userProperties='[{"unit": "lux"}, {"unit": "lm"}]',
            contentType="text/plain",
            responseTopic="answers",
            correlationData="AAE=",
            payloadFormatIndicator="UTF8_DATA",
            messageExpiry=60,
        )
        message = listener.message()
    assert (message.payload, message.qos, message.retain) == (b"by API", 1, False)
    if version == V5:
        got: Any = message.properties
        assert got.UserProperty == [("unit", "lux"), ("unit", "lm")]
        assert (got.ContentType, got.ResponseTopic, got.CorrelationData) == ("text/plain", "answers", b"\x00\x01")


def test_a_message_retained_by_boto3_is_sent_to_later_subscribers(
    server: RunningServer, device_files: CertificateFiles
) -> None:
    server.session().iot_data.publish(topic="boto3/kept", qos=1, payload=bytes(range(256)), retain=True)
    with Device(server, device_files, "late") as late:
        late.subscribe("boto3/kept", 1)
        kept = late.message()
    assert (kept.payload, kept.retain) == (bytes(range(256)), True)


# The AWS CLI


def test_the_aws_cli_returns_the_caller_and_publishes(
    server: RunningServer, device_files: CertificateFiles, tmp_path: Path
) -> None:
    def aws(*arguments: str) -> str:
        return subprocess.run(
            [require("aws"), *arguments], env=server.environment(), check=True, capture_output=True, text=True
        ).stdout.strip()

    account = server.run["account"]
    assert aws("sts", "get-caller-identity", "--query", "[Account, Arn]", "--output", "text").split() == [
        account,
        f"arn:aws:iam::{account}:root",
    ]
    with Device(server, device_files, "listener") as listener:
        listener.subscribe("cli", 1)
        # fileb: means the same to both versions of the CLI, a bare value does not.
        payload = tmp_path / "payload"
        payload.write_bytes(b'{"id":1}')
        aws("iot-data", "publish", "--topic", "cli", "--qos", "1", "--payload", f"fileb://{payload}")
        assert listener.message().payload == b'{"id":1}'


# mosquitto


@pytest.mark.parametrize("version", ["mqttv311", "mqttv5"])
def test_mosquitto_sub_prints_what_mosquitto_pub_sends(
    server: RunningServer, device_files: CertificateFiles, version: str
) -> None:
    where = [
        "-V", version, "-h", "localhost", "-p", str(server.mqtt_port), "--cafile", server.root_ca,
        "--cert", str(device_files.certificate), "--key", str(device_files.key),
        "-q", "1", "-t", f"mosquitto/{version}",
    ]  # fmt: skip
    # Unbuffered, because the test waits for its lines.
    subscriber = subprocess.Popen(
        ["stdbuf", "-oL", require("mosquitto_sub"), *where, "-d", "-C", "2", "-W", "30", "-F", "got %r %q %p"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert subscriber.stdout is not None
    said: list[str] = []
    for line in subscriber.stdout:
        said.append(line)
        if line.startswith("Subscribed"):
            break
    else:
        pytest.fail("".join(said))
    for payload in ("first", "second"):
        subprocess.run([require("mosquitto_pub"), *where, "-m", payload], check=True, timeout=30)
    said += subscriber.stdout.readlines()
    subscriber.stdout.close()
    assert subscriber.wait(timeout=30) == 0
    assert [line.strip() for line in said if line.startswith("got")] == ["got 0 1 first", "got 0 1 second"]
