"""The MQTT client of ``sekisho pub`` and ``sekisho sub``, on paho.

It connects as a device, waits for each acknowledgement, and raises Failure with a message of one line after an error.
"""

from __future__ import annotations

import os
import queue
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from sekisho import ids
from sekisho.cli.failure import Failure
from sekisho.cli.options import data_folder
from sekisho.server import run_file

ACKNOWLEDGEMENT_TIMEOUT_SECONDS: Final = 10.0
"""For CONNACK, SUBACK and PUBACK."""

VERSIONS: Final = {"3.1.1": MQTTProtocolVersion.MQTTv311, "5": MQTTProtocolVersion.MQTTv5}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The address to connect to, the name to ask for by SNI, and the root that the server's chain has to end in."""

    server_name: str
    address: str
    """Host name or IP address."""
    port: int
    root_ca: Path | None
    """None: the roots that this machine trusts."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message that was received."""

    topic: str
    payload: bytes
    qos: int
    retain: bool


def locate(data: Path | None, host: str | None, port: int | None, cafile: Path | None) -> Endpoint:
    """Complete the options of the command line from the environment and the server's run.json. Raises Failure.

    Names below localhost mean this machine (RFC 6761, section 6.3), and so does the endpoint of the running server: no
    resolver is asked for them.
    """
    folder = data_folder(data)
    run = run_file.read(folder)
    named_root = os.environ.get("SEKISHO_ROOT_CA")
    root = cafile or (Path(named_root) if named_root else None) or (Path(run.root_ca) if run and run.root_ca else None)
    name = host or (run.endpoint if run else None)
    if name is None or (root is None and run is None):
        raise Failure(f"no server is running on {folder}: name one with --host and --cafile, or start 'sekisho up'")
    is_here = name.endswith(".localhost") or (run is not None and name == run.endpoint)
    address = (run.mqtt_host if run else "127.0.0.1") if is_here else name
    return Endpoint(name, address, port or (run.mqtt_port if run else 8883), root)


