"""``sekisho config``, without a server and beside one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.command_line import answer, failure, sekisho
from tests.e2e.running_server import RunningServer


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def server(data: Path) -> Iterator[RunningServer]:
    running = RunningServer(data).start()
    yield running
    running.stop()


def test_show_prints_what_a_server_would_use(data: Path) -> None:
    file = data / "sekisho.toml"
    file.write_text('workers = 2\nendpoint_secret = "0123456789abcdef"\n')
    lines = sekisho("config", "show", "--data", data).stdout.splitlines()
    assert lines[0] == f"# The settings as 'sekisho up' would use them. File: {file}"
    assert f"workers = 2  # file {file}" in lines
    assert f"# endpoint_secret is set  # file {file}" in lines
    assert "# log_file is unset  # default" in lines
    assert 'host = "127.0.0.1"  # default' in lines
    shown = answer("config", "show", "--data", data)
    assert shown["running"] is False
    assert shown["settings"]["workers"] == {
        "value": 2, "source": {"kind": "file", "name": str(file)}, "waitsFor": None,
    }  # fmt: skip


def test_what_show_prints_can_be_a_settings_file(data: Path, tmp_path: Path) -> None:
    (data / "sekisho.toml").write_text('workers = 2\nregions = ["plant-1"]\nany_credentials = true\n')
    copy = tmp_path / "copy.toml"
    copy.write_text(sekisho("config", "show", "--data", data).stdout)
    copied = answer("config", "show", "--data", data, "--config", copy)["settings"]
    first = answer("config", "show", "--data", data)["settings"]
    assert {name: each["value"] for name, each in copied.items()} == {
        name: each["value"] for name, each in first.items()
    }


def test_show_prints_what_a_running_server_uses_and_what_waits(server: RunningServer) -> None:
    file = server.data / "sekisho.toml"
    file.write_text('workers = 2\nlog_level = "debug"\n')
    lines = sekisho("config", "show", "--data", server.data).stdout.splitlines()
    assert lines[0] == f"# The settings as the server (process {server.run['pid']}) uses them. File: {file}"
    assert f"mqtt_port = {server.mqtt_port}  # command line --mqtt-port" in lines
    place = lines.index('log_level = "info"  # default')
    assert lines[place + 1] == "#   waits for 'sekisho reload': \"debug\""
    place = lines.index("workers = 0  # default")
    assert lines[place + 1] == "#   waits for a restart: 2"

    assert sekisho("reload", "--data", server.data).returncode == 0
    settings = answer("config", "show", "--data", server.data)["settings"]
    assert settings["log_level"] == {
        "value": "debug", "source": {"kind": "file", "name": str(file)}, "waitsFor": None,
    }  # fmt: skip
    assert (settings["workers"]["value"], settings["workers"]["waitsFor"]) == (0, "restart")
    file.write_text("workers = -1\n")
    line = sekisho("config", "show", "--data", server.data).stderr
    assert "the file cannot be used at a reload" in line
    assert "workers is a whole number" in line


def test_check_exits_1_with_a_line_for_each_problem(data: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text('workers = -1\nlog_level = "loud"\n')
    done = sekisho("config", "check", other, "--data", data)
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 2
    found = json.loads(sekisho("config", "check", other, "--data", data, "--json").stdout)
    assert (found["file"], found["problems"]) == (str(other), done.stdout.splitlines())
    assert "No such file" in sekisho("config", "check", tmp_path / "none.toml", "--data", data).stdout
    assert "a path on the command line is empty" in failure("config", "check", "")


def test_check_beside_a_running_server_counts_its_ports_as_free(server: RunningServer) -> None:
    api_port = server.run["api"].rpartition(":")[2]
    (server.data / "sekisho.toml").write_text(f"api_port = {api_port}\nmqtt_port = {server.mqtt_port}\n")
    done = sekisho("config", "check", "--data", server.data)
    assert (done.returncode, done.stdout) == (0, f"no problem found; file: {server.data / 'sekisho.toml'}\n")
