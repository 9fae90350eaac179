"""What a server would refuse at its start is found without starting it."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sekisho.server import config_check
from sekisho.server.settings import read
from tests.e2e.certificate_files import new_self_signed


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    return folder


def problems(data: Path, text: str = "", environment: Mapping[str, str] | None = None, **chosen: Any) -> list[str]:
    if text:
        (data / "sekisho.toml").write_text(text)
    free = {"api_port": 0, "mqtt_port": 0}
    loaded = read({"data": data, **free, **chosen}, environment=environment or {})
    return list(config_check.problems(loaded))


def test_settings_that_can_be_used_have_no_problem_and_nothing_is_written(tmp_path: Path) -> None:
    assert problems(tmp_path / "new" / "data") == []
    assert list(tmp_path.iterdir()) == []


def test_every_wrong_setting_has_a_line(data: Path) -> None:
    found = problems(
        data,
        'workers = -1\nhost = "a b"\nnothing = 1\nregion = "tokyo"\nserver_key = 5\nserver_certificate = "c"\n',
        {"SEKISHO_NOTHING": "1", "SEKISHO_ACCOUNT": "1"},
    )
    # server_key has a line of its own, and none because of server_certificate.
    expected = ("SEKISHO_NOTHING", "server_key is", "'nothing'", "workers is", "host is", "account is", "'tokyo'")
    assert len(found) == len(expected)
    assert [name for name in expected if sum(name in line for line in found) != 1] == []


def test_settings_that_do_not_go_together_have_a_line_each(data: Path) -> None:
    found = problems(data, 'any_credentials = true\nhost = "0.0.0.0"\nserver_root_ca = "root.pem"\n')
    assert len(found) == 2
    assert "server_root_ca is the root" in found[0]
    assert "loopback host" in found[1]


def test_a_port_in_use_is_named_with_its_option(data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as api, socket.create_server(("127.0.0.1", 0)) as mqtt:
        ports = {"api_port": api.getsockname()[1], "mqtt_port": mqtt.getsockname()[1]}
        found = problems(data, **ports)
    assert [line.rpartition(" ")[0] for line in found] == [
        f"the API cannot listen on 127.0.0.1:{ports['api_port']}: Address already in use. "
        "Choose another port with --api-port, or stop what listens",
        f"MQTT cannot listen on 127.0.0.1:{ports['mqtt_port']}: Address already in use. "
        "Choose another port with --mqtt-port, or stop what listens",
    ]


def test_a_server_certificate_is_checked_with_its_key_and_names(data: Path, tmp_path: Path) -> None:
    one, other = new_self_signed(tmp_path, "one"), new_self_signed(tmp_path, "other")
    files: dict[str, Any] = {"server_certificate": one.certificate, "server_key": other.key}
    [line] = problems(data, **files)
    assert "does not belong to the certificate" in line
    [line] = problems(data, endpoint="iot.factory.example", **files | {"server_key": one.key})
    assert "iot.factory.example is an endpoint and not among the subjectAltName names" in line
    [line] = problems(data, **files | {"server_key": tmp_path / "none.key"})
    assert line == f"the server certificate cannot be used: {tmp_path / 'none.key'}: No such file or directory"


def test_the_files_of_every_handler_are_checked(data: Path) -> None:
    found = problems(
        data,
        '[handlers.a]\nfunction = "a:b"\npath = "none"\n'
        '[handlers.b]\nca_certificate = "none.crt"\nca_key = "none.key"\n[handlers.c]\nfunction = "a:b"\n',
    )
    assert len(found) == 2
    assert "[handlers.a]: path" in found[0]
    assert "[handlers.b]" in found[1]


def test_every_wrong_section_of_a_handler_has_a_line(data: Path) -> None:
    found = problems(
        data, '[handlers.a]\nurl = "x"\n[handlers.b]\nfunction = "a:b"\n[handlers.c]\n[handlers."d e"]\nurl = "x"\n'
    )
    assert [line.partition("]")[0].rpartition("[")[2] for line in found] == ["handlers.a", "handlers.c", "handlers.d e"]
    assert problems(data, "handlers = 1\n") == [
        f"{data / 'sekisho.toml'}: handlers is a table: write a section [handlers.NAME] for each"
    ]


def test_a_folder_that_others_can_write_to_is_named_once(data: Path) -> None:
    (data / "server").mkdir()
    (data / "server" / "a.key").touch()
    data.chmod(0o777)
    found = problems(data)
    assert any(line.startswith(f"{data} can be written to by every user") for line in found)
    assert len(found) == len(set(found))


def test_a_log_file_without_a_folder_is_named(data: Path) -> None:
    [line] = problems(data, 'log_file = "none/log"\n')
    assert line == f"the log cannot be written to {data / 'none' / 'log'}: there is no folder {data / 'none'}"
    assert not (data / "none").exists()


def test_a_database_url_that_cannot_be_used_is_named_without_its_password(data: Path) -> None:
    [line] = problems(data, database_url="mysql://me:hunter2@db/iot")
    assert "Databases of 'mysql' are not supported" in line


def test_more_connections_than_open_files_are_named(data: Path) -> None:
    [line] = problems(data, max_connections=100_000_000)
    assert "max_connections = 100000000" in line


def test_a_data_folder_in_a_file_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = problems(tmp_path / "file" / "data")
    assert f"{tmp_path / 'file'} is not a folder" in found[0]
