"""The AWS IoT Device SDK for Python (awsiotsdk), unchanged, in MQTT 3.1.1 and 5."""

from __future__ import annotations

import queue
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from awscrt import mqtt as crt_mqtt
from awscrt import mqtt5 as crt_mqtt5
from awscrt.exceptions import AwsCrtError
from awsiot import mqtt5_client_builder, mqtt_connection_builder

from tests.e2e.certificate_files import CertificateFiles, new_self_signed
from tests.e2e.devices import V311, WITHIN, Device, register
from tests.e2e.running_server import RunningServer


@pytest.fixture
def sdk_311(server: RunningServer, device_files: CertificateFiles) -> Iterator[Any]:
    """Yield a function that makes connections of the SDK's MQTT 3.1.1 client."""
    made: list[crt_mqtt.Connection] = []

    def connect(client_id: str, **options: Any) -> tuple[crt_mqtt.Connection, dict[str, Any]]:
        connection = mqtt_connection_builder.mtls_from_path(
            str(device_files.certificate),
            str(device_files.key),
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
    publisher, _ = sdk_311("sdk-publisher")
    for qos in (crt_mqtt.QoS.AT_MOST_ONCE, crt_mqtt.QoS.AT_LEAST_ONCE):
        publisher.publish(f"sdk/311/{int(qos)}", "hello", qos)[0].result(WITHIN)
        assert arrived.get(timeout=WITHIN) == (f"sdk/311/{int(qos)}", b"hello", False)

    publisher.publish("sdk/311/kept", "kept", crt_mqtt.QoS.AT_LEAST_ONCE, retain=True)[0].result(WITHIN)
    assert arrived.get(timeout=WITHIN) == ("sdk/311/kept", b"kept", False)
    listener.subscribe("sdk/311/kept", crt_mqtt.QoS.AT_LEAST_ONCE)[0].result(WITHIN)
    late: queue.Queue[tuple[bytes, bool]] = queue.Queue()
    publisher.subscribe(
        "sdk/311/kept", crt_mqtt.QoS.AT_LEAST_ONCE, lambda payload, retain, **_: late.put((payload, retain))
    )[0].result(WITHIN)
    assert late.get(timeout=WITHIN) == (b"kept", True)
    listener.unsubscribe("sdk/311/#")[0].result(WITHIN)


def test_the_device_sdk_resumes_a_session_in_mqtt_3_1_1(
    server: RunningServer, device_files: CertificateFiles, sdk_311: Any
) -> None:
    persistent, connected = sdk_311("sdk-persistent", clean_session=False)
    assert not connected["session_present"]
    persistent.subscribe("sdk/resume", crt_mqtt.QoS.AT_LEAST_ONCE)[0].result(WITHIN)
    persistent.disconnect().result(WITHIN)
    with Device(server, device_files, "publisher", version=V311) as publisher:
        publisher.publish("sdk/resume", "while offline", 1)
    arrived: queue.Queue[bytes] = queue.Queue()
    persistent.on_message(lambda payload, **_: arrived.put(payload))
    assert persistent.connect().result(WITHIN)["session_present"]
    assert arrived.get(timeout=WITHIN) == b"while offline"


class Sdk5:
    """The SDK's MQTT 5 client, connected within its context."""

    def __init__(self, server: RunningServer, device_files: CertificateFiles, client_id: str, **options: Any) -> None:
        self.messages: queue.Queue[crt_mqtt5.PublishPacket] = queue.Queue()
        # The client retries by itself; the first outcome counts.
        self._outcomes: queue.Queue[Any] = queue.Queue()
        self._stopped: Future[None] = Future()
        self.client = mqtt5_client_builder.mtls_from_path(
            str(device_files.certificate),
            str(device_files.key),
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
    server: RunningServer, device_files: CertificateFiles
) -> None:
    with (
        Sdk5(server, device_files, "sdk5-listener") as listener,
        Sdk5(server, device_files, "sdk5-publisher") as publisher,
    ):
        assert listener.subscribe("sdk/5/#") == crt_mqtt5.SubackReasonCode.GRANTED_QOS_1
        acknowledged = publisher.publish(
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
        publisher.subscribe("sdk/5/kept")
        kept = publisher.messages.get(timeout=WITHIN)
        assert (kept.payload, kept.retain) == (b"hello", True)


def test_the_device_sdk_reads_the_limits_of_aws_iot_in_the_connack(
    server: RunningServer, device_files: CertificateFiles
) -> None:
    with Sdk5(server, device_files, "sdk5-limits") as device:
        connack = device.connack
    assert connack.maximum_qos == crt_mqtt5.QoS.AT_LEAST_ONCE
    assert connack.retain_available
    assert connack.receive_maximum == 100
    assert connack.topic_alias_maximum == 8


def test_the_device_sdk_resumes_a_session_in_mqtt_5(server: RunningServer, device_files: CertificateFiles) -> None:
    lasting = {
        "session_behavior": crt_mqtt5.ClientSessionBehaviorType.REJOIN_ALWAYS,
        "session_expiry_interval_sec": 300,
    }
    with Sdk5(server, device_files, "sdk5-persistent", **lasting) as persistent:
        assert not persistent.connack.session_present
        persistent.subscribe("sdk5/resume")
    with Device(server, device_files, "publisher") as publisher:
        publisher.publish("sdk5/resume", "while offline", 1)
    with Sdk5(server, device_files, "sdk5-persistent", **lasting) as persistent:
        assert persistent.connack.session_present
        assert persistent.messages.get(timeout=WITHIN).payload == b"while offline"


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
def test_the_will_of_a_device_with_the_sdk_is_sent_when_its_process_dies(
    server: RunningServer, device_files: CertificateFiles, tmp_path: Path, version: str
) -> None:
    mortal = tmp_path / "mortal.py"
    mortal.write_text(WILL_THEN_DIE)
    with Device(server, device_files, "listener") as listener:
        listener.subscribe(f"sdk/will/{version}", 1)
        died = subprocess.run(
            [
                sys.executable, str(mortal), version, str(device_files.certificate), str(device_files.key),
                str(server.mqtt_port), server.root_ca,
            ],
            check=False,
            capture_output=True,
            text=True,
        )  # fmt: skip
        assert died.returncode == 9, died.stderr
        assert listener.message().payload == b"gone"


def test_an_unregistered_certificate_does_not_connect_with_the_sdk(server: RunningServer, tmp_path: Path) -> None:
    unknown = new_self_signed(tmp_path, kind="RSA-2048")
    device = Sdk5(server, unknown, "sdk5-unknown")
    with pytest.raises(AwsCrtError), device:
        pass
    register(server.session(), unknown, "anything")
    with Sdk5(server, unknown, "sdk5-known") as known:
        known.subscribe("t1")
