"""Data folders that are damaged, left behind by a kill, or missing."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.command_line import clean_environment, sekisho_process
from tests.e2e.running_server import START_WITHIN, RunningServer
from tests.tools import require


def refusal(*arguments: str | Path, **variables: str) -> str:
    """Return the one line of a command's error."""
    said = sekisho_process(*arguments, env=clean_environment() | variables)
    assert said.returncode == 1, said
    assert said.stdout == ""
    [line] = said.stderr.splitlines()
    assert line.startswith("sekisho: ")
    return line


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the data folder of a server that issued a certificate and ended."""
    server = RunningServer(tmp_path_factory.mktemp("used") / "data").start()
    server.session().iot.create_keys_and_certificate()
    assert server.stop() == 0
    return server.data


def overwritten(file: Path) -> None:
    file.write_text("not what was written")


def replaced_by_a_folder(file: Path) -> None:
    file.unlink(missing_ok=True)
    file.mkdir()


@pytest.mark.parametrize(
    ("name", "damage", "named"),
    [
        ("server/ecdsa/root.key", overwritten, "root.key is damaged"),
        ("server/ecdsa/root.key", Path.unlink, "server/ecdsa/root.key is missing beside root.crt"),
        ("server/rsa/root.crt", Path.unlink, "server/rsa/root.crt is missing beside root.key"),
        ("issuing/ca.key", overwritten, "issuing"),
        ("issuing/ca.key", Path.unlink, "issuing/ca.key is missing beside ca.crt"),
        ("issuing/ca.crt", Path.unlink, "issuing/ca.crt is missing beside ca.key"),
        ("run.json", replaced_by_a_folder, "run.json: Is a directory"),
        ("sekisho.db", overwritten, "sekisho.db is not an SQLite database"),
    ],
)
def test_damaged_files_of_the_data_folder_are_named(
    used: Path, tmp_path: Path, name: str, damage: Callable[[Path], None], named: str
) -> None:
    data = tmp_path / "data"
    shutil.copytree(used, data)
    damage(data / name)
    line = refusal("up", "--data", data, "--api-port", "0", "--mqtt-port", "0")
    assert named in line
    assert "PRIVATE KEY" not in line


@pytest.mark.parametrize("host", ["..a", "no.such.host.invalid", "192.0.2.1"])
def test_an_address_of_another_machine_is_named_with_the_option_that_changes_it(tmp_path: Path, host: str) -> None:
    line = refusal("up", "--data", tmp_path, "--host", host, "--api-port", "0", "--mqtt-port", "0")
    assert host in line
    assert "--host" in line


def test_a_killed_server_does_not_count_as_running(own_server: RunningServer) -> None:
    own_server.kill()
    assert (own_server.data / "run.json").exists()
    assert "no server answers" in refusal("env", "--data", own_server.data)


def test_accounts_of_another_registry_are_not_those_of_the_running_server(own_server: RunningServer) -> None:
    elsewhere = "postgresql://someone:the-password@db.invalid/registry"
    for command in (["env"], ["account", "list"], ["account", "create"]):
        line = refusal(*command, "--data", own_server.data, SEKISHO_DATABASE_URL=elsewhere)
        assert own_server.run["store"] in line
        assert "the-password" not in line


def test_listing_the_accounts_of_a_missing_folder_creates_nothing(tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    assert str(absent) in refusal("account", "list", "--data", absent)
    assert not absent.exists()


def test_a_server_on_every_address_is_reached_on_loopback_without_the_proxy(tmp_path: Path) -> None:
    server = RunningServer(tmp_path / "data", "--host", "0.0.0.0").start()  # noqa: S104 - being reachable is the test
    try:
        assert server.run["api"].startswith("http://127.0.0.1:")
        said = subprocess.run(
            [require("sekisho"), "status", "--data", str(server.data)],
            env=clean_environment() | {"http_proxy": "http://127.0.0.1:9"},
            capture_output=True,
            text=True,
            timeout=START_WITHIN,
            check=False,
        )
        assert said.returncode == 0, said
    finally:
        server.stop()


@pytest.mark.parametrize("name", ["what?x=1", "100%41", "a b", "#"])
def test_a_data_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    server = RunningServer(tmp_path / name).start()
    try:
        assert (server.data / "sekisho.db").exists()
        assert server.session().iot.list_things()["things"] == []
    finally:
        server.stop()
