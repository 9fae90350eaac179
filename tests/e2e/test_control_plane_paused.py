"""Python is not needed for messages, cached certificates and lost rights: these work while Python is paused."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import x509
from tests.e2e import pausing_server
from tests.e2e.certificate_files import in_files
from tests.e2e.devices import allow, register
from tests.e2e.mqtt_wire import (
    DISCONNECT,
    PUBACK,
    PUBLISH,
    SUBACK,
    V5,
    V311,
    Wire,
    attempt,
    is_taken,
    publish,
    subscribe,
    text,
)
from tests.e2e.running_server import RunningServer
from tests.wait import eventually


class PausingServer(RunningServer):
    """A server whose Python, or whose pump alone, can be paused."""

    def _program(self) -> list[str]:
        return [sys.executable, str(Path(pausing_server.__file__))]

    def has_resumed(self) -> bool:
        return (self.data.parent / "resumed").exists()

    def pause(self) -> None:
        """Return when no Python code runs in the server any more."""
        self.send_signal(signal.SIGUSR1)
        self._wait_for_file("paused")

    def pause_pump(self) -> None:
        """Return when the pump takes no more events of the gateway."""
        self.send_signal(signal.SIGUSR2)
        self._wait_for_file("pump-paused")

    def is_pump_paused(self) -> bool:
        return (self.data.parent / "pump-paused").exists()

    def resume_pump(self) -> None:
        self.send_signal(signal.SIGUSR2)

    def _wait_for_file(self, name: str) -> None:
        eventually((self.data.parent / name).exists)


@pytest.fixture
def pausing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PausingServer]:
    monkeypatch.setenv("PAUSING_FOLDER", str(tmp_path))
    running = PausingServer(tmp_path / "data").start()
    yield running
    running.kill()


def test_while_python_is_paused_messages_flow_and_known_certificates_connect(
    pausing: PausingServer, tmp_path: Path
) -> None:
    clients = pausing.session()
    policy = allow(clients.iot, "anything")
    known, late = (in_files(tmp_path, x509.new_device(None, name)) for name in ("known", "late"))
    for device_files in (known, late):
        register(clients, device_files, policy)

    with Wire(pausing, known) as subscriber, Wire(pausing, known) as publisher, ThreadPoolExecutor(1) as pool:
        subscriber.connect("subscriber", V5)
        publisher.connect("publisher")
        subscriber.send(subscribe("flow/#", version=V5, qos=1))
        subscriber.expect(SUBACK)

        pausing.pause()
        # Registered, but the gateway has not cached it yet: only Python can look it up.
        waiting = pool.submit(attempt, pausing, late, "late")
        # Fewer than a hundred, since the subscriber acknowledges none.
        for number in range(90):
            publisher.send(publish("flow/old", f"old {number}".encode(), qos=1, packet_id=1 + number))
            publisher.expect(PUBACK)
            assert subscriber.expect(PUBLISH).body.endswith(f"old {number}".encode())
        for number, version in enumerate([V311, V5] * 5):
            with Wire(pausing, known) as newcomer:
                newcomer.connect(f"newcomer-{number}", version)
                newcomer.send(publish("flow/new", f"new {number}".encode(), version))
                assert subscriber.expect(PUBLISH).body.startswith(text("flow/new"))
        assert not pausing.has_resumed(), "all this is to happen while Python is paused"
        assert not waiting.done()

        assert waiting.result(timeout=pausing_server.SECONDS + 20) == []
        line = pausing.wait_for_refusal(client_id="late")
        assert line["reason"] == "CONTROL_PLANE_TIMEOUT"
        assert pausing.has_resumed()
        assert publisher.is_alive()
    assert is_taken(attempt(pausing, late, "late"))


def test_a_lost_right_closes_its_connections_while_the_pump_is_paused(pausing: PausingServer, tmp_path: Path) -> None:
    clients = pausing.session()
    iot = clients.iot
    policy = allow(iot, "anything")
    revoked, inactive, other = (in_files(tmp_path, x509.new_device(None, name)) for name in ("one", "two", "three"))
    for files in (revoked, inactive, other):
        register(clients, files, policy)

    with Wire(pausing, revoked) as first, Wire(pausing, inactive) as second, Wire(pausing, other) as third:
        first.connect("first", V5)
        second.connect("second", V311)
        third.connect("third")
        pausing.pause_pump()
        iot.update_certificate(certificateId=revoked.certificate_id, newStatus="REVOKED")
        assert first.expect(DISCONNECT).body[:1] == b"\x87", "not authorized"
        iot.update_certificate(certificateId=inactive.certificate_id, newStatus="INACTIVE")
        assert second.rest() == []
        assert pausing.is_pump_paused(), "all this is to happen while the pump is paused"
        assert third.is_alive()
        pausing.resume_pump()
        for client_id, reason in (("first", "REVOKED"), ("second", "INACTIVE")):
            line = pausing.wait_for_refusal(client_id=client_id)
            assert line["reason"] == f"DEVICE_CERTIFICATE_{reason}"
        assert third.is_alive()
