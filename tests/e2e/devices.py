"""Registers devices as a user does, and an MQTT client for each on paho."""

from __future__ import annotations

import json
import queue
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from tests.e2e.certificate_files import CertificateFiles
from tests.e2e.running_server import Clients, RunningServer

V311, V5 = MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5

ANYTHING = {"Effect": "Allow", "Action": "iot:*", "Resource": "*"}

WITHIN = 15.0
"""Seconds to wait for what a server does at once. Only a broken server needs so long."""


def allow(iot: Any, name: str, *statements: dict[str, Any]) -> str:
    """Create a policy with these statements, by default one that allows everything, and return its name."""
    document = {"Version": "2012-10-17", "Statement": list(statements) or [ANYTHING]}
    iot.create_policy(policyName=name, policyDocument=json.dumps(document))
    return name


def register(clients: Clients, device_files: CertificateFiles, *policies: str) -> str:
    """Register a certificate without its CA, active, with these policies, and return its ARN."""
    iot = clients.iot
    arn = iot.register_certificate_without_ca(certificatePem=device_files.pem, status="ACTIVE")["certificateArn"]
    for policy in policies:
        iot.attach_policy(policyName=policy, target=arn)
    return arn


def endpoint(clients: Clients) -> str:
    """Return the host name that devices of this account and region connect to and send as SNI."""
    return clients.iot.describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"]


class _Named(ssl.SSLContext):
    """Sends the given SNI for any address, because names below localhost need not be resolvable."""

    name: str | None = None

    def wrap_socket(self, sock: Any, **options: Any) -> ssl.SSLSocket:  # type: ignore[override]
        return super().wrap_socket(sock, **(options | {"server_hostname": self.name}))


def tls(
    server: RunningServer, device_files: CertificateFiles | None, server_name: str | None = "localhost"
) -> ssl.SSLContext:
    """Make a context for mutual TLS that trusts only the server's root. Without a server name it sends no SNI."""
    context = _Named(ssl.PROTOCOL_TLS_CLIENT)
    context.name = server_name
    context.check_hostname = server_name is not None
    context.load_verify_locations(server.root_ca)
    if device_files is not None:
        context.load_cert_chain(device_files.certificate, device_files.key)
    return context


class Refused(Exception):
    """The server did not accept the connection: it closed it, or its CONNACK has a reason."""


@dataclass(frozen=True)
class Connected:
    """The content of the CONNACK."""

    session_present: bool
    properties: Any


class Device:
    """One MQTT client, connected within its context."""

    def __init__(
        self,
        server: RunningServer,
        device_files: CertificateFiles,
        client_id: str,
        *,
        version: MQTTProtocolVersion = V5,
        server_name: str | None = "localhost",
        clean: bool = True,
        prepare: Callable[[mqtt.Client], None] | None = None,
        properties: Properties | None = None,
    ) -> None:
        self._server = server
        self._clean = clean
        self._version = version
        self._properties = properties
        self._answers: queue.Queue[Any] = queue.Queue()
        self._acknowledged: queue.Queue[tuple[int, Any]] = queue.Queue()
        self.messages: queue.Queue[mqtt.MQTTMessage] = queue.Queue()
        self.ended: queue.Queue[ReasonCode] = queue.Queue()
        session: dict[str, Any] = {} if version == V5 else {"clean_session": clean}
        self.client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id, protocol=version, reconnect_on_failure=False, **session
        )
        self.client.tls_set_context(tls(server, device_files, server_name))
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = self._on_disconnect
        self.client.on_subscribe = self._on_acknowledged
        self.client.on_publish = self._on_acknowledged
        self.client.on_message = lambda _client, _data, message: self.messages.put(message)
        if prepare is not None:
            prepare(self.client)

    def connect(self) -> Connected:
        """Connect. Raises Refused."""
        options: dict[str, Any] = {}
        if self._version == V5:
            options = {"clean_start": self._clean, "properties": self._properties}
        try:
            self.client.connect("127.0.0.1", self._server.mqtt_port, keepalive=60, **options)
        except (OSError, ssl.SSLError) as error:
            raise Refused(str(error)) from error
        self.client.loop_start()
        answer = self._answers.get(timeout=WITHIN)
        if isinstance(answer, Connected):
            return answer
        self.client.loop_stop()
        raise Refused(str(answer))

    def disconnect(self) -> None:
        """Disconnect with DISCONNECT."""
        self.client.disconnect()
        self.client.loop_stop()

    def drop(self) -> None:
        """Close the connection without DISCONNECT, like a lost connection."""
        stopped = threading.Thread(target=self.client.loop_stop)
        stopped.start()
        stopped.join(WITHIN)
        connection = self.client.socket()
        assert connection is not None
        connection.close()

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.disconnect()

    def subscribe(self, topic_filter: str, qos: int = 0) -> ReasonCode:
        """Subscribe and return the reason code in the SUBACK."""
        _, packet_id = self.client.subscribe(topic_filter, qos)
        codes = self._acknowledgement(packet_id)
        code: ReasonCode = codes[0]
        return code

    def publish(
        self, topic: str, payload: str | bytes, qos: int = 0, retain: bool = False, properties: Properties | None = None
    ) -> None:
        """Publish. Returns when it is sent; at QoS 1 when it is acknowledged."""
        info = self.client.publish(topic, payload, qos, retain, properties)
        self._acknowledgement(info.mid)

    def message(self) -> mqtt.MQTTMessage:
        """Return the next message."""
        return self.messages.get(timeout=WITHIN)

    def _acknowledgement(self, packet_id: int | None) -> Any:
        while True:
            acknowledged, answer = self._acknowledged.get(timeout=WITHIN)
            if acknowledged == packet_id:
                return answer

    def _on_connect(self, _client: Any, _data: Any, flags: Any, code: ReasonCode, properties: Any) -> None:
        accepted = Connected(flags.session_present, properties)
        self._answers.put(f"CONNACK: {code}" if code.is_failure else accepted)

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, code: ReasonCode, _properties: Any) -> None:
        self._answers.put(f"closed: {code}")
        self.ended.put(code)

    def _on_acknowledged(self, _client: Any, _data: Any, packet_id: int, answer: Any, _properties: Any) -> None:
        self._acknowledged.put((packet_id, answer))
