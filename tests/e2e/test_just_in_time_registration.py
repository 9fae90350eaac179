"""Just-in-time registration: an unregistered device, and a subscriber of the registration events."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.certificate_files import CertificateFiles, new_ca, new_device, new_self_signed, openssl
from tests.e2e.devices import Device, allow, register
from tests.e2e.mqtt_wire import V5, V311, attempt, is_taken
from tests.e2e.running_server import RunningServer
from tests.wait import eventually

EVENTS = "$aws/events/certificates/registered/"


def trust(server: RunningServer, folder: Path, name: str, *, mode: str = "SNI_ONLY") -> CertificateFiles:
    """Register a CA that registers automatically."""
    iot = server.session().iot
    ca = new_ca(folder, name)
    proof: dict[str, Any] = {"certificateMode": "SNI_ONLY"}
    if mode == "DEFAULT":
        code = iot.get_registration_code()["registrationCode"]
        proof = {"verificationCertificate": new_device(folder, ca, code).pem}
    iot.register_ca_certificate(caCertificate=ca.pem, setAsActive=True, allowAutoRegistration=True, **proof)
    return ca


def subscriber(server: RunningServer, folder: Path) -> Device:
    """Connect a device that subscribes to registration events."""
    clients = server.session()
    with suppress(clients.iot.exceptions.ResourceAlreadyExistsException):
        allow(clients.iot, "anything")
    device_files = new_self_signed(folder)
    register(clients, device_files, "anything")
    return Device(server, device_files, f"listener-{device_files.certificate_id[:8]}")


def let_in(server: RunningServer, certificate_id: str) -> None:
    """Activate the certificate of an event, as the subscriber does."""
    iot = server.session().iot
    described = iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
    iot.update_certificate(certificateId=certificate_id, newStatus="ACTIVE")
    iot.attach_policy(policyName="anything", target=described["certificateArn"])


@pytest.mark.parametrize("version", [V311, V5], ids=["3.1.1", "5"])
@pytest.mark.parametrize("server_name", ["localhost", None], ids=["SNI", "no SNI"])
def test_a_device_is_registered_announced_activated_and_accepted(
    server: RunningServer, tmp_path: Path, server_name: str | None, version: int
) -> None:
    mode = "SNI_ONLY" if server_name else "DEFAULT"
    ca = trust(server, tmp_path, f"Fleet {mode} {version}", mode=mode)
    device = new_device(tmp_path, ca)
    if server_name is None:
        # The leaf first, then the CA, as in the Developer Guide.
        device.certificate.write_text(device.pem + ca.pem)
    iot = server.session().iot
    client_id = f"fleet-{mode}-{version}"
    begun = int(time.time() * 1000)

    with subscriber(server, tmp_path) as listener:
        assert not listener.subscribe(f"{EVENTS}{ca.certificate_id}", 1).is_failure
        for _ in range(2):
            assert attempt(server, device, client_id, version, server_name) == []
            message = listener.message()
            assert (message.topic, message.qos) == (f"{EVENTS}{ca.certificate_id}", 1)
            event = json.loads(message.payload)
            assert begun <= event.pop("timestamp") <= int(time.time() * 1000)
            assert event == {
                "certificateId": device.certificate_id,
                "caCertificateId": ca.certificate_id,
                "certificateStatus": "PENDING_ACTIVATION",
                "awsAccountId": server.run["account"],
                "certificateRegistrationTimestamp": None,
            }
        described = iot.describe_certificate(certificateId=device.certificate_id)["certificateDescription"]
        assert (described["status"], described["certificateMode"]) == ("PENDING_ACTIVATION", mode)
        assert described["caCertificateId"] == ca.certificate_id
        assert server.wait_for_refusal(client_id=client_id)["reason"] == "DEVICE_CERTIFICATE_PENDING_ACTIVATION"

        let_in(server, event["certificateId"])

        assert is_taken(attempt(server, device, client_id, version, server_name))
        # One event for each attempt before, none for the accepted one.
        listener.publish("t/end", "")
        listener.subscribe("t/end")
        listener.publish("t/end", "end", 1)
        assert listener.message().topic == "t/end"


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
    server.wait_for_refusal(reason="CLOSED_BEFORE_CONNECT", certificate_id=device.certificate_id)
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


def test_a_deleted_certificate_is_registered_again(server: RunningServer, tmp_path: Path) -> None:
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


def test_after_kill_9_registered_certificates_are_announced_and_activated(
    own_server: RunningServer, tmp_path: Path
) -> None:
    ca = trust(own_server, tmp_path, "Crashed")
    device = new_device(tmp_path, ca)
    assert attempt(own_server, device, "crashed", V311) == []
    own_server.kill()

    assert own_server.rows("SELECT * FROM outbox") == []
    # As if the server had ended between the registration and its event.
    row = (own_server.run["account"], own_server.run["region"], f"{EVENTS}{ca.certificate_id}", b"{}")
    with own_server.stopped_database() as database:
        database.execute("INSERT INTO outbox (account_id, region, topic, payload) VALUES (?, ?, ?, ?)", row)
    own_server.start()
    eventually(lambda: own_server.rows("SELECT * FROM outbox") == [])

    with subscriber(own_server, tmp_path) as listener:
        listener.subscribe(f"{EVENTS}+", 1)
        assert attempt(own_server, device, "crashed", V311) == []
        let_in(own_server, json.loads(listener.message().payload)["certificateId"])
        assert is_taken(attempt(own_server, device, "crashed", V311))
