"""The clients that devices are built with, unchanged: paho, the AWS IoT Device SDK for Python, mosquitto, boto3."""

from __future__ import annotations

import queue
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from awscrt import mqtt as crt_mqtt
from awscrt import mqtt5 as crt_mqtt5
from awscrt.exceptions import AwsCrtError
from awsiot import mqtt5_client_builder, mqtt_connection_builder
from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.e2e.devices import V5, V311, WITHIN, Device, allow, register
from tests.e2e.papers import Papers, new_ca, new_device, new_self_signed
from tests.e2e.running_server import RunningServer
from tests.tools import require

BOTH = pytest.mark.parametrize("version", [pytest.param(V311, id="MQTT 3.1.1"), pytest.param(V5, id="MQTT 5")])


@pytest.fixture(scope="module")
def papers(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Papers:
    """A device of an own CA that may do anything. Some SDKs read keys of some kinds only; RSA all of them."""
    folder = tmp_path_factory.mktemp("papers")
    ca = new_ca(folder)
    device = new_device(folder, ca, kind="RSA-2048")
    clients = server.session()
    clients.iot.register_ca_certificate(caCertificate=ca.pem, certificateMode="SNI_ONLY", setAsActive=True)
    arn = clients.iot.register_certificate(certificatePem=device.pem, caCertificatePem=ca.pem, status="ACTIVE")[
        "certificateArn"
    ]
    clients.iot.attach_policy(policyName=allow(clients.iot, "anything"), target=arn)
    return device


def expiring_session() -> Properties:
    """CONNECT properties of a session that outlives its connection."""
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = 300
    return properties


# paho


@BOTH
@pytest.mark.parametrize("qos", [0, 1])
def test_paho_publishes_and_subscribes(
    server: RunningServer, papers: Papers, version: MQTTProtocolVersion, qos: int
) -> None:
    topic = f"paho/{version}/{qos}"
    with Device(server, papers, "listener", version=version) as listener, Device(server, papers, "speaker") as speaker:
        assert listener.subscribe(topic, qos).value == qos
        for number in range(100):
            speaker.publish(topic, str(number), qos)
        arrived = [listener.message() for _ in range(100)]
    assert [int(each.payload) for each in arrived] == list(range(100))
    assert {(each.topic, each.qos, each.retain) for each in arrived} == {(topic, qos, False)}


@BOTH
def test_paho_gets_what_was_retained_and_not_what_was_cleared(
    server: RunningServer, papers: Papers, version: MQTTProtocolVersion
) -> None:
    topic = f"retained/{version}"
    with Device(server, papers, "speaker", version=version) as speaker:
        speaker.publish(topic, "old", 1, retain=True)
        speaker.publish(topic, "kept", 1, retain=True)
    with Device(server, papers, "listener", version=version) as listener:
        listener.subscribe(topic, 1)
        kept = listener.message()
        assert (kept.payload, kept.retain) == (b"kept", True)
        listener.publish(topic, "", 1, retain=True)
        assert listener.message().payload == b""
    with Device(server, papers, "late", version=version) as late:
        late.subscribe(topic, 1)
        # Whatever was kept would come before this.
        late.publish(topic, "live", 1)
        live = late.message()
        assert (live.payload, live.retain) == (b"live", False)


@BOTH
def test_a_will_arrives_when_the_line_is_cut_and_not_when_the_device_leaves(
    server: RunningServer, papers: Papers, version: MQTTProtocolVersion
) -> None:
    topic = f"will/{version}"

    def with_will(client: mqtt.Client) -> None:
        client.will_set(topic, "gone", qos=1)

    with Device(server, papers, "listener", version=version) as listener:
        listener.subscribe(topic, 1)
        with Device(server, papers, "leaver", version=version, prepare=with_will):
            pass
        cut = Device(server, papers, "cut", version=version, prepare=with_will)
        cut.connect()
        cut.drop()
        assert listener.message().payload == b"gone"
        listener.publish(topic, "end", 1)
        # One will, not two.
        assert listener.message().payload == b"end"


@BOTH
def test_a_session_resumes_with_what_came_meanwhile(
    server: RunningServer, papers: Papers, version: MQTTProtocolVersion
) -> None:
    topic, properties = f"resume/{version}", expiring_session() if version == V5 else None

    def device() -> Device:
        return Device(server, papers, f"sleeper-{version}", version=version, clean=False, properties=properties)

    sleeper = device()
    assert not sleeper.connect().session_present
    sleeper.subscribe(topic, 1)
    sleeper.disconnect()
    with Device(server, papers, "speaker", version=version) as speaker:
        speaker.publish(topic, "not kept: QoS 0", 0)
        for number in range(5):
            speaker.publish(topic, str(number), 1)
    sleeper = device()
    assert sleeper.connect().session_present
    assert [sleeper.message().payload for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]
    sleeper.disconnect()

    with Device(server, papers, f"sleeper-{version}", version=version) as fresh:
        fresh.publish(topic, "to nobody", 1)
        fresh.subscribe("other", 1)
        fresh.publish("other", "end", 1)
        assert fresh.message().payload == b"end"


def test_mqtt_5_properties_reach_the_subscriber(server: RunningServer, papers: Papers) -> None:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.UserProperty = [("unit", "°C"), ("unit", "K")]
    properties.ContentType = "application/json"
    properties.ResponseTopic = "answers/here"
    properties.CorrelationData = b"\x00\x01"
    properties.PayloadFormatIndicator = 1
    properties.MessageExpiryInterval = 600
    with Device(server, papers, "listener") as listener, Device(server, papers, "speaker") as speaker:
        listener.subscribe("properties", 1)
        speaker.publish("properties", "{}", 1, properties=properties)
        got: Any = listener.message().properties
    assert got.UserProperty == [("unit", "°C"), ("unit", "K")]
    assert (got.ContentType, got.ResponseTopic) == ("application/json", "answers/here")
    assert got.CorrelationData == b"\x00\x01"
    assert got.PayloadFormatIndicator == 1
    assert 590 <= got.MessageExpiryInterval <= 600


# boto3


@BOTH
def test_what_boto3_publishes_reaches_a_subscriber(
    server: RunningServer, papers: Papers, version: MQTTProtocolVersion
) -> None:
    iot_data = server.session().iot_data
    topic = f"boto3/{version}"
    with Device(server, papers, "listener", version=version) as listener:
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


def test_what_boto3_publishes_with_retain_is_there_for_who_comes_later(server: RunningServer, papers: Papers) -> None:
    server.session().iot_data.publish(topic="boto3/kept", qos=1, payload=bytes(range(256)), retain=True)
    with Device(server, papers, "late") as late:
        late.subscribe("boto3/kept", 1)
        kept = late.message()
    assert (kept.payload, kept.retain) == (bytes(range(256)), True)


# The AWS CLI


def test_the_aws_cli_says_who_signs_and_publishes(server: RunningServer, papers: Papers, tmp_path: Path) -> None:
    def aws(*arguments: str) -> str:
        return subprocess.run(
            [require("aws"), *arguments], env=server.environment(), check=True, capture_output=True, text=True
        ).stdout.strip()

    account = server.run["account"]
    assert aws("sts", "get-caller-identity", "--query", "[Account, Arn]", "--output", "text").split() == [
        account,
        f"arn:aws:iam::{account}:root",
    ]
    with Device(server, papers, "listener") as listener:
        listener.subscribe("cli", 1)
        # fileb: means the same to both versions of the CLI, a bare value does not.
        payload = tmp_path / "payload"
        payload.write_bytes(b'{"id":1}')
        aws("iot-data", "publish", "--topic", "cli", "--qos", "1", "--payload", f"fileb://{payload}")
        assert listener.message().payload == b'{"id":1}'


# mosquitto


@pytest.mark.parametrize("version", ["mqttv311", "mqttv5"])
def test_mosquitto_sub_prints_what_mosquitto_pub_sends(server: RunningServer, papers: Papers, version: str) -> None:
    where = [
        "-V", version, "-h", "localhost", "-p", str(server.mqtt_port), "--cafile", server.root_ca,
        "--cert", str(papers.certificate), "--key", str(papers.key), "-q", "1", "-t", f"mosquitto/{version}",
    ]  # fmt: skip
    # Unbuffered: its lines are waited for.
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


# The AWS IoT Device SDK for Python (awsiotsdk)


@pytest.fixture
def sdk_311(server: RunningServer, papers: Papers) -> Iterator[Any]:
    """Makes connections of the SDK's MQTT 3.1.1 client."""
    made: list[crt_mqtt.Connection] = []

    def connect(client_id: str, **options: Any) -> tuple[crt_mqtt.Connection, dict[str, Any]]:
        connection = mqtt_connection_builder.mtls_from_path(
            str(papers.certificate),
            str(papers.key),
            endpoint="localhost",
            port=server.mqtt_port,
            ca_filepath=server.root_ca,
            client_id=client_id,
            **{"clean_session": True, "keep_alive_secs": 30, **options},
        )
        connected: dict[str, Any] = connection.connect().result(WITHIN)
        made.append(connection)
        return connection, connected

    yield connect
    for connection in made:
        connection.disconnect().result(WITHIN)


def test_the_device_sdk_publishes_subscribes_and_gets_retained_messages_in_mqtt_3_1_1(sdk_311: Any) -> None:
    arrived: queue.Queue[tuple[str, bytes, bool]] = queue.Queue()
    listener, _ = sdk_311("sdk-listener")
    subscribed, _ = listener.subscribe(
        "sdk/311/#",
        crt_mqtt.QoS.AT_LEAST_ONCE,
        lambda topic, payload, retain, **_: arrived.put((topic, payload, retain)),
    )
    assert subscribed.result(WITHIN)["qos"] == crt_mqtt.QoS.AT_LEAST_ONCE
    speaker, _ = sdk_311("sdk-speaker")
    for qos in (crt_mqtt.QoS.AT_MOST_ONCE, crt_mqtt.QoS.AT_LEAST_ONCE):
        speaker.publish(f"sdk/311/{int(qos)}", "hello", qos)[0].result(WITHIN)
        assert arrived.get(timeout=WITHIN) == (f"sdk/311/{int(qos)}", b"hello", False)

    speaker.publish("sdk/311/kept", "kept", crt_mqtt.QoS.AT_LEAST_ONCE, retain=True)[0].result(WITHIN)
    assert arrived.get(timeout=WITHIN) == ("sdk/311/kept", b"kept", False)
    listener.subscribe("sdk/311/kept", crt_mqtt.QoS.AT_LEAST_ONCE)[0].result(WITHIN)
    late: queue.Queue[tuple[bytes, bool]] = queue.Queue()
    speaker.subscribe(
        "sdk/311/kept", crt_mqtt.QoS.AT_LEAST_ONCE, lambda payload, retain, **_: late.put((payload, retain))
    )[0].result(WITHIN)
    assert late.get(timeout=WITHIN) == (b"kept", True)
    listener.unsubscribe("sdk/311/#")[0].result(WITHIN)


def test_the_device_sdk_resumes_a_session_in_mqtt_3_1_1(server: RunningServer, papers: Papers, sdk_311: Any) -> None:
    sleeper, connected = sdk_311("sdk-sleeper", clean_session=False)
    assert not connected["session_present"]
    sleeper.subscribe("sdk/resume", crt_mqtt.QoS.AT_LEAST_ONCE)[0].result(WITHIN)
    sleeper.disconnect().result(WITHIN)
    with Device(server, papers, "speaker", version=V311) as speaker:
        speaker.publish("sdk/resume", "while you slept", 1)
    arrived: queue.Queue[bytes] = queue.Queue()
    sleeper.on_message(lambda payload, **_: arrived.put(payload))
    assert sleeper.connect().result(WITHIN)["session_present"]
    assert arrived.get(timeout=WITHIN) == b"while you slept"


class Sdk5:
    """The SDK's MQTT 5 client, while in its context."""

    def __init__(self, server: RunningServer, papers: Papers, client_id: str, **options: Any) -> None:
        self.messages: queue.Queue[crt_mqtt5.PublishPacket] = queue.Queue()
        # The client tries again by itself; the first outcome counts.
        self._outcomes: queue.Queue[Any] = queue.Queue()
        self._stopped: Future[None] = Future()
        self.client = mqtt5_client_builder.mtls_from_path(
            str(papers.certificate),
            str(papers.key),
            endpoint="localhost",
            port=server.mqtt_port,
            ca_filepath=server.root_ca,
            client_id=client_id,
            on_publish_received=lambda data: self.messages.put(data.publish_packet),
            on_lifecycle_connection_success=self._outcomes.put,
            on_lifecycle_connection_failure=self._outcomes.put,
            on_lifecycle_stopped=lambda _data: self._stopped.set_result(None),
            **options,
        )

    def __enter__(self) -> Sdk5:
        self.client.start()
        outcome = self._outcomes.get(timeout=WITHIN)
        if isinstance(outcome, crt_mqtt5.LifecycleConnectFailureData):
            self.__exit__()
            raise outcome.exception
        self.connack = outcome.connack_packet
        return self

    def __exit__(self, *_: object) -> None:
        self.client.stop(crt_mqtt5.DisconnectPacket())
        self._stopped.result(WITHIN)

    def subscribe(self, topic_filter: str) -> crt_mqtt5.SubackReasonCode:
        asked = crt_mqtt5.Subscription(topic_filter, crt_mqtt5.QoS.AT_LEAST_ONCE)
        answer = self.client.subscribe(crt_mqtt5.SubscribePacket([asked])).result(WITHIN)
        return answer.reason_codes[0]

    def publish(self, packet: crt_mqtt5.PublishPacket) -> Any:
        return self.client.publish(packet).result(WITHIN)


def test_the_device_sdk_publishes_subscribes_and_gets_retained_messages_in_mqtt_5(
    server: RunningServer, papers: Papers
) -> None:
    with Sdk5(server, papers, "sdk5-listener") as listener, Sdk5(server, papers, "sdk5-speaker") as speaker:
        assert listener.subscribe("sdk/5/#") == crt_mqtt5.SubackReasonCode.GRANTED_QOS_1
        acknowledged = speaker.publish(
            crt_mqtt5.PublishPacket(
                topic="sdk/5/kept",
                payload=b"hello",
                qos=crt_mqtt5.QoS.AT_LEAST_ONCE,
                retain=True,
                user_properties=[crt_mqtt5.UserProperty("unit", "lux")],
                content_type="text/plain",
            )
        )
        assert acknowledged.puback.reason_code == crt_mqtt5.PubackReasonCode.SUCCESS
        live = listener.messages.get(timeout=WITHIN)
        assert (live.topic, live.payload, live.retain, live.content_type) == (
            "sdk/5/kept", b"hello", False, "text/plain",
        )  # fmt: skip
        assert [(each.name, each.value) for each in live.user_properties] == [("unit", "lux")]
        speaker.subscribe("sdk/5/kept")
        kept = speaker.messages.get(timeout=WITHIN)
        assert (kept.payload, kept.retain) == (b"hello", True)


def test_the_device_sdk_learns_from_the_connack_what_aws_iot_says_in_it(server: RunningServer, papers: Papers) -> None:
    with Sdk5(server, papers, "sdk5-limits") as device:
        connack = device.connack
    assert connack.maximum_qos == crt_mqtt5.QoS.AT_LEAST_ONCE
    assert connack.retain_available
    assert connack.receive_maximum == 100
    assert connack.topic_alias_maximum == 8


def test_the_device_sdk_resumes_a_session_in_mqtt_5(server: RunningServer, papers: Papers) -> None:
    lasting = {
        "session_behavior": crt_mqtt5.ClientSessionBehaviorType.REJOIN_ALWAYS,
        "session_expiry_interval_sec": 300,
    }
    with Sdk5(server, papers, "sdk5-sleeper", **lasting) as sleeper:
        assert not sleeper.connack.session_present
        sleeper.subscribe("sdk5/resume")
    with Device(server, papers, "speaker") as speaker:
        speaker.publish("sdk5/resume", "while you slept", 1)
    with Sdk5(server, papers, "sdk5-sleeper", **lasting) as sleeper:
        assert sleeper.connack.session_present
        assert sleeper.messages.get(timeout=WITHIN).payload == b"while you slept"


WILL_THEN_DIE = """
import os, sys
from awscrt import mqtt, mqtt5
from awsiot import mqtt5_client_builder, mqtt_connection_builder
from concurrent.futures import Future

version, certificate, key, port, root = sys.argv[1:]
where = dict(endpoint="localhost", port=int(port), ca_filepath=root, client_id="sdk-mortal-" + version)
if version == "311":
    will = mqtt.Will("sdk/will/311", mqtt.QoS.AT_LEAST_ONCE, b"gone", False)
    connection = mqtt_connection_builder.mtls_from_path(
        certificate, key, will=will, clean_session=True, keep_alive_secs=30, **where)
    connection.connect().result(15)
else:
    will = mqtt5.PublishPacket(topic="sdk/will/5", payload=b"gone", qos=mqtt5.QoS.AT_LEAST_ONCE)
    connected = Future()
    client = mqtt5_client_builder.mtls_from_path(
        certificate, key, will=will, on_lifecycle_connection_success=connected.set_result, **where)
    client.start()
    connected.result(15)
os._exit(9)
"""


@pytest.mark.parametrize("version", ["311", "5"])
def test_the_will_of_a_device_on_the_sdk_arrives_when_its_process_dies(
    server: RunningServer, papers: Papers, tmp_path: Path, version: str
) -> None:
    mortal = tmp_path / "mortal.py"
    mortal.write_text(WILL_THEN_DIE)
    with Device(server, papers, "listener") as listener:
        listener.subscribe(f"sdk/will/{version}", 1)
        died = subprocess.run(
            [
                sys.executable, str(mortal), version, str(papers.certificate), str(papers.key), str(server.mqtt_port),
                server.root_ca,
            ],
            check=False,
            capture_output=True,
            text=True,
        )  # fmt: skip
        assert died.returncode == 9, died.stderr
        assert listener.message().payload == b"gone"


def test_a_certificate_that_nobody_registered_does_not_connect_through_the_sdk(
    server: RunningServer, tmp_path: Path
) -> None:
    unknown = new_self_signed(tmp_path, kind="RSA-2048")
    device = Sdk5(server, unknown, "sdk5-unknown")
    with pytest.raises(AwsCrtError), device:
        pass
    register(server.session(), unknown, "anything")
    with Sdk5(server, unknown, "sdk5-known") as known:
        known.subscribe("t1")
