"""``sekisho status`` and the health routes while the database, the disk or the log fails, and the server's recovery."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import resource
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from tests.e2e.certificate_files import new_self_signed
from tests.e2e.command_line import clean_environment
from tests.e2e.devices import Device, allow, register
from tests.e2e.running_server import RunningServer
from tests.logs import lines_of
from tests.postgres import PostgreSQL, PostgreSQLMissing, running
from tests.tools import require
from tests.wait import eventually

WITHIN = 60.0
"""Seconds for a probe's interval and the store's deadline."""

UNAVAILABLE = "503 ServiceUnavailableException"


def status(server: RunningServer, wait: float = 0.0) -> tuple[int, dict[str, Any]]:
    """Return exit code and report of ``sekisho status --json``."""
    said = subprocess.run(
        [require("sekisho"), "status", "--data", str(server.data), "--json", "--wait", str(wait)],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=2 * WITHIN,
        check=False,
    )
    assert said.stderr == ""
    return said.returncode, json.loads(said.stdout)


def get(server: RunningServer, path: str) -> tuple[int, Any]:
    place = urlsplit(server.run["api"])
    with contextlib.closing(http.client.HTTPConnection(place.hostname or "", place.port, timeout=WITHIN)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def fails(server: RunningServer, part: str) -> str:
    """Return the reason why a part is failing, once ``status`` has it; every other part is ok."""
    eventually(lambda: status(server)[0] == 3, f"status does not say that {part} is failing")
    code, report = status(server)
    assert (code, report["ok"], report["health"]["failing"]) == (3, False, [part]), report
    assert report[part].startswith("FAILING: ")
    shown = subprocess.run(
        [require("sekisho"), "status", "--data", str(server.data)],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"{part.replace('_', ' ')}: FAILING: " in shown.stdout
    return str(report[part])


def recovers(server: RunningServer) -> None:
    code, report = status(server, wait=WITHIN)
    assert (code, report["ok"]) == (0, True), report


def create(server: RunningServer, name: str) -> str | None:
    """Return None, or status and code of the API's error."""
    try:
        server.session().iot.create_thing(thingName=name)
    except ClientError as error:
        return f"{error.response['ResponseMetadata']['HTTPStatusCode']} {error.response['Error']['Code']}"
    return None


def things(server: RunningServer) -> set[str]:
    pages = server.session().iot.get_paginator("list_things").paginate()
    return {thing["thingName"] for page in pages for thing in page["things"]}


def test_status_makes_no_connection_that_is_refused(own_server: RunningServer) -> None:
    for _ in range(3):
        code, report = status(own_server)
        assert code == 0, report
    assert set(report["health"]["parts"]) == {"api", "store", "data_folder", "mqtt", "threads", "log"}
    assert report["health"]["mqtt"]["accepted"] == 0
    assert [get(own_server, f"/_sekisho/{path}")[0] for path in ("live", "ready", "health")] == [200, 200, 200]
    assert own_server.stop() == 0
    assert "connection_refused" not in own_server.log()


def test_without_a_server_the_exit_code_is_1(own_server: RunningServer) -> None:
    own_server.kill()
    code, report = status(own_server)
    assert (code, report["ok"]) == (1, False)
    assert "does not answer" in report["api"]


# The store


@pytest.fixture
def postgresql() -> Iterator[PostgreSQL]:
    try:
        with running() as server:
            yield server
    except PostgreSQLMissing as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing), pytrace=False)
        pytest.skip(str(missing))


def test_with_a_hanging_postgresql_requests_get_503_and_work_again_after_it(
    postgresql: PostgreSQL, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    (data / "sekisho.toml").write_text(f'database_url = "{postgresql.new_database()}"\n')
    server = RunningServer(data).start()
    try:
        assert create(server, "before") is None
        with postgresql.standing_still():
            began = time.monotonic()
            with ThreadPoolExecutor(60) as pool:
                answers = list(pool.map(lambda number: create(server, f"during-{number}"), range(60)))
            # Sixty one after the other would take five minutes.
            assert time.monotonic() - began < WITHIN
            assert set(answers) == {UNAVAILABLE}
            assert "has not answered" in fails(server, "store") or "did not answer" in fails(server, "store")
            assert get(server, "/_sekisho/ready")[0] == 503
            assert get(server, "/_sekisho/live")[0] == 200
        recovers(server)
        assert create(server, "after") is None
        assert things(server) >= {"before", "after"}
        assert server.stop() == 0
        assert "Traceback" not in server.log()
    finally:
        server.kill()


def test_while_another_process_holds_the_write_lock_all_waiting_requests_get_503(own_server: RunningServer) -> None:
    assert create(own_server, "before") is None
    holder = sqlite3.connect(own_server.data / "sekisho.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    with ThreadPoolExecutor(60) as pool:
        answers = list(pool.map(lambda number: create(own_server, f"during-{number}"), range(60)))
    assert time.monotonic() - began < WITHIN
    assert set(answers) == {UNAVAILABLE}
    assert "write lock" in fails(own_server, "store") or "locked by another program" in fails(own_server, "store")
    assert things(own_server) == {"before"}
    holder.execute("ROLLBACK")
    holder.close()
    recovers(own_server)
    assert create(own_server, "after") is None
    assert things(own_server) == {"before", "after"}


def test_a_full_disk_is_reported_and_the_server_continues_when_there_is_space(
    own_server: RunningServer, tmp_path: Path
) -> None:
    """No file of the server may grow: the database, the data folder and the log fail at once."""
    clients = own_server.session()
    assert create(own_server, "before") is None
    pid = int(own_server.run["pid"])
    _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, most))
    assert create(own_server, "during") == UNAVAILABLE
    eventually(lambda: status(own_server)[0] == 3, "status does not say that the disk is full")
    eventually(lambda: len(status(own_server)[1]["health"]["failing"]) == 3, "not all that fails is named")
    _, report = status(own_server)
    assert set(report["health"]["failing"]) == {"store", "data_folder", "log"}
    assert str(own_server.data / "sekisho.db") in report["store"]
    assert str(own_server.data) in report["data_folder"]
    assert "cannot be written" in report["log"]
    assert things(own_server) == {"before"}
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, most))
    recovers(own_server)
    assert create(own_server, "after") is None
    # A certificate that is not cached is admitted as before.
    device_files = new_self_signed(tmp_path)
    register(clients, device_files, allow(clients.iot, "anything"))
    with Device(own_server, device_files, "kettle") as device:
        device.publish("t1", "still here", 1)
    # Lines of the time in between were kept.
    assert own_server.wait_for_log("registry_unavailable", lambda line: "sekisho.db" in line["reason"])


