"""No Python in the path of a message, of a known certificate or of a lost right: each goes on while Python sleeps."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import x509
from tests.e2e import drowsy_server
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
from tests.e2e.papers import in_files
from tests.e2e.running_server import RunningServer
from tests.wait import eventually


class DrowsyServer(RunningServer):
    """A server whose Python, or whose pump alone, can be put to sleep."""

    def _program(self) -> list[str]:
        return [sys.executable, str(Path(drowsy_server.__file__))]

    def is_awake_again(self) -> bool:
        return (self.data.parent / "awake").exists()

    def put_to_sleep(self) -> None:
        """Returns when no Python runs there any more."""
        self.send_signal(signal.SIGUSR1)
        self._wait_for_file("asleep")

    def put_pump_to_sleep(self) -> None:
        """Returns when the gateway's events are not taken any more."""
        self.send_signal(signal.SIGUSR2)
        self._wait_for_file("pump-asleep")

    def pump_sleeps(self) -> bool:
        return (self.data.parent / "pump-asleep").exists()

    def wake_pump(self) -> None:
        self.send_signal(signal.SIGUSR2)

    def _wait_for_file(self, name: str) -> None:
        eventually((self.data.parent / name).exists)


@pytest.fixture
def drowsy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DrowsyServer]:
    monkeypatch.setenv("DROWSY_FOLDER", str(tmp_path))
    running = DrowsyServer(tmp_path / "data").start()
    yield running
    running.kill()


def test_while_python_sleeps_messages_flow_and_known_certificates_connect(drowsy: DrowsyServer, tmp_path: Path) -> None:
    clients = drowsy.session()
    policy = allow(clients.iot, "anything")
    known, late = (in_files(tmp_path, x509.new_device(None, name)) for name in ("known", "late"))
    for papers in (known, late):
        register(clients, papers, policy)

    with Wire(drowsy, known) as subscriber, Wire(drowsy, known) as publisher, ThreadPoolExecutor(1) as pool:
        subscriber.connect("subscriber", V5)
        publisher.connect("publisher")
        subscriber.send(subscribe("flow/#", version=V5, qos=1))
        subscriber.expect(SUBACK)

        drowsy.put_to_sleep()
        # Registered, but the gateway has not cached it yet: only Python can look it up.
        waiting = pool.submit(attempt, drowsy, late, "late")
        # Fewer than a hundred, since the subscriber acknowledges none.
        for number in range(90):
            publisher.send(publish("flow/old", f"old {number}".encode(), qos=1, packet_id=1 + number))
            publisher.expect(PUBACK)
            assert subscriber.expect(PUBLISH).body.endswith(f"old {number}".encode())
        for number, version in enumerate([V311, V5] * 5):
            with Wire(drowsy, known) as newcomer:
                newcomer.connect(f"newcomer-{number}", version)
                newcomer.send(publish("flow/new", f"new {number}".encode(), version))
                assert subscriber.expect(PUBLISH).body.startswith(text("flow/new"))
        assert not drowsy.is_awake_again(), "all this is to happen while Python sleeps"
        assert not waiting.done()

        assert waiting.result(timeout=drowsy_server.SECONDS + 20) == []
        line = drowsy.wait_for_refusal(client_id="late")
        assert line["reason"] == "CONTROL_PLANE_TIMEOUT"
        assert drowsy.is_awake_again()
        assert publisher.is_alive()
    assert is_taken(attempt(drowsy, late, "late"))


def test_a_lost_right_closes_its_connections_while_the_pump_sleeps(drowsy: DrowsyServer, tmp_path: Path) -> None:
    clients = drowsy.session()
    iot = clients.iot
    policy = allow(iot, "anything")
    revoked, inactive, other = (in_files(tmp_path, x509.new_device(None, name)) for name in ("one", "two", "three"))
    for files in (revoked, inactive, other):
        register(clients, files, policy)

    with Wire(drowsy, revoked) as first, Wire(drowsy, inactive) as second, Wire(drowsy, other) as third:
        first.connect("first", V5)
        second.connect("second", V311)
        third.connect("third")
        drowsy.put_pump_to_sleep()
        iot.update_certificate(certificateId=revoked.certificate_id, newStatus="REVOKED")
        assert first.expect(DISCONNECT).body[:1] == b"\x87", "not authorized"
        iot.update_certificate(certificateId=inactive.certificate_id, newStatus="INACTIVE")
        assert second.rest() == []
        assert drowsy.pump_sleeps(), "all this is to happen while the pump sleeps"
        assert third.is_alive()
        drowsy.wake_pump()
        for client_id, reason in (("first", "REVOKED"), ("second", "INACTIVE")):
            line = drowsy.wait_for_refusal(client_id=client_id)
            assert line["reason"] == f"DEVICE_CERTIFICATE_{reason}"
        assert third.is_alive()
