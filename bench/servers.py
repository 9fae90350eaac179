"""The two servers, each in a separate process on one core."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, Self

_START_SECONDS: Final = 20.0
_STOP_SECONDS: Final = 15.0

MOSQUITTO_CONF: Final = """\
persistence false
log_dest none
connection_messages false
sys_interval 0
allow_anonymous true
max_queued_messages 0
max_inflight_messages 0
set_tcp_nodelay true
"""
"""Settings without checks that cost time, and with unbounded queues; no access control list."""

_LISTENER: Final = """
listener {port} 127.0.0.1
cafile {ca}
certfile {certificate}
keyfile {key}
require_certificate true
use_identity_as_username true
"""


class CannotMeasure(Exception):
    """A server did not start; the message says why."""


class Server(Protocol):
    """A running server."""

    name: str
    pid: int

    def port(self, server_key: str) -> int:
        """Return the port where it serves a key of this kind: ``ecdsa`` or ``rsa``."""


class Process:
    """A process pinned to one core, which ends with its context."""

    def __init__(self, command: Sequence[str], core: int, log: Path, **options: Any) -> None:
        self._log = log
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                ["taskset", "--cpu-list", str(core), *command], stdin=subprocess.DEVNULL, stderr=output, **options
            )
        # taskset and the runner replace themselves with the command, so this is the server's process id.
        self.pid = self._popen.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._popen.terminate()
        try:
            self._popen.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        if self._popen.stdout is not None:
            self._popen.stdout.close()

    def failed(self, what: str) -> CannotMeasure:
        """Return an error with the end of the log."""
        lines = self._log.read_text(errors="replace").splitlines()[-5:]
        return CannotMeasure(f"{what}. The end of {self._log}:\n" + "\n".join(lines))


class Mosquitto(Process):
    """mosquitto with two TLS listeners that serve Sekisho's own certificate chains."""

    name = "mosquitto"

    def __init__(self, folder: Path, core: int, ca: Path, chains: Mapping[str, tuple[Path, Path]]) -> None:
        program = find_mosquitto()
        self._ports = {kind: free_port() for kind in chains}
        conf = MOSQUITTO_CONF
        if os.geteuid() == 0:
            conf += "user root\n"  # It would drop root's rights, and could no longer read its key.
        for kind, (certificate, key) in chains.items():
            conf += _LISTENER.format(port=self._ports[kind], ca=ca, certificate=certificate, key=key)
        file = folder / "mosquitto.conf"
        file.write_text(conf)
        super().__init__([program, "-c", str(file)], core, folder / "mosquitto.log", stdout=subprocess.DEVNULL)

    def __enter__(self) -> Self:
        deadline = time.monotonic() + _START_SECONDS
        for port in self._ports.values():
            while not _listens(port):
                if self._popen.poll() is not None or time.monotonic() > deadline:
                    raise self.failed("mosquitto did not start")
                time.sleep(0.01)
        return self

    def port(self, server_key: str) -> int:
        """See ``Server``."""
        return self._ports[server_key]


class Sekisho(Process):
    """``sekisho up`` with its defaults, of the package that an interpreter finds.

    Args:
        runner: A command that replaces itself with the server, such as ``slow_disk``.
    """

    name = "sekisho"

    def __init__(self, folder: Path, core: int, python: str = sys.executable, runner: Sequence[str] = ()) -> None:
        self.data = folder / "data"
        self._core = core
        self._command = [python, "-c", "import sys; from sekisho.cli.app import main; sys.exit(main())"]
        # Without bytecode every start of Python compiles anew.
        unset = ("AWS_", "SEKISHO_", "PYTHONDONTWRITEBYTECODE")
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith(unset)}
        command = [*self._command, "up", "--data", str(self.data), "--api-port", "0", "--mqtt-port", "0", "--json"]
        super().__init__(
            [*runner, *command], core, folder / "sekisho.log", stdout=subprocess.PIPE, env=self._environment
        )
        self.run: dict[str, Any] = {}

    def __enter__(self) -> Self:
        assert self._popen.stdout is not None
        # It prints one line when every part answers, or ends.
        line = self._popen.stdout.readline()
        try:
            self.run = json.loads(line)
        except ValueError:
            self._popen.wait(_STOP_SECONDS)
            raise self.failed("sekisho did not start") from None
        return self

    def port(self, server_key: str) -> int:  # noqa: ARG002 (one port serves every kind of key)
        """See ``Server``."""
        return int(self.run["mqtt_port"])

    def environment(self) -> dict[str, str]:
        """Return the variables with which AWS tools use it."""
        return dict(json.loads(self.run_command("env", "--data", str(self.data), "--json")))

    def run_command(self, *arguments: str) -> bytes:
        """Run another command, on the server's core, and return its output. Raises CannotMeasure where it fails."""
        answer = subprocess.run(
            ["taskset", "--cpu-list", str(self._core), *self._command, *arguments],
            env=self._environment,
            capture_output=True,
            timeout=_START_SECONDS,
            check=False,
        )
        if answer.returncode != 0:
            raise self.failed(f"sekisho {arguments[0]}: {answer.stderr.decode(errors='replace').strip()}")
        return answer.stdout

    def chains(self) -> dict[str, tuple[Path, Path]]:
        """Return chain and key files of its own identity by kind of key."""
        identity = self.data / "server"
        return {kind: (identity / kind / "server.crt", identity / kind / "server.key") for kind in ("ecdsa", "rsa")}


def slow_disk(milliseconds: int, log: Path) -> list[str]:
    """Return the start of a command whose process waits so long after each synchronisation of a file with the disk.

    strace delays the return of fsync and fdatasync. Its filter in the kernel leaves all other system calls alone, and
    the tracer is a process of its own, whose CPU time is not the server's. Raises CannotMeasure.

    Args:
        log: For strace's own lines, one for each synchronisation.
    """
    strace = shutil.which("strace")
    if strace is None:
        raise CannotMeasure("strace is missing. Debian: sudo apt-get install strace")
    command = [strace, "--daemonize", "--follow-forks", "--seccomp-bpf", "--quiet=all", "--signal=none"]
    command += ["--trace=fsync,fdatasync", f"--inject=fsync,fdatasync:delay_exit={milliseconds * 1000}"]
    command += ["--output", str(log), "--"]
    tried = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        raise CannotMeasure(f"strace cannot trace a process here: {tried.stderr.strip()}")
    return command


def find_mosquitto() -> str:
    """Return its program, which Debian keeps where only root's PATH looks. Raises CannotMeasure."""
    program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
    if program is None:
        raise CannotMeasure("mosquitto is missing. Debian: sudo apt-get install mosquitto")
    return program


def mosquitto_version() -> str:
    """Return the version that it prints."""
    printed = subprocess.run([find_mosquitto(), "-h"], capture_output=True, text=True, check=False).stdout
    return printed.splitlines()[0].removeprefix("mosquitto version ") if printed else "unknown"


def free_port() -> int:
    """Return a TCP port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