# The log


class WithPipe(RunningServer):
    """A server whose standard error is a named pipe."""

    def _program(self) -> list[str]:
        return ["sh", "-c", 'exec sekisho "$@" 2>"$LOG_PIPE"', "sekisho"]


@pytest.fixture
def pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[io.FileIO]:
    """The end of the pipe that reads."""
    path = tmp_path / "log-pipe"
    os.mkfifo(path)
    monkeypatch.setenv("LOG_PIPE", str(path))
    with io.FileIO(os.open(path, os.O_RDONLY | os.O_NONBLOCK)) as reader:
        yield reader


@pytest.fixture
def with_pipe(tmp_path: Path, pipe: io.FileIO) -> Iterator[WithPipe]:
    assert not pipe.closed, "its reader is there before the server opens it"
    started = WithPipe(tmp_path / "data").start()
    yield started
    started.kill()


def make_log_lines(server: RunningServer, count: int) -> None:
    """Connect without TLS: each connection is refused, with a line in the log."""
    for _ in range(count):
        with socket.create_connection(("127.0.0.1", server.mqtt_port)) as connection:
            connection.sendall(b"no TLS at all\r\n\r\n")
            with contextlib.suppress(ConnectionError):
                connection.recv(100)


def log_state(server: RunningServer) -> dict[str, Any]:
    part: dict[str, Any] = get(server, "/_sekisho/health")[1]["parts"]["log"]
    return part


def admits_a_new_certificate(server: RunningServer, folder: Path) -> None:
    clients = server.session()
    device_files = new_self_signed(folder)
    register(clients, device_files, allow(clients.iot, "anything"))
    with Device(server, device_files, "kettle") as device:
        device.publish("t1", "it flows", 1)


def test_a_reader_of_the_log_that_stops_delays_nothing_and_misses_nothing(
    with_pipe: WithPipe, pipe: io.FileIO, tmp_path: Path
) -> None:
    # More than the capacity of the pipe.
    make_log_lines(with_pipe, 600)
    eventually(lambda: log_state(with_pipe)["waiting"] > 0, "the pipe is not full")
    admits_a_new_certificate(with_pipe, tmp_path)
    assert "has not read" in fails(with_pipe, "log")
    assert get(with_pipe, "/_sekisho/ready")[0] == 200

    os.set_blocking(pipe.fileno(), True)
    got = bytearray()
    reader = threading.Thread(target=_read_all, args=(pipe, got), daemon=True)
    reader.start()
    recovers(with_pipe)
    assert with_pipe.stop() == 0
    reader.join(WITHIN)
    lines = [json.loads(line) for line in got.decode().splitlines()]
    refused = lines_of(lines, "connection_refused")
    assert sum(1 + line.get("more", 0) for line in refused) >= 1
    assert not lines_of(lines, "log_lines_dropped")


def _read_all(pipe: io.FileIO, into: bytearray) -> None:
    while data := pipe.read(1 << 16):
        into += data


def test_a_log_without_a_reader_delays_nothing(with_pipe: WithPipe, pipe: io.FileIO, tmp_path: Path) -> None:
    pipe.close()
    make_log_lines(with_pipe, 10)
    assert "cannot be written (BrokenPipeError" in fails(with_pipe, "log")
    admits_a_new_certificate(with_pipe, tmp_path)
    assert create(with_pipe, "kettle") is None
    assert with_pipe.stop() == 0


@pytest.mark.parametrize("as_json", [True, False])
def test_a_server_whose_output_is_not_read_starts(tmp_path: Path, as_json: bool) -> None:
    reader, output = os.pipe()
    os.close(reader)
    data = tmp_path / "data"
    command = ["up", "--data", str(data), "--api-port", "0", "--mqtt-port", "0", *(["--json"] if as_json else [])]
    process = subprocess.Popen(
        [require("sekisho"), *command], stdout=output, stderr=subprocess.DEVNULL, env=clean_environment()
    )
    os.close(output)
    try:
        said = subprocess.run(
            [require("sekisho"), "status", "--data", str(data), "--wait", str(WITHIN)],
            env=clean_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert said.returncode == 0, said.stdout
    finally:
        process.terminate()
        assert process.wait(WITHIN) == 0


def test_lines_logged_at_the_end_are_written(own_server: RunningServer) -> None:
    make_log_lines(own_server, 200)
    accepted = get(own_server, "/_sekisho/health")[1]["mqtt"]["accepted"]
    assert accepted == 200
    assert own_server.stop() == 0
    assert own_server.log_events("connection_refused")
    assert own_server.log().endswith("\n")
