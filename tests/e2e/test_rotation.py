"""Rotation as seen by a device: one of its two certificates works at every moment, whichever process ends when."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.x509 import load_pem_x509_certificate
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from sekisho.pki import keys
from tests import x509
from tests.e2e.certificate_files import CertificateFiles, new_ca, new_device
from tests.e2e.command_line import clean_environment, sekisho
from tests.e2e.devices import WITHIN, Device, Refused, allow
from tests.e2e.mqtt_wire import V5, V311, attempt, is_taken
from tests.e2e.running_server import RunningServer
from tests.tools import require
from tests.wait import eventually

FLEET = 60


def rotate(server: RunningServer, *arguments: str | Path, ends_with: int = 0) -> Any:
    """Return the output of the command with --json."""
    said = sekisho("rotate", *arguments, "--data", server.data, "--json")
    assert said.returncode == ends_with, said
    return json.loads(said.stdout)


def add_ca(server: RunningServer, folder: Path, name: str) -> CertificateFiles:
    ca = new_ca(folder, name)
    server.session().iot.register_ca_certificate(caCertificate=ca.pem, certificateMode="SNI_ONLY", setAsActive=True)
    return ca


def add_device(server: RunningServer, folder: Path, ca: CertificateFiles, name: str) -> CertificateFiles:
    """Register a device that may do anything and is the only one of its thing."""
    iot = server.session().iot
    device = new_device(folder, ca, name)
    arn = iot.register_certificate(certificatePem=device.pem, status="ACTIVE")["certificateArn"]
    if not any(each["policyName"] == "anything" for each in iot.list_policies()["policies"]):
        allow(iot, "anything")
    iot.attach_policy(policyName="anything", target=arn)
    iot.create_thing(thingName=name)
    iot.attach_thing_principal(thingName=name, principal=arn, thingPrincipalType="EXCLUSIVE_THING")
    return device


def status(server: RunningServer, device_files: CertificateFiles) -> str:
    described = server.session().iot.describe_certificate(certificateId=device_files.certificate_id)
    return described["certificateDescription"]["status"]


def is_switched_off(server: RunningServer, device_files: CertificateFiles) -> bool:
    return status(server, device_files) == "INACTIVE"


def is_let_in(server: RunningServer, device_files: CertificateFiles, client_id: str, version: int = V5) -> bool:
    return is_taken(attempt(server, device_files, client_id, version))


@contextmanager
def a_fallible_device(
    server: RunningServer, old: CertificateFiles, new: CertificateFiles, client_id: str
) -> Iterator[list[str]]:
    """Run a device that connects repeatedly with its old certificate, and with its new one only after a refusal.

    Yields which certificate worked, in order; fails where neither did.
    """
    worked: list[str] = []
    locked_out: queue.Queue[str] = queue.Queue()
    stopping = threading.Event()

    def run() -> None:
        while not stopping.is_set():
            if is_let_in(server, old, client_id):
                worked.append("old")
            elif is_let_in(server, new, client_id):
                worked.append("new")
            else:
                locked_out.put(f"after {len(worked)} connections")
                return

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield worked
    finally:
        stopping.set()
        thread.join(WITHIN)
    assert locked_out.empty(), locked_out.get()


@pytest.mark.parametrize("version", [V311, V5], ids=["3.1.1", "5"])
def test_the_old_connection_ends_when_the_new_certificate_connects_and_not_before(
    server: RunningServer, tmp_path: Path, version: int
) -> None:
    ca = add_ca(server, tmp_path, f"Before {version}")
    name = f"pump-{version}"
    old, new = add_device(server, tmp_path, ca, name), new_device(tmp_path, ca, name)
    with a_fallible_device(server, old, new, f"{name}-prober") as worked, Device(server, old, name) as before:
        with pytest.raises(Refused):
            Device(server, new, f"{name}-new").connect()

        begun = rotate(server, "register", old.certificate_id, new.certificate)

        assert (begun["state"], begun["newCertificateId"]) == ("PENDING", new.certificate_id)
        before.publish("t", "both work", 1)
        assert status(server, old) == "ACTIVE"
        assert before.ended.empty()
        # Another client id, because a session takeover would end the old connection too.
        with Device(server, new, f"{name}-new", version=version) as after:  # type: ignore[arg-type]
            before.ended.get(timeout=WITHIN)
            eventually(lambda: status(server, old) == "INACTIVE")
            assert not is_let_in(server, old, name, version)
            eventually(lambda: worked[-1] == "new")
            after.subscribe("t2", 1)
            after.publish("t2", "still here", 1)
            assert after.message().payload == b"still here"
            assert after.ended.empty()
    assert worked[0] == "old"
    line = server.wait_for_log("certificate_rotated", old_certificate_id=old.certificate_id)
    assert line["new_certificate_id"] == new.certificate_id
    assert rotate(server, "status", "--ca", ca.certificate_id) == {
        "pending": 0,
        "done": 1,
        "cancelled": 0,
        "waiting": [],
    }


def test_a_connected_new_certificate_replaces_the_old_one_at_once(server: RunningServer, tmp_path: Path) -> None:
    ca = add_ca(server, tmp_path, "Already")
    old, new = add_device(server, tmp_path, ca, "kettle"), add_device(server, tmp_path, ca, "kettle-new")
    iot = server.session().iot
    arn = iot.describe_certificate(certificateId=new.certificate_id)["certificateDescription"]["certificateArn"]
    iot.detach_thing_principal(thingName="kettle-new", principal=arn)
    with Device(server, old, "kettle") as before, Device(server, new, "kettle-2") as after:
        rotate(server, "register", old.certificate_id, new.certificate)
        before.ended.get(timeout=WITHIN)
        eventually(lambda: status(server, old) == "INACTIVE")
        after.publish("t", "still here", 1)
    waited = rotate(server, "status", "--ca", ca.certificate_id, "--wait", "10")
    assert (waited["pending"], waited["done"]) == (0, 1)


def test_the_session_continues_with_the_new_certificate(server: RunningServer, tmp_path: Path) -> None:
    ca = add_ca(server, tmp_path, "Session")
    old, new = add_device(server, tmp_path, ca, "meter"), new_device(tmp_path, ca, "meter")
    keep = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    keep.SessionExpiryInterval = 600
    with Device(server, old, "meter", clean=False, properties=keep) as before:
        before.subscribe("for/the/meter", 1)
        rotate(server, "register", old.certificate_id, new.certificate)
    server.session().iot_data.publish(topic="for/the/meter", qos=1, payload=b"while away")
    after = Device(server, new, "meter", clean=False, properties=keep)
    assert after.connect().session_present
    assert after.message().payload == b"while away"
    eventually(partial(is_switched_off, server, old))
    assert after.ended.empty()
    after.disconnect()


def test_a_cancelled_rotation_keeps_the_old_certificate_and_ends_connections_of_the_new_one(
    server: RunningServer, tmp_path: Path
) -> None:
    ca = add_ca(server, tmp_path, "Given up")
    old, new = add_device(server, tmp_path, ca, "lamp"), new_device(tmp_path, ca, "lamp")
    rotate(server, "register", old.certificate_id, new.certificate)
    assert rotate(server, "cancel", old.certificate_id)["state"] == "CANCELLED"
    assert not is_let_in(server, new, "lamp")
    assert is_let_in(server, old, "lamp")
    assert status(server, old) == "ACTIVE"


def test_kill_9_between_registration_and_connection_loses_nothing(own_server: RunningServer, tmp_path: Path) -> None:
    ca = add_ca(own_server, tmp_path, "Killed")
    old, new = add_device(own_server, tmp_path, ca, "valve"), new_device(tmp_path, ca, "valve")
    rotate(own_server, "register", old.certificate_id, new.certificate)
    own_server.kill()
    own_server.start()

    assert rotate(own_server, "status")["pending"] == 1
    assert is_let_in(own_server, old, "valve")
    with Device(own_server, old, "valve") as before, Device(own_server, new, "valve-new") as after:
        before.ended.get(timeout=WITHIN)
        after.publish("t", "over", 1)
    assert status(own_server, old) == "INACTIVE"
    own_server.kill()
    own_server.start()
    assert not is_let_in(own_server, old, "valve")
    assert is_let_in(own_server, new, "valve")
    assert rotate(own_server, "status")["done"] == 1


def test_the_server_may_be_killed_at_any_moment_of_the_replacement(own_server: RunningServer, tmp_path: Path) -> None:
    """The new certificate connects and the server is killed at once, whatever it has recorded."""
    ca = add_ca(own_server, tmp_path, "Any moment")
    for number in range(4):
        name = f"gate-{number}"
        old, new = add_device(own_server, tmp_path, ca, name), new_device(tmp_path, ca, name)
        rotate(own_server, "register", old.certificate_id, new.certificate)
        device = Device(own_server, new, name)
        device.connect()
        # Without waiting, so that each kill interrupts another step.
        time.sleep(number * 0.003)
        own_server.kill()
        device.client.loop_stop()
        own_server.start()
        # Finished or not, the next connection of the new certificate finishes it.
        assert is_let_in(own_server, new, name)
        eventually(partial(is_switched_off, own_server, old))
        assert is_let_in(own_server, new, name)
    assert rotate(own_server, "status", "--wait", "10")["done"] == 4


def test_the_command_may_be_killed_during_the_rotation_of_a_ca_and_continues(
    own_server: RunningServer, tmp_path: Path
) -> None:
    old_ca, next_ca = add_ca(own_server, tmp_path, "Old"), add_ca(own_server, tmp_path, "Next")
    first = add_device(own_server, tmp_path, old_ca, "first")
    iot = own_server.session().iot
    fleet = {first.certificate_id}
    signer = x509.KeyAndCertificate(load_pem_x509_certificate(old_ca.pem.encode()), keys.load(old_ca.key.read_text()))
    begins, ends = x509.around_now()
    for number in range(1, FLEET):
        device = x509.new_device(signer, f"d{number}", begins=begins, ends=ends)
        iot.register_certificate(certificatePem=device.pem, status="ACTIVE")
        fleet.add(device.certificate_id)
    out = tmp_path / "out"
    arguments = ["ca", old_ca.certificate_id, "--ca-certificate", str(next_ca.certificate)]
    arguments += ["--ca-key", str(next_ca.key), "--out", str(out)]

    def made() -> dict[str, CertificateFiles]:
        return {each.name: CertificateFiles(each / "device.key", each / "device.crt") for each in out.iterdir()}

    def waiting() -> dict[str, str]:
        listed = rotate(own_server, "status", "--ca", old_ca.certificate_id)["waiting"]
        return {each["oldCertificateId"]: each["newCertificateId"] for each in listed}

    for at_least in (5, 20):
        process = subprocess.Popen(
            [require("sekisho"), "rotate", *arguments, "--data", str(own_server.data)],
            env=clean_environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        eventually(lambda: len(list(out.glob("*/device.crt"))) >= at_least)  # noqa: B023 - called before it changes
        assert process.poll() is None, "the command ended before it could be killed"
        process.kill()
        process.wait(timeout=10)
        pending = waiting()
        assert 0 < len(pending) < FLEET
        # A certificate is registered only when its key is on disk.
        for old_id, new_id in pending.items():
            device_files = made()[old_id]
            assert device_files.certificate_id == new_id
            assert device_files.key.stat().st_mode & 0o777 == 0o600
    before = {old_id: device_files.pem for old_id, device_files in made().items() if device_files.certificate.exists()}

    said = rotate(own_server, *arguments)

    assert said["failed"] == []
    assert said["waiting"] == len(pending)
    assert said["made"] + said["registered"] + said["waiting"] == FLEET
    pending = waiting()
    assert set(pending) == fleet
    assert pending == {old_id: device_files.certificate_id for old_id, device_files in made().items()}
    # No certificate was made again or registered twice.
    assert {old_id: made()[old_id].pem for old_id in before} == before
    registered = iot.get_paginator("list_certificates").paginate()
    assert sum(len(page["certificates"]) for page in registered) == 2 * FLEET
    assert rotate(own_server, *arguments)["waiting"] == FLEET

    with (
        Device(own_server, first, "first") as old_one,
        Device(own_server, made()[first.certificate_id], "new") as new_one,
    ):
        old_one.ended.get(timeout=WITHIN)
        new_one.publish("t", "over", 1)
    assert rotate(own_server, "status", "--ca", old_ca.certificate_id)["done"] == 1
