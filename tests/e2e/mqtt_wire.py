"""MQTT byte by byte: packets made by hand, sent over TLS, and the exact answer of the server."""

from __future__ import annotations

import socket
import ssl
from types import TracebackType
from typing import NamedTuple, Self

from tests.e2e.certificate_files import CertificateFiles
from tests.e2e.devices import WITHIN, tls
from tests.e2e.running_server import RunningServer

V311, V5 = 4, 5
"""Protocol levels in CONNECT."""

CONNACK, PUBLISH, PUBACK, SUBACK, UNSUBACK, PINGRESP, DISCONNECT = 2, 3, 4, 9, 11, 13, 14

PINGREQ = b"\xc0\x00"


class Packet(NamedTuple):
    """A received packet: its type, the low four bits of its first byte, and everything after the remaining length."""

    kind: int
    flags: int
    body: bytes


class NotClosed(AssertionError):
    """The server did not close a connection that it should have closed."""


def text(value: str | bytes) -> bytes:
    """Encode a UTF-8 string or binary data with its length (section 1.5)."""
    raw = value.encode() if isinstance(value, str) else value
    return len(raw).to_bytes(2, "big") + raw


def packet(first: int, body: bytes) -> bytes:
    """Encode a control packet: first byte, remaining length, the rest (section 2)."""
    length, remaining = bytearray(), len(body)
    while True:
        length.append(remaining % 128 | (0x80 if remaining >= 128 else 0))
        remaining //= 128
        if not remaining:
            return bytes([first]) + bytes(length) + body


def connect(
    client_id: str,
    version: int = V311,
    *,
    clean: bool = True,
    will: tuple[str, str] | None = None,
    properties: bytes = b"",
) -> bytes:
    """Encode a CONNECT. ``will``: topic and payload at QoS 0; ``properties``: those of MQTT 5, without their length."""
    of_version = bytes([len(properties)]) + properties if version == V5 else b""
    flags = (0x02 if clean else 0) | (0x04 if will else 0)
    last = (b"\0" if version == V5 else b"") + text(will[0]) + text(will[1]) if will else b""
    return packet(0x10, text("MQTT") + bytes([version, flags, 0, 60]) + of_version + text(client_id) + last)


def publish(topic: str, payload: bytes, version: int = V311, *, qos: int = 0, packet_id: int = 1) -> bytes:
    """Encode a PUBLISH without properties."""
    identified = packet_id.to_bytes(2, "big") if qos else b""
    return packet(0x30 | qos << 1, text(topic) + identified + (b"\0" if version == V5 else b"") + payload)


def subscribe(*filters: str, version: int = V311, qos: int = 0, packet_id: int = 1) -> bytes:
    """Encode a SUBSCRIBE to filters, all at one QoS."""
    head = packet_id.to_bytes(2, "big") + (b"\0" if version == V5 else b"")
    return packet(0x82, head + b"".join(text(each) + bytes([qos]) for each in filters))


class Wire:
    """One TLS connection. ``context`` changes TLS settings, and ``session`` resumes a session."""

    def __init__(
        self,
        server: RunningServer,
        device_files: CertificateFiles | None,
        server_name: str | None = "localhost",
        *,
        context: ssl.SSLContext | None = None,
        session: ssl.SSLSession | None = None,
    ) -> None:
        context = context or tls(server, device_files, server_name)
        tcp = socket.create_connection(("127.0.0.1", server.mqtt_port), WITHIN)
        # Send each packet at once: a delayed acknowledgement would slow the tests.
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.address = "{}:{}".format(*tcp.getsockname())
        """The address of this connection in the server's log."""
        try:
            self.tls = context.wrap_socket(tcp, session=session)
        except OSError:
            tcp.close()
            raise
        self._read = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close without DISCONNECT, like a lost connection."""
        self.tls.close()

    def send(self, *packets: bytes) -> None:
        """Send everything in one write. Ignores a connection that the server has closed: a later read finds out."""
        try:
            self.tls.sendall(b"".join(packets))
        except TimeoutError:
            raise
        except OSError:
            return

    def receive(self) -> Packet | None:
        """Return the next packet, or None where the server has closed the connection."""
        while True:
            whole = self._take()
            if whole is not None:
                return whole
            try:
                more = self.tls.recv(65536)
            except TimeoutError:
                raise NotClosed("the server neither answered nor closed") from None
            except OSError:
                return None
            if not more:
                return None
            self._read += more

    def expect(self, kind: int) -> Packet:
        """Return the next packet, which must have this type."""
        received = self.receive()
        assert received is not None, f"the server closed instead of sending packet type {kind}"
        assert received.kind == kind, received
        return received

    def connect(self, client_id: str, version: int = V311, *, clean: bool = True) -> Packet:
        """Send CONNECT and return the CONNACK, which must accept it."""
        self.send(connect(client_id, version, clean=clean))
        answer = self.expect(CONNACK)
        assert answer.body[1] == 0, f"CONNACK {answer.body[1]:#x}"
        return answer

    def rest(self) -> list[Packet]:
        """Return all packets until the server closes the connection."""
        packets = []
        while (received := self.receive()) is not None:
            packets.append(received)
        return packets

    def is_alive(self) -> bool:
        """Return whether a PINGREQ is answered. Packets before the answer are ignored."""
        self.send(PINGREQ)
        while (received := self.receive()) is not None:
            if received.kind == PINGRESP:
                return True
        return False

    def _take(self) -> Packet | None:
        length, shift, position = 0, 0, 1
        while True:
            if len(self._read) <= position:
                return None
            byte = self._read[position]
            length |= (byte & 0x7F) << shift
            position, shift = position + 1, shift + 7
            if not byte & 0x80:
                break
        end = position + length
        if len(self._read) < end:
            return None
        first, body = self._read[0], self._read[position:end]
        self._read = self._read[end:]
        return Packet(first >> 4, first & 0x0F, body)


def attempt(
    server: RunningServer,
    device_files: CertificateFiles | None,
    client_id: str,
    version: int = V311,
    server_name: str | None = "localhost",
    *,
    context: ssl.SSLContext | None = None,
    session: ssl.SSLSession | None = None,
) -> list[Packet]:
    """Send a CONNECT and return all packets until the server closes; an accepted client disconnects."""
    with Wire(server, device_files, server_name, context=context, session=session) as wire:
        wire.send(connect(client_id, version))
        first = wire.receive()
        if first is None:
            return []
        if first.kind == CONNACK and first.body[1] == 0:
            wire.send(b"\xe0\x00")
        return [first, *wire.rest()]


def is_taken(answer: list[Packet]) -> bool:
    """Return whether an attempt was answered with a CONNACK of success."""
    return bool(answer) and answer[0].kind == CONNACK and answer[0].body[1] == 0
