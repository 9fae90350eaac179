"""Peers without a signature open connections to the API: devices and clients are served, and memory stays small."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.e2e.certificate_files import new_self_signed
from tests.e2e.command_line import clean_environment
from tests.e2e.devices import allow, register
from tests.e2e.running_server import RunningServer
from tests.tools import require

DESCRIPTORS = 512


class LimitedServer(RunningServer):
    """A server with few descriptors, half of them by the soft limit."""

    def _program(self) -> list[str]:
        raised = f'set -e; ulimit -Sn {DESCRIPTORS // 2}; ulimit -Hn {DESCRIPTORS}; exec "$0" "$@"'
        return ["sh", "-c", raised, require("sekisho")]


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[LimitedServer]:
    running = LimitedServer(tmp_path / "data").start()
    yield running
    running.kill()


@contextmanager
def many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_the_soft_limit_of_descriptors_is_raised(limited: LimitedServer) -> None:
    limits = Path(f"/proc/{limited.run['pid']}/limits").read_text()
    line = next(line for line in limits.splitlines() if line.startswith("Max open files"))
    assert line.split()[3:5] == [str(DESCRIPTORS), str(DESCRIPTORS)]


def test_connections_that_send_nothing_take_nothing_from_clients_and_devices(limited: LimitedServer) -> None:
    """Opens ten times as many connections as there are descriptors, and sends one endless header."""
    url = urlsplit(str(limited.run["api"]))
    before = resident_bytes(limited.run["pid"])
    iot = limited.session().iot
    with many_descriptors(), ExitStack() as held:
        for number in range(10 * DESCRIPTORS):
            held.enter_context(socket.create_connection((url.hostname, url.port), 20))
            if number % DESCRIPTORS == 0:
                assert "endpointAddress" in iot.describe_endpoint(endpointType="iot:Data-ATS")
        with (
            socket.create_connection((url.hostname, url.port), 20) as endless,
            pytest.raises((BrokenPipeError, ConnectionResetError)),
        ):
            endless.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 256 * 1024 * 1024)
        # A device gets a descriptor as far as TLS, which is the first answer of the gateway.
        with socket.create_connection(("localhost", limited.mqtt_port), 20) as device:
            device.sendall(b"not TLS")
            with suppress(ConnectionResetError):
                assert device.recv(100) == b""
        limited.wait_for_refusal(reason="NOT_TLS")
        assert "endpointAddress" in iot.describe_endpoint(endpointType="iot:Data-ATS")
        assert resident_bytes(limited.run["pid"]) - before < 64 * 1024 * 1024
    assert all(line["level"] != "error" for line in limited.log_lines())
    assert limited.stop() == 0


def test_half_open_mqtt_connections_take_nothing_from_devices(limited: LimitedServer, tmp_path: Path) -> None:
    """Peers without a certificate start four times as many handshakes as the gateway may have connections."""
    device = new_self_signed(tmp_path)
    register(limited.session(), device, allow(limited.session().iot, "anything"))
    publish = [
        require("sekisho"), "pub", "-t", "t", "-m", "m", "-q", "1", "--data", str(limited.data),
        "--cert", str(device.certificate), "--key", str(device.key),
    ]  # fmt: skip
    with many_descriptors(), ExitStack() as held:
        for _ in range(4 * DESCRIPTORS):
            peer = held.enter_context(socket.create_connection(("localhost", limited.mqtt_port), 20))
            with suppress(ConnectionError):
                peer.sendall(b"\x16\x03\x01\x02\x00")
        said = subprocess.run(publish, env=clean_environment(), capture_output=True, text=True, check=False)
        assert said.returncode == 0, said.stderr
    assert limited.stop() == 0


def test_without_descriptors_both_listeners_log_it_and_recover(limited: LimitedServer) -> None:
    pid = limited.run["pid"]
    api, mqtt = urlsplit(str(limited.run["api"])).port, limited.mqtt_port
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    with ExitStack() as held:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, before[1]))
        for port in (api, mqtt):
            held.enter_context(socket.create_connection(("localhost", port), 20))
        failed = [
            limited.wait_for_log("http_accept_failed"),
            limited.wait_for_log("mqtt_accept_failed"),
        ]
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        assert all("Too many open files" in line["reason"] for line in failed)
    assert "endpointAddress" in limited.session().iot.describe_endpoint(endpointType="iot:Data-ATS")
    with socket.create_connection(("localhost", mqtt), 20) as device:
        device.sendall(b"not TLS")
        limited.wait_for_refusal(reason="NOT_TLS")
    for code in ("http_accept_failed", "mqtt_accept_failed"):
        assert len(limited.log_events(code)) <= 2
