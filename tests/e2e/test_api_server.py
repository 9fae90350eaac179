"""Peers without a signature take the API's connections: devices and clients are served, and the process stays small."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.e2e.running_server import RunningServer
from tests.tools import require

DESCRIPTORS = 512


class LimitedServer(RunningServer):
    """A server that is started with few descriptors, half of them by the soft limit."""

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
    """Ten times as many connections as there are descriptors, and one endless header beside them."""
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
        # A device finds a descriptor: as far as TLS, which is the first that the gateway says.
        with socket.create_connection(("localhost", limited.mqtt_port), 20) as device:
            device.sendall(b"not TLS")
            with suppress(ConnectionResetError):
                assert device.recv(100) == b""
        limited.wait_for_log("connection refused", "TLS")
        assert "endpointAddress" in iot.describe_endpoint(endpointType="iot:Data-ATS")
        assert resident_bytes(limited.run["pid"]) - before < 64 * 1024 * 1024
    assert all(line["level"] != "error" for line in limited.log_lines())
    assert limited.stop() == 0
