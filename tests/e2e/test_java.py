"""The commands of docs/java.md work, and its statements about server names are true."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.certificate_files import CertificateFiles, new_ca, new_device, new_self_signed, openssl
from tests.e2e.command_line import clean_environment
from tests.e2e.devices import allow, register
from tests.e2e.running_server import RunningServer
from tests.tools import require

PAGE = (Path(__file__).parents[2] / "docs" / "java.md").read_text(encoding="utf-8")
[PROGRAM] = re.findall(r"^```java\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
REFUSED = "Error: the server closed the connection; its log says why\n"
UNDOTTED = "which sends none for a name without a dot such as localhost"
PASSWORD = "changeit"


@pytest.fixture(scope="module", autouse=True)
def java() -> str:
    require("keytool")
    return require("java")


@pytest.fixture(scope="module")
def lenient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Run a server that does not require server names."""
    data = tmp_path_factory.mktemp("lenient") / "data"
    data.mkdir(mode=0o700)
    (data / "sekisho.toml").write_text("require_sni = false\n")
    running = RunningServer(data).start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile the page's program."""
    folder = tmp_path_factory.mktemp("classes")
    (folder / "Connect.java").write_text(PROGRAM)
    subprocess.run([require("javac"), "Connect.java"], cwd=folder, check=True)
    return folder


@dataclass(frozen=True)
class JavaDevice:
    """A device whose keystores are made as on the page."""

    server: RunningServer
    files: CertificateFiles
    folder: Path
    classes: Path

    def connect(self, host: str, *options: str, server_name: str = "") -> str:
        """Return the output of the page's program."""
        program = [require("java"), *options, "-cp", str(self.classes), "Connect"]
        command = [*program, host, str(self.server.mqtt_port), *filter(None, [server_name])]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False, timeout=60)
        return done.stdout + done.stderr

    def refusal(self) -> dict[str, Any]:
        return self.server.wait_for_refusal(certificate_id=self.files.certificate_id)


def keystores(folder: Path, server: RunningServer, device: CertificateFiles) -> None:
    openssl(
        "pkcs12", "-export", "-in", device.certificate, "-inkey", device.key, "-name", "device", "-out",
        folder / "device.p12", "-passout", f"pass:{PASSWORD}",
    )  # fmt: skip
    subprocess.run(
        [
            require("keytool"), "-importcert", "-noprompt", "-alias", "sekisho", "-file", server.root_ca, "-storetype",
            "PKCS12", "-keystore", folder / "trust.p12", "-storepass", PASSWORD,
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip


def registered(server: RunningServer, folder: Path, classes: Path) -> JavaDevice:
    """Register a device that may do anything, in SNI_ONLY mode."""
    device_files = new_self_signed(folder)
    clients = server.session()
    register(clients, device_files, allow(clients.iot, f"of-{device_files.certificate_id[:8]}"))
    keystores(folder, server, device_files)
    return JavaDevice(server, device_files, folder, classes)


def test_the_commands_of_the_page_have_the_documented_output(server: RunningServer, tmp_path: Path) -> None:
    for program in ("aws", "openssl"):
        require(program)
    (tmp_path / "Connect.java").write_text(PROGRAM)
    script = ["set -e", f'eval "$(sekisho env --data {server.data})"']
    shown = []
    for block in re.findall(r"^```console\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            # The output of a command begins with a capital letter; further lines of a command do not.
            lines = part.splitlines()
            printed = [line for line in lines[1:] if line.startswith(("Error:", "TLSv"))]
            command = "\n".join(line for line in lines if line not in printed).replace("8883", str(server.mqtt_port))
            fails = any(line.startswith("Error:") for line in printed)
            script.append(f"if {command}\nthen exit 99; fi" if fails else command)
            shown += printed
    assert len(script) > 8
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=tmp_path,
        env=clean_environment() | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{server.log()}"
    assert [line for line in done.stdout.splitlines() if line.startswith(("Error:", "TLSv"))] == shown
    line = server.wait_for_refusal(reason="CERTIFICATE_IS_SNI_ONLY_AND_NO_SNI")
    assert UNDOTTED in line["detail"]
    assert "docs/java.md" in line["detail"]


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_java_connects_to_localhost_where_no_server_name_is_required(
    lenient: RunningServer, compiled: Path, tmp_path: Path, version: str
) -> None:
    device = registered(lenient, tmp_path, compiled)
    assert device.connect("localhost", f"-Djdk.tls.client.protocols={version}") == f"{version} CONNACK 0\n"


def test_java_s_device_registers_itself_where_no_server_name_is_required(
    lenient: RunningServer, compiled: Path, tmp_path: Path
) -> None:
    ca = new_ca(tmp_path)
    device_files, iot = new_device(tmp_path, ca), lenient.session().iot
    iot.register_ca_certificate(
        caCertificate=ca.pem, certificateMode="SNI_ONLY", setAsActive=True, allowAutoRegistration=True
    )
    keystores(tmp_path, lenient, device_files)
    device = JavaDevice(lenient, device_files, tmp_path, compiled)
    assert device.connect("localhost") == REFUSED
    assert device.refusal()["reason"] == "DEVICE_CERTIFICATE_PENDING_ACTIVATION"
    described = iot.describe_certificate(certificateId=device_files.certificate_id)
    assert described["certificateDescription"]["certificateMode"] == "SNI_ONLY"


def test_a_certificate_of_two_accounts_is_ambiguous_without_a_server_name(
    lenient: RunningServer, compiled: Path, tmp_path: Path
) -> None:
    device = registered(lenient, tmp_path, compiled)
    assert device.connect("localhost") == "TLSv1.3 CONNACK 0\n"
    elsewhere = lenient.session(region="eu-west-1")
    elsewhere.iot.register_certificate_without_ca(certificatePem=device.files.pem)
    assert device.connect("localhost") == REFUSED
    line = device.refusal()
    assert line["reason"] == "AMBIGUOUS_WITHOUT_SNI"
    # The message does not say which accounts.
    assert (line.get("account_id"), line.get("region")) == (None, None)
    assert "eu-west-1" not in json.dumps(line)
    assert device.connect("localhost", server_name="localhost") == "TLSv1.3 CONNACK 0\n"


def test_a_name_with_a_dot_is_the_endpoint_itself(server: RunningServer, compiled: Path, tmp_path: Path) -> None:
    device = registered(server, tmp_path, compiled)
    (tmp_path / "hosts").write_text("127.0.0.1 localhost.localdomain\n")
    assert device.connect("localhost.localdomain", "-Djdk.net.hosts.file=hosts") == "TLSv1.3 CONNACK 0\n"
    answer = server.session().iot.describe_endpoint(endpointType="iot:Data-ATS")
    assert answer["endpointAddress"] == "localhost"


def test_an_ip_address_is_not_sent_as_server_name(server: RunningServer, compiled: Path, tmp_path: Path) -> None:
    device = registered(server, tmp_path, compiled)
    assert device.connect("127.0.0.1") == REFUSED
    assert device.refusal()["reason"] == "CERTIFICATE_IS_SNI_ONLY_AND_NO_SNI"
