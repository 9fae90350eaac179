"""Bad input to the gateway: bytes that are not TLS, not MQTT or not valid, and clients that do not read.

Each is refused, the log has the reason, and a client that was connected before is not affected.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import socket
import ssl
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests import x509
from tests.e2e.certificate_files import CertificateFiles, in_files
from tests.e2e.devices import WITHIN, allow, register, tls
from tests.e2e.mqtt_wire import (
    CONNACK,
    DISCONNECT,
    PUBACK,
    PUBLISH,
    SUBACK,
    V5,
    V311,
    Wire,
    attempt,
    connect,
    is_taken,
    packet,
    publish,
    subscribe,
    text,
)
from tests.e2e.running_server import RunningServer
from tests.tools import require
from tests.wait import eventually

VERSIONS = pytest.mark.parametrize("version", [V311, V5], ids=["3.1.1", "5"])
VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "mqtt_packets.json").read_text())
LEVEL = {"3.1.1": V311, "5": V5}

CLIENT_HELLO_BEGINS = bytes.fromhex("16030100c8010000c40303")
"""The start of a handshake that does not continue."""


@pytest.fixture(scope="module")
def device(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    """Register a device that may do anything."""
    device_files = in_files(tmp_path_factory.mktemp("device"), x509.new_device(None))
    clients = server.session()
    register(clients, device_files, allow(clients.iot, "anything"))
    return device_files


@pytest.fixture(scope="module")
def _listening(server: RunningServer, device: CertificateFiles) -> Iterator[Wire]:
    with Wire(server, device) as wire:
        wire.connect("bystander")
        wire.send(subscribe("proof"))
        wire.expect(SUBACK)
        yield wire


@pytest.fixture(autouse=True)
def bystander(server: RunningServer, device: CertificateFiles, _listening: Wire) -> Iterator[Wire]:
    """Connect a client before, which afterwards still gets messages from a new client."""
    yield _listening
    with Wire(server, device) as newcomer:
        newcomer.connect("newcomer")
        newcomer.send(publish("proof", b"of life"))
        assert _listening.expect(PUBLISH).body == text("proof") + b"of life"


def refusals(server: RunningServer, reason: str) -> int:
    """Return how often the log has this reason. A failed handshake has no name to search for."""
    return len(server.log_events("connection_refused", reason=reason))


def send_plainly(server: RunningServer, raw: bytes) -> tuple[str, bytes]:
    """Send raw bytes over TCP; returns our address, and everything received until the server closes."""
    with socket.create_connection(("127.0.0.1", server.mqtt_port), WITHIN) as tcp:
        tcp.sendall(raw)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while more := tcp.recv(4096):
                answer += more
        return "{}:{}".format(*tcp.getsockname()), answer


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"\x00\xff\x00garbage of no protocol\xde\xad\xbe\xef", "NOT_TLS"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP_ON_MQTT_PORT"),
        (b"POST /things HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "HTTP_ON_MQTT_PORT"),
        (connect("plain"), "MQTT_WITHOUT_TLS"),
        (connect("plain", V5), "MQTT_WITHOUT_TLS"),
        (bytes.fromhex("1603010005") + b"\xffabcd", "TLS_FAILED"),
    ],
)
def test_bytes_that_are_not_tls_are_refused_as_such(server: RunningServer, raw: bytes, reason: str) -> None:
    address, answer = send_plainly(server, raw)
    # At most a TLS alert; never bytes of MQTT or HTTP.
    assert answer == b"" or answer[0] == 0x15
    # Ports are used again, so an earlier line may have the same address: the test waits for the reason too.
    server.wait_for_refusal(peer=address, reason=reason)


def test_https_on_the_mqtt_port_is_named_in_the_log(server: RunningServer, device: CertificateFiles) -> None:
    with Wire(server, device) as wire:
        wire.send(b"GET /topics/a HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert wire.rest() == []
        server.wait_for_refusal(peer=wire.address, reason="HTTP_IN_TLS")


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_without_a_certificate_is_refused(server: RunningServer, newest: ssl.TLSVersion) -> None:
    context = tls(server, None)
    context.maximum_version = newest
    before = refusals(server, "DEVICE_CERTIFICATE_MISSING")
    # TLS 1.2 ends during the handshake.
    with contextlib.suppress(ssl.SSLError, ConnectionError), Wire(server, None, context=context) as wire:
        wire.send(connect("no-certificate"))
        assert wire.rest() == []
    eventually(lambda: refusals(server, "DEVICE_CERTIFICATE_MISSING") == before + 1)


def test_tls_1_1_is_refused_with_its_reason(server: RunningServer, device: CertificateFiles) -> None:
    said = subprocess.run(
        [
            require("openssl"), "s_client", "-connect", f"127.0.0.1:{server.mqtt_port}", "-servername", "localhost",
            "-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0", "-cert", str(device.certificate), "-key", str(device.key),
        ],
        input="",
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert said.returncode != 0
    assert "alert" in said.stderr
    server.wait_for_refusal(reason="TLS_VERSION_UNSUPPORTED")


def key_that_claims_to_be(victim: x509.KeyAndCertificate, folder: Path) -> Path:
    """Write another key to a file that contains the public key of the victim's certificate (SEC 1, C.4).

    Clients compare key and certificate by that public key before they connect; only the server's check is left.
    """
    public = victim.certificate.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    scalar = x509.p256().private_numbers().private_value.to_bytes(32, "big")
    body = bytes.fromhex("0201010420") + scalar + bytes.fromhex("a00a06082a8648ce3d030107a144034200") + public
    file = folder / "stolen.key"
    encoded = base64.encodebytes(b"\x30" + bytes([len(body)]) + body).decode()
    file.write_text(f"-----BEGIN EC PRIVATE KEY-----\n{encoded}-----END EC PRIVATE KEY-----\n")
    return file


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_certificate_without_its_key_cannot_connect(
    server: RunningServer, tmp_path: Path, newest: ssl.TLSVersion
) -> None:
    victim = x509.new_device(None, "Victim")
    device_files = in_files(tmp_path, victim)
    register(server.session(), device_files, "anything")
    assert is_taken(attempt(server, device_files, "victim"))

    thief = CertificateFiles(key_that_claims_to_be(victim, tmp_path), device_files.certificate)
    context = tls(server, thief)
    context.maximum_version = newest
    before = refusals(server, "DEVICE_KEY_MISMATCH")
    # TLS 1.2 ends during the handshake.
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        assert attempt(server, thief, "victim", context=context) == []
    eventually(lambda: refusals(server, "DEVICE_KEY_MISMATCH") == before + 1)


@VERSIONS
@pytest.mark.parametrize(
    "oversized",
    [
        packet(0x30, text("big") + b"\0" + b"x" * (150 * 1024)),
        # Never sent completely: its length alone is too large.
        b"\x30\xff\xff\xff\x7f",
        b"\x82\xff\xff\xff\x7f",
    ],
    ids=["a PUBLISH of 150 KB", "a PUBLISH that announces 256 MB", "a SUBSCRIBE that announces 256 MB"],
)
def test_an_oversized_packet_ends_the_connection(
    server: RunningServer, device: CertificateFiles, version: int, oversized: bytes
) -> None:
    with Wire(server, device) as wire:
        wire.connect("oversized", version)
        wire.send(oversized)
        ended = wire.rest()
    expected = [] if version == V311 else [DISCONNECT]
    assert [each.kind for each in ended] == expected


def test_an_oversized_connect_is_refused(server: RunningServer, device: CertificateFiles) -> None:
    with Wire(server, device) as wire:
        wire.send(b"\x10\xff\xff\xff\x7f")
        assert wire.rest() == []
        server.wait_for_refusal(peer=wire.address, reason="CONNECT_MALFORMED")


def malformed(kind: str) -> list[Any]:
    wanted = [
        each
        for each in VECTORS
        if not each["valid"]
        and each["direction"] == "client_to_server"
        and each["name"].startswith("CONNECT ") == (kind == "CONNECT")
    ]
    assert len(wanted) > 50
    return wanted


def test_every_malformed_connect_is_refused(server: RunningServer, device: CertificateFiles) -> None:
    def send(vector: dict[str, Any]) -> list[str]:
        with Wire(server, device) as wire:
            wire.send(bytes.fromhex(vector["hex"]))
            # A server sends its version to a client that asks for another one [MQTT-3.1.2-2], and nothing else.
            return [vector["name"] for each in wire.rest() if (each.kind, each.body[1]) not in ((CONNACK, 1),)]

    with ThreadPoolExecutor(8) as pool:
        answered = [name for names in pool.map(send, malformed("CONNECT")) for name in names]
    assert answered == []


def test_every_other_malformed_packet_ends_the_connection_with_a_reason_in_mqtt_5(
    server: RunningServer, device: CertificateFiles
) -> None:
    vectors = malformed("other")

    def send(numbered: tuple[int, dict[str, Any]]) -> tuple[str, list[tuple[int, int]]]:
        number, vector = numbered
        with Wire(server, device) as wire:
            wire.connect(f"malformed-{number}", LEVEL[vector["version"]])
            wire.send(bytes.fromhex(vector["hex"]))
            return f"{vector['version']} {vector['name']}", [(each.kind, each.body[0]) for each in wire.rest()]

    with ThreadPoolExecutor(8) as pool:
        answers = dict(pool.map(send, enumerate(vectors)))
    for vector in vectors:
        expected = [] if vector["version"] == "3.1.1" else [(DISCONNECT, vector["reason"])]
        assert answers[f"{vector['version']} {vector['name']}"] == expected, vector["name"]


@VERSIONS
def test_packets_before_connect_are_not_answered_and_have_no_effect(
    server: RunningServer, device: CertificateFiles, bystander: Wire, version: int
) -> None:
    for early in (
        publish("proof", b"too early", version, qos=1),
        subscribe("proof", version=version),
        b"\xc0\x00",
        b"\xe0\x00",
        bytes.fromhex("40020001"),
    ):
        with Wire(server, device) as wire:
            # A CONNECT after it does not change that.
            wire.send(early, connect("early", version))
            assert wire.rest() == []
            server.wait_for_refusal(peer=wire.address, reason="FIRST_PACKET_NOT_CONNECT")
    assert bystander.is_alive()


@VERSIONS
def test_a_second_connect_ends_the_connection(server: RunningServer, device: CertificateFiles, version: int) -> None:
    with Wire(server, device) as wire:
        wire.connect("twice", version)
        wire.send(connect("twice", version))
        assert [(each.kind, each.body[0]) for each in wire.rest()] == ([] if version == V311 else [(DISCONNECT, 0x82)])


def memory_of(server: RunningServer) -> int:
    """Return the resident bytes of the server's process."""
    status = Path(f"/proc/{server.run['pid']}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024


def test_a_subscriber_that_stops_reading_affects_only_itself(server: RunningServer, device: CertificateFiles) -> None:
    payload = b"x" * 100_000
    with Wire(server, device) as stuck, Wire(server, device) as reader, Wire(server, device) as sender:
        for wire, name in ((stuck, "stuck"), (reader, "reader"), (sender, "sender")):
            wire.connect(name)
        for wire in (stuck, reader):
            wire.send(subscribe("flood"))
            wire.expect(SUBACK)
        before = memory_of(server)
        # 100 MB are sent to the subscriber that does not read; the other one gets every message.
        for number in range(1000):
            sender.send(publish("flood", payload, qos=1, packet_id=1 + number % 100))
            sender.expect(PUBACK)
            assert reader.expect(PUBLISH).body.endswith(payload)
        assert memory_of(server) - before < 64 * 1024 * 1024


def test_hundreds_of_half_open_handshakes_exclude_no_device_and_end_by_themselves(
    server: RunningServer, device: CertificateFiles, bystander: Wire
) -> None:
    with ExitStack() as stack:
        half_open = []
        for number in range(300):
            tcp = stack.enter_context(socket.create_connection(("127.0.0.1", server.mqtt_port), WITHIN))
            tcp.sendall(CLIENT_HELLO_BEGINS if number % 2 else b"\x16")
            half_open.append(tcp)
        finished = stack.enter_context(Wire(server, device))
        unfinished = stack.enter_context(Wire(server, device))
        unfinished.send(connect("never-whole")[:7])
        with Wire(server, device) as known:
            known.connect("known")
            known.send(publish("proof", b"through half-open handshakes"))
            assert bystander.expect(PUBLISH).body.endswith(b"through half-open handshakes")
        # The limit of 10 s for handshake and CONNECT.
        for tcp in half_open:
            tcp.settimeout(30)
            with contextlib.suppress(ConnectionResetError):
                while tcp.recv(4096):
                    pass
        for wire in (finished, unfinished):
            assert wire.rest() == []
            server.wait_for_refusal(peer=wire.address, reason="CONNECT_TIMEOUT")
        server.wait_for_refusal(reason="HANDSHAKE_TIMEOUT")


def test_an_unknown_name_and_an_address_as_sni_have_different_reasons(
    server: RunningServer, device: CertificateFiles
) -> None:
    unknown = "a123-ats.iot.us-east-1.example.com"
    context = tls(server, device, unknown)
    context.check_hostname = False
    assert attempt(server, device, "unknown-name", context=context) == []
    assert server.wait_for_refusal(client_id="unknown-name")["reason"] == "SNI_MISUSED"

    # libmosquitto sends the address as SNI, which RFC 6066 forbids: it is treated as no SNI.
    said = subprocess.run(
        [
            require("mosquitto_pub"), "-h", "127.0.0.1", "-p", str(server.mqtt_port), "--insecure", "--cafile",
            server.root_ca, "--cert", str(device.certificate), "--key", str(device.key), "-i", "by-address", "-t",
            "proof", "-m", "no",
        ],
        capture_output=True,
        text=True,
        timeout=WITHIN,
        check=False,
    )  # fmt: skip
    assert said.returncode != 0
    line = server.wait_for_refusal(client_id="by-address")
    assert line["reason"] == "CERTIFICATE_IS_SNI_ONLY_AND_NO_SNI"
    assert "server_name" not in line
