"""``sekisho rotate`` as people and scripts use it. The device's view: ``test_rotation.py``."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509 as cryptography_x509

from tests.e2e.certificate_files import CertificateFiles, new_ca, new_device, new_self_signed, openssl
from tests.e2e.command_line import answer, clean_environment, failure, sekisho
from tests.e2e.running_server import START_WITHIN, RunningServer
from tests.tools import require
from tests.wait import eventually


class Fleet:
    """A registered CA for one test, and the commands for it."""

    def __init__(self, server: RunningServer, folder: Path, name: str) -> None:
        self.server = server
        self.folder = folder
        self.iot = server.session().iot
        self.out = folder / "out"
        self.ca = self.add_ca(name)

    def add_ca(self, name: str) -> CertificateFiles:
        ca = new_ca(self.folder, name)
        self.iot.register_ca_certificate(caCertificate=ca.pem, certificateMode="SNI_ONLY", setAsActive=True)
        return ca

    def add_device(self, kind: str = "P-256", status: Any = "ACTIVE") -> CertificateFiles:
        device = new_device(self.folder, self.ca, "MyDevice", kind)
        self.iot.register_certificate(certificatePem=device.pem, status=status)
        return device

    def made(self, old: CertificateFiles) -> CertificateFiles:
        return CertificateFiles(
            self.out / old.certificate_id / "device.key", self.out / old.certificate_id / "device.crt"
        )

    def by(self, ca: CertificateFiles) -> list[str | Path]:
        """Return the options for the signer and the folder."""
        return ["--ca-certificate", ca.certificate, "--ca-key", ca.key, "--out", self.out]

    def rotate(self, *arguments: str | Path) -> Any:
        return answer("rotate", *arguments, "--data", self.server.data)

    def refusal(self, *arguments: str | Path) -> str:
        return failure("rotate", *arguments, "--data", self.server.data)

    def describe(self, certificate_id: str) -> Any:
        return self.iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]

    def progress(self) -> tuple[int, int, int]:
        said = self.rotate("status", "--ca", self.ca.certificate_id)
        return said["pending"], said["done"], said["cancelled"]


@pytest.fixture
def fleet(server: RunningServer, tmp_path: Path, request: pytest.FixtureRequest) -> Fleet:
    return Fleet(server, tmp_path, request.node.name[:40])


def subject(device_files: CertificateFiles) -> str:
    return cryptography_x509.load_pem_x509_certificate(device_files.pem.encode()).subject.rfc4514_string()


# One device


@pytest.mark.parametrize("kind", ["P-384", "RSA-2048"])
def test_a_new_key_and_certificate_of_the_same_subject_and_kind_are_registered(fleet: Fleet, kind: str) -> None:
    next_ca = fleet.add_ca(f"Next {kind}")
    old = fleet.add_device(kind)
    said = fleet.rotate("device", old.certificate_id.upper(), *fleet.by(next_ca), "--days", "7")

    new = fleet.made(old)
    assert said == {
        "dryRun": False,
        "oldCertificateId": old.certificate_id,
        "newCertificateId": new.certificate_id,
        "step": "MAKE",
        "certificate": str(new.certificate),
        "key": str(new.key),
        "registeredWithCa": True,
    }
    assert new.key.stat().st_mode & 0o777 == 0o600
    assert subject(new) == subject(old)
    shown = openssl("x509", "-in", new.certificate, "-noout", "-text")
    assert ("RSA Public-Key: (2048 bit)" in shown or "Public-Key: (2048 bit)" in shown) is (kind == "RSA-2048")
    assert ("P-384" in shown) is (kind == "P-384")
    public = openssl("pkey", "-in", new.key, "-pubout")
    assert public == openssl("x509", "-in", new.certificate, "-noout", "-pubkey")
    assert public != openssl("pkey", "-in", old.key, "-pubout")
    assert "OK" in openssl("verify", "-CAfile", next_ca.certificate, new.certificate)
    described = fleet.describe(new.certificate_id)
    assert (described["status"], described["caCertificateId"]) == ("ACTIVE", next_ca.certificate_id)
    validity = described["validity"]
    assert 7 <= (validity["notAfter"] - validity["notBefore"]).total_seconds() / 86400 < 7.1
    assert fleet.describe(old.certificate_id)["status"] == "ACTIVE"
    assert fleet.progress() == (1, 0, 0)


def test_the_new_key_may_have_another_kind(fleet: Fleet) -> None:
    old = fleet.add_device("RSA-2048")
    fleet.rotate("device", old.certificate_id, *fleet.by(fleet.ca), "--key-type", "p-256")
    assert "prime256v1" in openssl("x509", "-in", fleet.made(old).certificate, "-noout", "-text")


def test_a_second_call_uses_the_existing_files(fleet: Fleet) -> None:
    old = fleet.add_device()
    call = ["device", old.certificate_id, *fleet.by(fleet.ca)]
    first = fleet.rotate(*call)
    before = (fleet.made(old).pem, fleet.made(old).key.read_text())
    second = fleet.rotate(*call)
    assert second == first | {"step": "REGISTER"}
    assert (fleet.made(old).pem, fleet.made(old).key.read_text()) == before
    assert fleet.progress() == (1, 0, 0)


def test_files_without_a_rotation_are_registered_and_a_key_without_a_certificate_is_used(fleet: Fleet) -> None:
    old = fleet.add_device()
    call = ["device", old.certificate_id, *fleet.by(fleet.ca)]
    first = fleet.rotate(*call)
    assert fleet.rotate("cancel", old.certificate_id)["state"] == "CANCELLED"
    again = fleet.rotate(*call)
    assert (again["step"], again["newCertificateId"]) == ("REGISTER", first["newCertificateId"])
    assert fleet.describe(again["newCertificateId"])["status"] == "ACTIVE"

    fleet.rotate("cancel", old.certificate_id)
    made = fleet.made(old)
    made.certificate.unlink()
    key = made.key.read_text()
    anew = fleet.rotate(*call)
    assert anew["step"] == "MAKE"
    assert anew["newCertificateId"] == made.certificate_id != first["newCertificateId"]
    assert made.key.read_text() == key


def test_files_that_do_not_fit_are_reported_and_not_changed(fleet: Fleet) -> None:
    old, other = fleet.add_device(), fleet.add_device()
    fleet.rotate("device", old.certificate_id, *fleet.by(fleet.ca))
    fleet.rotate("cancel", old.certificate_id)
    other_ca = fleet.add_ca("Other CA")
    made = fleet.made(old)
    key = made.key.read_text()
    assert "not signed by this CA" in fleet.refusal("device", old.certificate_id, *fleet.by(other_ca))
    made.key.write_text(other.key.read_text())
    assert "does not belong to the key" in fleet.refusal("device", old.certificate_id, *fleet.by(fleet.ca))
    made.key.unlink()
    assert "without its key" in fleet.refusal("device", old.certificate_id, *fleet.by(fleet.ca))
    made.key.write_text(key)
    assert fleet.rotate("device", old.certificate_id, *fleet.by(fleet.ca))["step"] == "REGISTER"


def test_certificates_of_an_unregistered_ca_are_registered_without_a_ca_with_a_warning(fleet: Fleet) -> None:
    old = fleet.add_device()
    unknown = new_ca(fleet.folder, "Unknown")
    call: list[str | Path] = ["rotate", "device", old.certificate_id, *fleet.by(unknown), "--data", fleet.server.data]
    said = sekisho(*call)
    assert said.returncode == 0
    assert "not registered here as ACTIVE" in said.stdout
    assert fleet.made(old).certificate_id in said.stdout
    assert "caCertificateId" not in fleet.describe(fleet.made(old).certificate_id)


def test_of_several_certificates_of_one_ca_the_given_one_is_used(fleet: Fleet) -> None:
    twin = CertificateFiles(fleet.ca.key, fleet.folder / "twin.crt")
    openssl(
        "req", "-x509", "-new", "-key", twin.key, "-days", "30", "-out", twin.certificate, "-subj",
        f"/{subject(fleet.ca)}",
    )  # fmt: skip
    old = fleet.add_device()
    fleet.iot.register_ca_certificate(caCertificate=twin.pem, certificateMode="SNI_ONLY", setAsActive=True)
    said = fleet.rotate("device", old.certificate_id, *fleet.by(twin))
    assert fleet.describe(said["newCertificateId"])["caCertificateId"] == twin.certificate_id


def test_a_certificate_made_by_the_user_is_registered(fleet: Fleet) -> None:
    old, new = fleet.add_device(), new_self_signed(fleet.folder)
    said = fleet.rotate("register", old.certificate_id, new.certificate)
    assert (said["oldCertificateId"], said["newCertificateId"]) == (old.certificate_id, new.certificate_id)
    assert (said["state"], said["caCertificateId"]) == ("PENDING", fleet.ca.certificate_id)
    assert fleet.describe(new.certificate_id)["status"] == "ACTIVE"
    person = sekisho("rotate", "status", "--data", fleet.server.data, "--ca", fleet.ca.certificate_id).stdout
    assert "1 pending, 0 done, 0 cancelled" in person
    assert f"{old.certificate_id} waits for {new.certificate_id} since 20" in person


def test_a_refusal_of_the_server_is_one_line(fleet: Fleet) -> None:
    idle, new = fleet.add_device(status="INACTIVE"), new_self_signed(fleet.folder)
    assert "CertificateStateException: The old certificate is INACTIVE" in fleet.refusal(
        "register", idle.certificate_id, new.certificate
    )
    assert "is INACTIVE; only one that is ACTIVE" in fleet.refusal("device", idle.certificate_id, *fleet.by(fleet.ca))
    assert list(fleet.out.iterdir()) == []
    assert "ResourceNotFoundException" in fleet.refusal("device", "ab" * 32, *fleet.by(fleet.ca))
    assert "ResourceNotFoundException" in fleet.refusal("cancel", idle.certificate_id)


def test_without_a_server_the_message_says_what_to_do(tmp_path: Path) -> None:
    assert "sekisho up" in failure("rotate", "status", "--data", tmp_path / "no-server")


def test_the_account_and_region_can_be_given(fleet: Fleet) -> None:
    made = answer("account", "create", "--data", fleet.server.data)
    elsewhere = fleet.server.session(made["accountId"], "eu-west-1").iot
    old = new_self_signed(fleet.folder)
    elsewhere.register_certificate_without_ca(certificatePem=old.pem, status="ACTIVE")
    where = ["--account", made["accountId"], "--region", "eu-west-1"]
    new = new_self_signed(fleet.folder)
    assert fleet.rotate("register", old.certificate_id, new.certificate, *where)["state"] == "PENDING"
    assert fleet.rotate("status", *where)["pending"] == 1
    assert fleet.rotate("status", "--account", made["accountId"])["pending"] == 0


# A whole CA


def test_every_active_certificate_of_a_ca_and_no_other_is_rotated(fleet: Fleet) -> None:
    next_ca = fleet.add_ca("Next")
    active = [fleet.add_device() for _ in range(3)]
    fleet.add_device(status="INACTIVE")
    fleet.add_device(status="REVOKED")
    said = fleet.rotate("ca", fleet.ca.certificate_id, *fleet.by(next_ca))
    assert (said["made"], said["registered"], said["waiting"], said["failed"]) == (3, 0, 0, [])
    assert {each["oldCertificateId"] for each in said["devices"]} == {each.certificate_id for each in active}
    for old in active:
        assert fleet.describe(fleet.made(old).certificate_id)["caCertificateId"] == next_ca.certificate_id
    again = fleet.rotate("ca", fleet.ca.certificate_id, *fleet.by(next_ca))
    assert (again["made"], again["registered"], again["waiting"]) == (0, 0, 3)
    assert fleet.progress() == (3, 0, 0)


def test_a_terminal_shows_a_progress_bar(fleet: Fleet) -> None:
    for _ in range(3):
        fleet.add_device()
    call = ["ca", fleet.ca.certificate_id, *fleet.by(fleet.ca), "--data", fleet.server.data]
    ours, theirs = pty.openpty()
    run = subprocess.run(
        [require("sekisho"), "rotate", *map(str, call)],
        env=clean_environment() | {"TERM": "xterm", "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=theirs,
        timeout=START_WITHIN,
        check=True,
    )
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert "rotating" in shown
    assert "3/3" in shown
    assert b"3 made" in run.stdout


def test_a_dry_run_changes_nothing_and_prints_what_would_be_done(fleet: Fleet) -> None:
    old, done = fleet.add_device(), fleet.add_device()
    call = ["ca", fleet.ca.certificate_id, *fleet.by(fleet.ca)]
    fleet.rotate("device", done.certificate_id, *fleet.by(fleet.ca))
    said = fleet.rotate(*call, "--dry-run")
    assert (said["dryRun"], said["made"], said["registered"], said["waiting"]) == (True, 1, 0, 1)
    one = fleet.rotate("device", old.certificate_id, *fleet.by(fleet.ca), "--dry-run")
    assert (one["dryRun"], one["step"], one["newCertificateId"]) == (True, "MAKE", None)
    own = fleet.rotate("register", old.certificate_id, new_self_signed(fleet.folder).certificate, "--dry-run")
    assert own["dryRun"]
    person = sekisho("rotate", *call, "--dry-run", "--data", fleet.server.data).stdout
    assert "would make a key and a certificate and register it: 1" in person
    assert [each.name for each in fleet.out.iterdir()] == [done.certificate_id]
    assert fleet.progress() == (1, 0, 0)


def test_after_one_device_failed_the_others_are_rotated(fleet: Fleet) -> None:
    devices = [fleet.add_device() for _ in range(4)]
    spoilt, elsewhere = devices[0], devices[1]
    fleet.out.mkdir()
    (fleet.out / spoilt.certificate_id).write_text("a file where the folder is to be")
    fleet.rotate("register", elsewhere.certificate_id, new_self_signed(fleet.folder).certificate)
    call: list[str | Path] = [
        "rotate",
        "ca",
        fleet.ca.certificate_id,
        *fleet.by(fleet.ca),
        "--data",
        fleet.server.data,
    ]

    said = sekisho(*call)

    assert said.returncode == 1
    assert "2 made, 0 registered from files of an earlier run, 0 waiting already, 2 failed" in said.stdout
    lines = [line for line in said.stdout.splitlines() if line.startswith("failed: ")]
    assert [line.split(": ")[1] for line in lines] == [spoilt.certificate_id, elsewhere.certificate_id]
    assert str(fleet.out / spoilt.certificate_id) in lines[0]
    assert "whose files are not in" in lines[1]
    assert "Traceback" not in said.stderr

    (fleet.out / spoilt.certificate_id).unlink()
    fleet.rotate("cancel", elsewhere.certificate_id)
    said = sekisho(*call, "--json")
    assert said.returncode == 0
    content = json.loads(said.stdout)
    assert (content["made"], content["waiting"], content["failed"]) == (2, 2, [])


def test_the_rotation_of_a_ca_that_signs_its_own_replacements_ends(fleet: Fleet) -> None:
    devices = [fleet.add_device() for _ in range(2)]
    call = ["ca", fleet.ca.certificate_id, *fleet.by(fleet.ca)]
    assert fleet.rotate(*call)["made"] == 2
    said = fleet.rotate(*call)
    assert (said["made"], said["waiting"]) == (0, 2)
    # Without the files the replacements are unknown here, but the server knows them.
    shutil.move(fleet.out, fleet.folder / "moved")
    said = json.loads(
        sekisho("rotate", *call, "--dry-run", "--data", fleet.server.data, "--json").stdout,
    )
    assert said["made"] == 0
    assert {each["certificateId"] for each in said["failed"]} == {each.certificate_id for each in devices}


def test_an_unknown_ca_and_a_wrong_key_are_refused(fleet: Fleet) -> None:
    assert "ResourceNotFoundException" in fleet.refusal("ca", "ab" * 32, *fleet.by(fleet.ca))
    other = new_ca(fleet.folder, "Other")
    mixed: list[str | Path] = ["--ca-certificate", fleet.ca.certificate, "--ca-key", other.key, "--out", fleet.out]
    assert "does not belong" in fleet.refusal("ca", fleet.ca.certificate_id, *mixed)


def test_status_waits_until_none_is_pending_or_until_its_time_is_over(fleet: Fleet) -> None:
    old = fleet.add_device()
    fleet.rotate("device", old.certificate_id, *fleet.by(fleet.ca))
    call: list[str | Path] = [
        "rotate",
        "status",
        "--ca",
        fleet.ca.certificate_id,
        "--data",
        fleet.server.data,
        "--json",
    ]
    said = sekisho(*call, "--wait", "0.5")
    assert said.returncode == 1
    assert [each["oldCertificateId"] for each in json.loads(said.stdout)["waiting"]] == [old.certificate_id]
    assert sekisho(*call).returncode == 0
    fleet.rotate("cancel", old.certificate_id)
    said = sekisho(*call, "--wait", "20")
    assert (said.returncode, json.loads(said.stdout)["waiting"]) == (0, [])


def test_a_killed_server_ends_the_run_and_the_next_run_continues(own_server: RunningServer, tmp_path: Path) -> None:
    fleet = Fleet(own_server, tmp_path, "Gone")
    devices = [fleet.add_device() for _ in range(25)]
    call: list[str | Path] = ["ca", fleet.ca.certificate_id, *fleet.by(fleet.ca)]
    run = subprocess.Popen(
        [require("sekisho"), "rotate", *map(str, call), "--data", str(own_server.data), "--json"],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    eventually(lambda: len(list(fleet.out.glob("*/device.crt"))) >= 3)
    own_server.kill()
    said, complaint = run.communicate(timeout=60)

    assert run.returncode == 1
    assert "does not answer" in complaint
    assert "Run the same command again to go on" in complaint
    before = json.loads(said)
    assert before["failed"] == []
    assert 0 < before["made"] < len(devices)
    own_server.start()
    after = fleet.rotate(*call)
    # For the device in progress at the kill, each step may be done or not.
    assert before["made"] <= after["waiting"] <= before["made"] + 1
    assert after["made"] + after["registered"] + after["waiting"] == len(devices)
    assert len(devices) - before["made"] - 1 <= after["made"] <= len(devices) - before["made"]
    assert fleet.progress() == (len(devices), 0, 0)
