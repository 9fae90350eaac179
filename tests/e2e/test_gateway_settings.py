"""Settings of the gateway: number of connections, time limits, and answers to refused clients."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.certificate_files import CertificateFiles, new_ca, new_device
from tests.e2e.devices import WITHIN, allow, register
from tests.e2e.mqtt_wire import CONNACK, Wire, attempt
from tests.e2e.running_server import RunningServer
from tests.wait import eventually

NOT_AUTHORIZED = 5
"""Return code of CONNACK (MQTT 3.1.1, section 3.2.2.3)."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    (data / "sekisho.toml").write_text(
        "max_connections = 1\nhandshake_timeout = 1\nadmission_timeout = 4\nverbose_refusals = true\n"
    )
    running = RunningServer(data).start()
    yield running
    running.stop()


@pytest.fixture
def device(server: RunningServer, tmp_path: Path) -> CertificateFiles:
    ca = new_ca(tmp_path)
    device = new_device(tmp_path, ca)
    clients = server.session()
    clients.iot.register_ca_certificate(caCertificate=ca.pem, certificateMode="SNI_ONLY", setAsActive=True)
    register(clients, device, allow(clients.iot, "anything"))
    return device


def test_the_settings_of_the_gateway_apply_to_its_connections(server: RunningServer, device: CertificateFiles) -> None:
    with Wire(server, device) as first:
        first.connect("first")
        attempted = []

        def refused() -> bool:
            try:
                attempted.append(attempt(server, device, "second"))
            except OSError:
                attempted.append([])
            return bool(server.log_events("connection_refused", reason="TOO_MANY_CONNECTIONS"))

        eventually(refused, lambda: f"no connection was refused: {attempted}\n{server.log()}")
        assert not any(attempted)
        assert first.is_alive()


def test_a_handshake_that_is_not_finished_ends_after_the_time_of_the_setting(server: RunningServer) -> None:
    with socket.create_connection(("127.0.0.1", server.mqtt_port), WITHIN) as half_open:
        half_open.sendall(b"\x16\x03\x01\x02\x00")
        # An alert may come first.
        while half_open.recv(1024):
            pass
    server.wait_for_refusal(reason="HANDSHAKE_TIMEOUT")


def test_a_refused_client_gets_a_reason_code_if_the_setting_is_true(server: RunningServer, tmp_path: Path) -> None:
    folder = tmp_path / "unknown"
    folder.mkdir()
    unknown = new_device(folder, new_ca(folder))
    [answer] = attempt(server, unknown, "c")
    assert (answer.kind, answer.body[1]) == (CONNACK, NOT_AUTHORIZED)
