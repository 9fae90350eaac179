"""Just-in-time registration as a fleet meets it: a device that nobody registered, and someone who lets it in."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.devices import WITHIN, allow
from tests.e2e.mqtt_wire import V5, V311, attempt, is_taken
from tests.e2e.papers import Papers, new_ca, new_device, openssl
from tests.e2e.running_server import RunningServer

EVENTS = "$aws/events/certificates/registered/"


def trust(server: RunningServer, folder: Path, name: str, *, mode: str = "SNI_ONLY") -> Papers:
    """A CA that registers automatically."""
    iot = server.session().iot
    ca = new_ca(folder, name)
    proof: dict[str, Any] = {"certificateMode": "SNI_ONLY"}
    if mode == "DEFAULT":
        code = iot.get_registration_code()["registrationCode"]
        proof = {"verificationCertificate": new_device(folder, ca, code).pem}
    iot.register_ca_certificate(caCertificate=ca.pem, setAsActive=True, allowAutoRegistration=True, **proof)
    return ca


def let_in(server: RunningServer, certificate_id: str) -> None:
    """Activate a certificate, and allow it everything."""
    iot = server.session().iot
    with suppress(iot.exceptions.ResourceAlreadyExistsException):
        allow(iot, "anything")
    described = iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
    iot.update_certificate(certificateId=certificate_id, newStatus="ACTIVE")
    iot.attach_policy(policyName="anything", target=described["certificateArn"])


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("version", [V311, V5], ids=["3.1.1", "5"])
@pytest.mark.parametrize("server_name", ["localhost", None], ids=["SNI", "no SNI"])
def test_a_device_is_registered_activated_and_let_in(
    server: RunningServer, tmp_path: Path, server_name: str | None, version: int
) -> None:
    mode = "SNI_ONLY" if server_name else "DEFAULT"
    ca = trust(server, tmp_path, f"Fleet {mode} {version}", mode=mode)
    device = new_device(tmp_path, ca)
    if server_name is None:
        # The leaf first, then the CA: the recipe of the Developer Guide.
        device.certificate.write_text(device.pem + ca.pem)
    iot = server.session().iot
    client_id = f"fleet-{mode}-{version}"

    for _ in range(2):
        assert attempt(server, device, client_id, version, server_name) == []
        described = iot.describe_certificate(certificateId=device.certificate_id)["certificateDescription"]
        assert (described["status"], described["certificateMode"]) == ("PENDING_ACTIVATION", mode)
        assert described["caCertificateId"] == ca.certificate_id
        assert described["customerVersion"] == 1
    assert server.wait_for_log("connection refused", client_id)["reason"] == "DEVICE_CERTIFICATE_PENDING_ACTIVATION"

    let_in(server, device.certificate_id)

    assert is_taken(attempt(server, device, client_id, version, server_name))


def test_a_ca_that_may_not_register_or_a_handshake_alone_registers_nothing(
    server: RunningServer, tmp_path: Path
) -> None:
    ca = trust(server, tmp_path, "Wavering")
    device = new_device(tmp_path, ca)
    iot = server.session().iot

    def is_registered() -> bool:
        listed = iot.list_certificates_by_ca(caCertificateId=ca.certificate_id)["certificates"]
        return [each["certificateId"] for each in listed] == [device.certificate_id]

    openssl(
        "s_client", "-connect", f"127.0.0.1:{server.mqtt_port}", "-servername", "localhost", "-CAfile", server.root_ca,
        "-cert", device.certificate, "-key", device.key, stdin="",
    )  # fmt: skip
    server.wait_for_log("connection refused", "CLOSED_BEFORE_CONNECT", device.certificate_id)
    assert not is_registered()
    changes: list[dict[str, Any]] = [
        {"newStatus": "INACTIVE"},
        {"newStatus": "ACTIVE", "newAutoRegistrationStatus": "DISABLE"},
    ]
    for change in changes:
        iot.update_ca_certificate(certificateId=ca.certificate_id, **change)
        assert attempt(server, device, "wavering", V311) == []
        assert not is_registered()
    iot.update_ca_certificate(certificateId=ca.certificate_id, newAutoRegistrationStatus="ENABLE")
    assert attempt(server, device, "wavering", V311) == []
    assert is_registered()


def test_a_certificate_that_is_deleted_is_registered_anew(server: RunningServer, tmp_path: Path) -> None:
    ca = trust(server, tmp_path, "Again")
    device = new_device(tmp_path, ca)
    iot = server.session().iot
    generations = set()
    for _ in range(2):
        assert attempt(server, device, "again", V311) == []
        described = iot.describe_certificate(certificateId=device.certificate_id)["certificateDescription"]
        assert described["status"] == "PENDING_ACTIVATION"
        generations.add(described["generationId"])
        iot.delete_certificate(certificateId=device.certificate_id)
    assert len(generations) == 2


def test_after_kill_9_what_waits_to_be_told_is_taken_up_and_a_pending_device_is_activated_as_ever(
    own_server: RunningServer, tmp_path: Path
) -> None:
    ca = trust(own_server, tmp_path, "Crashed")
    device = new_device(tmp_path, ca)
    assert attempt(own_server, device, "crashed", V311) == []
    own_server.kill()

    def outbox(*statement: Any) -> list[Any]:
        with closing(sqlite3.connect(own_server.data / "sekisho.db", timeout=10)) as database, database:
            return database.execute(*statement).fetchall()

    assert outbox("SELECT * FROM outbox") == []
    # As if the server had ended between the registration and its event.
    row = (own_server.run["account"], own_server.run["region"], f"{EVENTS}{ca.certificate_id}", b"{}")
    outbox("INSERT INTO outbox (account_id, region, topic, payload) VALUES (?, ?, ?, ?)", row)
    own_server.start()
    eventually(lambda: outbox("SELECT * FROM outbox") == [])

    assert attempt(own_server, device, "crashed", V311) == []
    let_in(own_server, device.certificate_id)
    assert is_taken(attempt(own_server, device, "crashed", V311))
