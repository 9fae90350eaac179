"""SIGHUP and ``sekisho reload``: a running server takes other settings; a wrong one changes nothing."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.certificate_files import new_ca, new_self_signed, new_server
from tests.e2e.command_line import answer, clean_environment, failure, sekisho
from tests.e2e.devices import V5, Device, allow, register
from tests.e2e.running_server import RunningServer
from tests.tools import require
from tests.wait import eventually


@pytest.fixture
def own_data(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    return data


@pytest.fixture
def running(own_data: Path) -> Iterator[RunningServer]:
    server = RunningServer(own_data).start()
    yield server
    server.stop()


def settings(data: Path, text: str) -> None:
    (data / "sekisho.toml").write_text(text)
    (data / "sekisho.toml").chmod(0o600)


def subject_served(server: RunningServer, name: str) -> str:
    said = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{server.mqtt_port}", "-servername", name, "-showcerts"],
        input="", capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    return said.stdout


def test_a_new_name_and_certificate_are_served_while_connections_go_on(
    running: RunningServer, own_data: Path, tmp_path: Path
) -> None:
    clients = running.session()
    device = new_self_signed(tmp_path)
    register(clients, device, allow(clients.iot, "anything"))
    ca = new_ca(tmp_path, "Site CA")
    new_server(tmp_path, ca, "iot.factory.example")
    with Device(running, device, "sensor", version=V5) as sensor:
        sensor.subscribe("t1", 1)
        settings(
            own_data,
            f'endpoint = "iot.factory.example"\nserver_certificate = "{tmp_path}/s.crt"\n'
            f'server_key = "{tmp_path}/s.key"\nserver_root_ca = "{ca.certificate}"\n',
        )
        outcome = answer("reload", "--data", own_data)
        assert outcome["error"] == ""
        assert set(outcome["changed"]) == {"endpoint", "server_certificate", "server_key", "server_root_ca"}
        sensor.publish("t1", "after", 1)
        assert sensor.message().payload == b"after"
    described = clients.iot.describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"]
    assert described == "iot.factory.example"
    assert "issuer=CN = Site CA" in subject_served(running, "iot.factory.example")
    assert json.loads((own_data / "run.json").read_text())["root_ca"] == str(ca.certificate)
    said = sekisho(
        "pub", "--data", own_data, "--cert", device.certificate, "--key", device.key, "--topic", "t1", "--message", "x"
    )
    assert said.returncode == 0, said.stderr


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("endpoint = ", "not a TOML file"),
        ('endpoint = "10.0.0.1"', "endpoint is a DNS name"),
        ('server_certificate = "none.crt"\nserver_key = "none.key"', "none.crt"),
        ('endpoint = "a.example"\n[handlers.sign]\nca_certificate = "no.crt"\nca_key = "no.key"', "no.crt"),
        ('endpoint = "a.example"\nlog_file = "no/such/folder/log"', "no/such/folder"),
    ],
    ids=["no TOML", "a wrong value", "a certificate that is missing", "a handler that is missing", "a log that is not"],
)
def test_settings_that_cannot_be_used_change_nothing_and_the_command_says_why(
    running: RunningServer, own_data: Path, text: str, reason: str
) -> None:
    clients = running.session()
    settings(own_data, text)
    line = failure("reload", "--data", own_data)
    assert "nothing was changed" in line
    assert reason in line
    assert clients.iot.describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"] == "localhost"
    running.wait_for_log("settings_not_reloaded")
    # What is right the next time is taken.
    settings(own_data, 'endpoint = "b.example"')
    assert answer("reload", "--data", own_data)["changed"] == ["endpoint"]


@pytest.mark.usefixtures("running")
def test_a_setting_that_only_a_start_takes_is_named(own_data: Path) -> None:
    settings(own_data, 'workers = 1\nlog_level = "warning"')
    outcome = answer("reload", "--data", own_data)
    assert (outcome["changed"], outcome["needs_restart"]) == (["log_level"], ["workers"])


@pytest.mark.usefixtures("running")
def test_a_handler_is_loaded_anew(own_data: Path) -> None:
    (own_data / "hook.py").write_text("def handler(event, context):\n    return {'allowProvisioning': True}\n")
    settings(own_data, '[handlers.hook]\nfunction = "hook:handler"\n')
    assert answer("reload", "--data", own_data)["changed"] == ["handlers"]
    listed = answer("handlers", "list", "--data", own_data)
    assert [each["name"] for each in listed] == ["hook"]


def test_the_log_goes_to_a_file_that_is_opened_anew(own_data: Path, tmp_path: Path) -> None:
    log = tmp_path / "sekisho.log"
    settings(own_data, f'log_file = "{log}"')
    server = RunningServer(own_data).start()
    try:
        eventually(lambda: "server_started" in log.read_text())
        log.rename(tmp_path / "sekisho.log.1")
        answer("reload", "--data", own_data)
        eventually(log.exists)
        server.stop()
        assert "server_stopping" in log.read_text()
        assert "settings_reloaded" in (tmp_path / "sekisho.log.1").read_text() + log.read_text()
    finally:
        server.stop()


def test_reload_without_a_server_says_so(own_data: Path) -> None:
    assert "no server is running" in failure("reload", "--data", own_data)


def test_a_terminal_that_is_closed_ends_the_server_in_its_foreground(own_data: Path) -> None:
    child, terminal = pty.fork()
    if child == 0:
        program = require("sekisho")
        os.execve(  # noqa: S606
            program,
            [program, "up", "--data", str(own_data), "--api-port", "0", "--mqtt-port", "0"],
            clean_environment(),
        )
    try:
        eventually((own_data / "run.json").exists)
        os.close(terminal)
        eventually(lambda: not (own_data / "run.json").exists())
    finally:
        os.kill(child, signal.SIGKILL) if os.waitpid(child, os.WNOHANG) == (0, 0) else None
