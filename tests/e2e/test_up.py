"""``sekisho up`` and ``sekisho status``: start, refused start, and end."""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.certificate_files import new_self_signed
from tests.e2e.command_line import clean_environment, sekisho, sekisho_process
from tests.e2e.devices import V311, WITHIN, Device, allow, register
from tests.e2e.running_server import START_WITHIN, RunningServer
from tests.tools import require


def refusal(*arguments: str | Path, environment: dict[str, str] | None = None) -> str:
    """Return the one line with the reason why ``sekisho up`` does not start."""
    said = sekisho_process("up", *arguments, env=clean_environment() | (environment or {}))
    assert said.returncode == 1, said
    assert said.stdout == ""
    [line] = said.stderr.splitlines()
    assert line.startswith("sekisho: ")
    return line


FREE_PORTS = ("--api-port", "0", "--mqtt-port", "0")


class Started:
    """``sekisho up`` as a user types it, with output for people."""

    def __init__(self, *arguments: str | Path, environment: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [require("sekisho"), "up", *map(str, arguments)],
            env=clean_environment() | (environment or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def read_until(self, words: str) -> str:
        """Read its output, at least up to these words."""
        assert self.process.stdout is not None
        said = b""
        deadline = time.monotonic() + START_WITHIN
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while words.encode() not in said:
                assert selector.select(deadline - time.monotonic()), f"no {words!r} in:\n{said.decode()}"
                more = os.read(self.process.stdout.fileno(), 4096)
                assert more, f"it ended after:\n{said.decode()}"
                said += more
        return said.decode()

    def stop(self) -> int:
        """Send SIGTERM and return the exit code."""
        self.process.terminate()
        code = self.process.wait(timeout=20)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


# Starting


def test_the_panel_has_all_addresses_and_the_next_commands(data: Path) -> None:
    started = Started("--data", data, "--region", "eu-central-1", *FREE_PORTS)
    try:
        panel = started.read_until("describe-endpoint --endpoint-type iot:Data-ATS")
        run = json.loads((data / "run.json").read_text())
        for fact in (
            run["api"],
            f"localhost:{run['mqtt_port']}",
            str(data / "server" / "root-ca.pem"),
            f"sekisho env --data {data}",
            "eu-central-1",
            "aws iot describe-endpoint --endpoint-type iot:Data-ATS",
            "only this machine can connect: set host to let others",
        ):
            assert fact in panel
        assert Path(run["root_ca"]).is_file()
    finally:
        code = started.stop()
    assert code == 0
    assert not (data / "run.json").exists()


def test_only_the_owner_can_read_private_keys(own_server: RunningServer) -> None:
    # Other users may go through the folder to the root certificates, and cannot list it.
    assert own_server.data.stat().st_mode & 0o777 == 0o711
    keys = [
        file
        for file in own_server.data.rglob("*")
        if file.is_file() and "PRIVATE KEY" in file.read_text(errors="replace")
    ]
    assert keys
    assert {file.stat().st_mode & 0o777 for file in keys} == {0o600}


def test_the_log_says_once_that_it_is_ready_and_once_that_it_stops(own_server: RunningServer) -> None:
    run = own_server.run
    clients = own_server.session()
    clients.iot.create_thing(thingName="kettle")
    clients.iot.list_things()
    assert own_server.stop() == 0
    first, *_, last = own_server.log_lines()
    [started], [stopping] = own_server.log_events("server_started"), own_server.log_events("server_stopping")
    assert (first, last) == (started, stopping)
    names = ("version", "api", "store", "region")
    assert [started[name] for name in names] == [run[name] for name in names]
    assert (started["mqtt"], started["account_id"]) == (f"127.0.0.1:{run['mqtt_port']}", run["account"])
    assert started["ready_ms"] > 0
    assert stopping["reason"] == "SIGTERM"
    key = own_server.environment()["AWS_ACCESS_KEY_ID"]
    [change] = own_server.log_events("api_change_made")
    assert (change["operation"], change["access_key_id"], change["source_ip"]) == ("CreateThing", key, "127.0.0.1")
    assert own_server.environment()["AWS_SECRET_ACCESS_KEY"] not in own_server.log()


def test_with_json_one_line_has_all_addresses(own_server: RunningServer) -> None:
    assert set(own_server.run) == {
        "pid", "api", "mqtt_host", "mqtt_port", "endpoint", "region", "account", "store", "root_ca", "version",
        "dotted_endpoint",
    }  # fmt: skip
    assert own_server.run["region"] == "us-east-1"
    assert own_server.run["mqtt_host"] == "127.0.0.1"


def test_the_command_line_has_precedence_over_the_environment_and_that_over_the_file(
    tmp_path: Path, data: Path
) -> None:
    data.mkdir()
    settings = 'api_port = 0\nmqtt_port = 0\nregion = "eu-west-1"\naccount = "111111111111"\nlog_level = "warning"\n'
    (data / "sekisho.toml").write_text(settings)
    environment = {"SEKISHO_REGION": "eu-west-2", "SEKISHO_ACCOUNT": "222222222222", "SEKISHO_DATA": str(data)}
    started = Started("--account", "333333333333", "--json", environment=environment)
    run = json.loads(started.read_until("\n"))
    assert started.stop() == 0
    # The file has ports 0, or this server would be on 5883 and 8883.
    assert (run["region"], run["account"]) == ("eu-west-2", "333333333333")
    assert run["mqtt_port"] != 8883

    named = tmp_path / "named.toml"
    named.write_text(settings)
    started = Started("--json", "--data", tmp_path / "other", "--config", named)
    run = json.loads(started.read_until("\n"))
    assert started.stop() == 0
    assert (run["region"], run["account"]) == ("eu-west-1", "111111111111")


def test_an_invalid_setting_is_refused_with_its_name_and_its_source(tmp_path: Path, data: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text("mqtt_prot = 1\n")
    line = refusal("--data", data, "--config", file)
    assert str(file) in line
    assert "mqtt_prot" in line
    file.write_text("mqtt_port = [\n")
    assert "not a TOML file" in refusal("--data", data, "--config", file)
    assert "SEKISHO_API_PORT" in refusal("--data", data, environment={"SEKISHO_API_PORT": "http"})
    assert "--log-level" in refusal("--data", data, "--log-level", "loud")
    assert "absent.toml: No such file" in refusal("--data", data, "--config", tmp_path / "absent.toml")
    assert not data.exists()


# Refusing to start


@pytest.fixture
def taken() -> Iterator[int]:
    """Listen on a port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_busy_api_port_is_named_with_the_option_that_changes_it(data: Path, taken: int) -> None:
    line = refusal("--data", data, "--api-port", str(taken), "--mqtt-port", "0")
    assert f"127.0.0.1:{taken}" in line
    assert "--api-port" in line


def test_a_busy_mqtt_port_is_named_with_the_option_that_changes_it(data: Path, taken: int) -> None:
    line = refusal("--data", data, "--api-port", "0", "--mqtt-port", str(taken))
    assert f"127.0.0.1 port {taken}" in line
    assert "--mqtt-port" in line
    assert not (data / "run.json").exists()


def test_an_impossible_data_folder_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder")
    for folder in (file, file / "below"):
        line = refusal("--data", folder, *FREE_PORTS)
        assert str(folder) in line


@pytest.mark.skipif(os.getuid() != 0, reason="a read-only mount is root's to make")
def test_a_read_only_data_folder_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "read-only"
    folder.mkdir()
    # In a separate mount namespace, which ends with the process.
    said = subprocess.run(
        [
            "unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o ro none "$1" && exec "$2" up --data "$1"', "sh",
            str(folder), require("sekisho"),
        ],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=START_WITHIN,
        check=False,
    )  # fmt: skip
    if "unshare" in said.stderr or "mount:" in said.stderr:
        pytest.skip(f"mounts cannot be made here: {said.stderr.strip()}")
    assert said.returncode == 1
    [line] = said.stderr.splitlines()
    assert line.startswith(f"sekisho: the data folder {folder}")


def test_a_data_folder_of_a_newer_version_is_not_changed(own_server: RunningServer) -> None:
    own_server.stop()
    with own_server.stopped_database() as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    line = refusal("--data", own_server.data, *FREE_PORTS)
    assert "newer" in line
    assert own_server.rows("SELECT version_num FROM alembic_version") == [("9999",)]


def test_a_second_server_on_one_folder_is_refused_and_the_first_continues(own_server: RunningServer) -> None:
    line = refusal("--data", own_server.data, *FREE_PORTS)
    assert "another server is running" in line
    assert "--data" in line
    assert sekisho("status", "--data", own_server.data).returncode == 0


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])  # noqa: S104 - refusing these is the test
def test_any_credentials_is_refused_where_others_can_reach_the_server(data: Path, host: str) -> None:
    line = refusal("--data", data, "--host", host, "--any-credentials", *FREE_PORTS)
    assert "loopback" in line
    assert not data.exists()


def test_an_unusable_server_certificate_is_named(tmp_path: Path, data: Path) -> None:
    one, other = new_self_signed(tmp_path, "one"), new_self_signed(tmp_path, "other")
    assert "go together" in refusal("--data", data, "--server-certificate", one.certificate)
    line = refusal(
        "--data", data, "--server-certificate", one.certificate, "--server-key", other.key, *FREE_PORTS
    )  # fmt: skip
    assert "the server certificate cannot be used" in line
    assert "PRIVATE KEY" not in line


# Status


def test_status_exits_0_when_everything_answers_and_1_when_it_does_not(own_server: RunningServer) -> None:
    said = sekisho("status", "--data", own_server.data)
    assert said.returncode == 0
    assert own_server.run["api"] in said.stdout
    assert f"127.0.0.1:{own_server.mqtt_port}" in said.stdout
    report = json.loads(sekisho("status", "--data", own_server.data, "--json").stdout)
    assert report["ok"] is True
    assert report["pid"] == own_server.run["pid"]

    own_server.kill()
    # A killed server leaves its run.json behind, which is not an answer.
    said = sekisho("status", "--data", own_server.data)
    assert said.returncode == 1
    assert "does not answer" in said.stdout
    assert json.loads(sekisho("status", "--data", own_server.data, "--json").stdout)["ok"] is False


def test_status_waits_for_a_starting_server_for_a_limited_time(data: Path) -> None:
    assert sekisho("status", "--data", data, "--wait", "0.2").returncode == 1
    waiting = subprocess.Popen(
        [require("sekisho"), "status", "--data", str(data), "--wait", str(START_WITHIN)],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    server = RunningServer(data).start()
    try:
        said, _ = waiting.communicate(timeout=START_WITHIN)
        assert waiting.returncode == 0, said
    finally:
        server.stop()


# Ending


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_with_exit_code_0_and_clients_get_the_reason(
    own_server: RunningServer, tmp_path: Path, number: signal.Signals
) -> None:
    clients = own_server.session()
    device_files = new_self_signed(tmp_path)
    register(clients, device_files, allow(clients.iot, "anything"))
    with (
        Device(own_server, device_files, "listener") as mqtt5,
        Device(own_server, device_files, "elder", version=V311) as mqtt3,
    ):
        mqtt5.subscribe("t1", 1)
        own_server.send_signal(number)
        # MQTT 5, section 3.14.2.1: server shutting down. MQTT 3.1.1 has no such packet.
        assert mqtt5.ended.get(timeout=WITHIN).value == 0x8B
        mqtt3.ended.get(timeout=WITHIN)
    assert own_server.stop() == 0
    assert "Traceback" not in own_server.log()
    assert not (own_server.data / "run.json").exists()


def test_an_incomplete_request_does_not_prevent_the_end(own_server: RunningServer) -> None:
    address: tuple[Any, ...] = ("127.0.0.1", int(own_server.run["api"].rsplit(":", 1)[1]))
    with socket.create_connection(address) as connection:
        connection.sendall(b"POST /things/kettle HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        assert own_server.stop() == 0