class DeviceClient:
    """One connection. Use as a context manager: entering connects, leaving disconnects."""

    def __init__(
        self, endpoint: Endpoint, certificate: Path, key: Path, *, client_id: str | None, version: str
    ) -> None:
        if version not in VERSIONS:
            raise Failure(f"--mqtt-version is 5 or 3.1.1, not {version!r}")
        self.client_id = client_id or f"sekisho-{ids.short()}"
        self._endpoint = endpoint
        self._received: queue.Queue[Message | None] = queue.Queue()
        self._connected: queue.Queue[str | None] = queue.Queue()
        self._acknowledged: dict[int, Sequence[Any]] = {}
        self._published: dict[int, Any] = {}
        self._changed = threading.Condition()
        self._lost = False
        self._why = ""
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self.client_id,
            protocol=VERSIONS[version],
            reconnect_on_failure=False,
        )
        self._client.tls_set_context(_tls(endpoint, certificate, key))
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_publish = self._on_publish
        self._client.on_message = self._on_message

    def __enter__(self) -> Self:
        where = f"{self._endpoint.server_name}:{self._endpoint.port}"
        try:
            self._client.connect(self._endpoint.address, self._endpoint.port, keepalive=60)
        except ssl.SSLCertVerificationError as error:
            raise Failure(
                f"{where}: its certificate does not lead to {self._endpoint.root_ca or 'a root of this machine'}: "
                f"{error.verify_message}. "
                "Give --cafile the root that 'sekisho up' names, not your own CA"
            ) from None
        except (OSError, ssl.SSLError) as error:
            raise Failure(f"{where}: {error}") from None
        self._client.loop_start()
        try:
            trouble = self._connected.get(timeout=ACKNOWLEDGEMENT_TIMEOUT_SECONDS)
        except queue.Empty:
            trouble = f"no answer within {ACKNOWLEDGEMENT_TIMEOUT_SECONDS:g} seconds"
        if trouble is not None:
            self._client.loop_stop()
            raise Failure(f"{where}: {trouble}. The server's log says why")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool) -> None:
        """Publish, and wait for the PUBACK (QoS 1) or until the packet is sent (QoS 0). Raises Failure."""
        try:
            info = self._client.publish(topic, payload, qos=qos, retain=retain)
        except ValueError as error:
            raise Failure(f"{topic!r} cannot be published on: {error}") from None
        deadline = time.monotonic() + ACKNOWLEDGEMENT_TIMEOUT_SECONDS
        while not info.is_published() and not self._lost and time.monotonic() < deadline:
            try:
                info.wait_for_publish(timeout=0.1)
            except (RuntimeError, ValueError):
                break
        if not info.is_published():
            raise Failure(
                f"{topic}: not acknowledged. The connection was closed, as it is where the policy does not allow the "
                "topic; the server's log says why"
                if self._lost
                else f"{topic}: not acknowledged within {ACKNOWLEDGEMENT_TIMEOUT_SECONDS:g} seconds"
            )
        code = self._published.get(info.mid)
        if code is not None and code.is_failure:
            # An MQTT 5 PUBACK has a reason code (section 3.4.2.1); with 3.1.1 the server can only close.
            raise Failure(f"{topic}: {code}; the server's log says why")

    def subscribe(self, topic_filters: Sequence[str], *, qos: int) -> None:
        """Subscribe, and wait for the SUBACK. Raises Failure, which names each filter that was refused."""
        try:
            _, packet_id = self._client.subscribe([(topic_filter, qos) for topic_filter in topic_filters])
        except ValueError as error:
            raise Failure(f"{', '.join(topic_filters)}: {error}") from None
        with self._changed:
            self._changed.wait_for(
                lambda: packet_id in self._acknowledged or self._lost, ACKNOWLEDGEMENT_TIMEOUT_SECONDS
            )
            codes = self._acknowledged.get(packet_id or 0)
        if codes is None:
            raise Failure(f"{', '.join(topic_filters)}: the subscription was not granted; the server's log says why")
        refused = [f"{name}: {code}" for name, code in zip(topic_filters, codes, strict=True) if code.is_failure]
        if refused:
            raise Failure("; ".join(refused))

    def messages(self, wait: float | None) -> Iterator[Message]:
        """Yield messages as they arrive, for ``wait`` seconds (None: without end).

        Raises Failure where the connection ends.
        """
        deadline = None if wait is None else time.monotonic() + wait
        while True:
            try:
                message = self._received.get(
                    timeout=None if deadline is None else max(0.0, deadline - time.monotonic())
                )
            except queue.Empty:
                return
            if message is None:
                raise Failure(f"the connection was closed{self._why}; the server's log says why")
            yield message

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
        self._connected.put(f"refused: {code}" if code.is_failure else None)

    def _on_disconnect(self, _client: Any, _data: Any, flags: Any, code: Any, _properties: Any) -> None:
        # Only MQTT 5 servers send a reason when they close.
        self._why = f" ({code})" if flags.is_disconnect_packet_from_server else ""
        self._connected.put("the connection was closed before it was accepted")
        with self._changed:
            self._lost = True
            self._changed.notify_all()
        self._received.put(None)

    def _on_subscribe(self, _client: Any, _data: Any, packet_id: int, codes: Sequence[Any], _properties: Any) -> None:
        with self._changed:
            self._acknowledged[packet_id] = codes
            self._changed.notify_all()

    def _on_publish(self, _client: Any, _data: Any, packet_id: int, code: Any, _properties: Any) -> None:
        # paho calls this before is_published() becomes true.
        self._published[packet_id] = code

    def _on_message(self, _client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        self._received.put(Message(message.topic, bytes(message.payload), message.qos, bool(message.retain)))


class _NamedContext(ssl.SSLContext):
    """Asks for a server name, and verifies it, whatever address paho connects to."""

    server_name: str

    def wrap_socket(self, *arguments: Any, **options: Any) -> ssl.SSLSocket:
        return super().wrap_socket(*arguments, **{**options, "server_hostname": self.server_name})


def _tls(endpoint: Endpoint, certificate: Path, key: Path) -> ssl.SSLContext:
    """Make a context for mutual TLS. Raises Failure, which names the file that cannot be used."""
    context = _NamedContext(ssl.PROTOCOL_TLS_CLIENT)
    context.server_name = endpoint.server_name
    try:
        if endpoint.root_ca is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(cafile=str(endpoint.root_ca))
    except (OSError, ssl.SSLError) as error:
        raise Failure(f"{endpoint.root_ca} is not a file of root certificates: {error}") from None
    for path in (certificate, key):
        if not path.is_file():
            raise Failure(f"{path}: there is no such file")
    try:
        context.load_cert_chain(str(certificate), str(key))
    except (OSError, ssl.SSLError) as error:
        raise Failure(f"{certificate} and {key} do not go together: {error}") from None
    return context
