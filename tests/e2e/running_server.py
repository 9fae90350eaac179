"""A real server in a separate process, as ``sekisho up`` starts it, on reserved ports and a temporary data folder."""

from __future__ import annotations

import json
import selectors
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import boto3
from botocore.config import Config

from tests.e2e.command_line import answer, clean_environment
from tests.logs import check, lines_of
from tests.ports import reserve
from tests.tools import require
from tests.wait import eventually

if TYPE_CHECKING:
    from types_boto3_iot.client import IoTClient
    from types_boto3_iot_data.client import IoTDataPlaneClient

START_WITHIN = 30.0


class RunningServer:
    """Starts, stops and kills a server repeatedly on the same data. ``arguments`` are those of ``sekisho up``."""

    def __init__(self, data: Path, *arguments: str) -> None:
        self.data = data
        self._arguments = arguments
        # Reserved, so that the server has the same ports after a restart.
        self._ports = ["--api-port", str(reserve()), "--mqtt-port", str(reserve())]
        self._log = data.parent / f"{data.name}.log"
        self._process: subprocess.Popen[str] | None = None
        self.run: dict[str, Any] = {}
        self._environments: dict[tuple[str, ...], dict[str, str]] = {}
        self._sessions: dict[tuple[str | None, str | None], Clients] = {}

    def start(self) -> Self:
        """Start the server. Returns when it reports that every part answers."""
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                [*self._program(), "up", "--data", str(self.data), "--json", *self._ports, *self._arguments],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=clean_environment(),
            )
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            ready = selector.select(START_WITHIN)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            self.kill()
            raise AssertionError(f"the server did not start:\n{self.log()}")
        self.run = json.loads(line)
        return self

    def _program(self) -> list[str]:
        return [require("sekisho")]

    def stop(self) -> int:
        """Stop the server and return its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """Kill the server with SIGKILL."""
        return self._end(signal.SIGKILL)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the server's process."""
        assert self._process is not None
        self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> int:
        process = self._process
        assert process is not None
        if process.poll() is None:
            process.send_signal(number)
        code = process.wait(timeout=20)
        if process.stdout is not None:
            process.stdout.close()
        return code

    def rows(self, statement: str, *values: object) -> list[Any]:
        """Return what a SELECT finds in the database, whether the server runs or not."""
        with closing(self._connect()) as database:
            database.execute("PRAGMA query_only = ON")
            return database.execute(statement, values).fetchall()

    @contextmanager
    def stopped_database(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection that writes a state which the API does not lead to. The server must have ended.

        A running server has rows in memory, and tells live connections of what it writes itself.
        """
        assert self._process is None or self._process.poll() is not None, "the server is running"
        with closing(self._connect()) as database, database:
            yield database

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.data / "sekisho.db", timeout=30)

    def log(self) -> str:
        """Return everything that the server has logged so far."""
        return self._log.read_text() if self._log.exists() else ""

    def log_lines(self) -> list[dict[str, Any]]:
        """Return its structured lines without one that is being written."""
        lines = self.log().splitlines(keepends=True)
        parsed = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("\n")]
        for line in parsed:
            check(line)
        return parsed

    def wait_for_log(
        self, code: str, where: Callable[[dict[str, Any]], bool] = lambda _: True, **fields: Any
    ) -> dict[str, Any]:
        """Wait for a log line of this event with these fields, for which ``where`` is true; return the first one."""

        def found() -> dict[str, Any] | None:
            return next((line for line in self.log_events(code, **fields) if where(line)), None)

        line = eventually(found, lambda: f"no line of the event {code!r} with {fields} in the log:\n{self.log()}")
        assert line is not None
        return line

    def wait_for_refusal(self, **fields: Any) -> dict[str, Any]:
        """Wait for the log line of a refused connection with these fields."""
        return self.wait_for_log("connection_refused", **fields)

    def log_events(self, code: str, **fields: Any) -> list[dict[str, Any]]:
        """Return the log lines of this event with these fields."""
        return lines_of(self.log_lines(), code, **fields)

    @property
    def mqtt_port(self) -> int:
        """The port of MQTT."""
        return int(self.run["mqtt_port"])

    @property
    def root_ca(self) -> str:
        """The file for --cafile."""
        return str(self.run["root_ca"])

    def environment(self, *arguments: str) -> dict[str, str]:
        """The variables of ``sekisho env`` in a clean environment; read once, since a restart does not change them."""
        if arguments not in self._environments:
            self._environments[arguments] = self._ask_for_environment(*arguments)
        return dict(self._environments[arguments])

    def _ask_for_environment(self, *arguments: str) -> dict[str, str]:
        exported: dict[str, str] = answer("env", "--data", self.data, *arguments)
        return clean_environment() | exported

    def session(self, account: str | None = None, region: str | None = None) -> Clients:
        """Return boto3 clients that sign for an account, by default the default one."""
        if (account, region) not in self._sessions:
            environment = self.environment(*(["--account", account] if account else []))
            self._sessions[account, region] = Clients(environment, region)
        return self._sessions[account, region]


class Clients:
    """boto3 clients of a server's API, made once because reading the models takes longer than most tests."""

    def __init__(self, environment: dict[str, str], region: str | None) -> None:
        self._options = {
            "aws_access_key_id": environment["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": environment["AWS_SECRET_ACCESS_KEY"],
            "region_name": region or environment["AWS_REGION"],
            "endpoint_url": environment["AWS_ENDPOINT_URL"],
            "config": Config(retries={"total_max_attempts": 1}, parameter_validation=True),
        }

    @cached_property
    def iot(self) -> IoTClient:
        """The control plane."""
        client: IoTClient = self._client("iot")
        return client

    @cached_property
    def iot_data(self) -> IoTDataPlaneClient:
        """The data plane's HTTP API."""
        client: IoTDataPlaneClient = self._client("iot-data")
        return client

    def _client(self, service: Any) -> Any:
        # From boto3's default session, which reads the service models once for all clients of this process.
        return boto3.client(service, **self._options)
