"""Runs a PostgreSQL server for a test run: a new cluster in a temporary folder, on a Unix socket.

A server that already runs on the machine is not used. PostgreSQL refuses to run as root, so root starts it as the
user ``postgres`` (or ``nobody``).
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

from tests.wait import eventually

INSTALL = "scripts/install-test-tools (Debian: apt-get install postgresql)"
DEADLINE = 30.0
"""Seconds for the server to answer."""


class PostgreSQLMissing(Exception):
    """The server's programs are not installed; the message says how to install them."""


def programs() -> Path:
    """Folder of ``initdb`` and ``postgres``: that of the newest version. Raises PostgreSQLMissing."""

    def version(folder: Path) -> tuple[int, ...]:
        return tuple(int(part) for part in folder.parent.name.split(".") if part.isdigit())

    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=version, reverse=True)
    on_path = shutil.which("initdb")
    for folder in (*installed, *([Path(on_path).parent] if on_path else [])):
        if all((folder / program).exists() for program in ("initdb", "postgres")):
            return folder
    raise PostgreSQLMissing(f"PostgreSQL is not installed. Install it with {INSTALL}.")


@dataclass(frozen=True)
class PostgreSQL:
    """A running server; ``folder`` contains its socket."""

    folder: Path
    has_icu: bool
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def url(self, database: str) -> str:
        """Return the URL of one of its databases."""
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def execute(self, statement: str) -> None:
        """Run a statement as superuser, outside a transaction."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())

    @contextlib.contextmanager
    def standing_still(self) -> Iterator[None]:
        """Stop every process of the server (SIGSTOP), and continue them at the end of the block."""
        try:
            self.stand_still()
            yield
        finally:
            self.go_on()

    def stand_still(self) -> None:
        """Stop every process of the server. Its sockets stay open, and the kernel accepts connections for them."""
        # The first process makes the others.
        self._send(signal.SIGSTOP)

    def go_on(self) -> None:
        """Continue all of them."""
        self._send(signal.SIGCONT)

    def _send(self, number: signal.Signals) -> None:
        first = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(first, number)
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)
        for line in listed.stdout.splitlines():
            pid, parent = map(int, line.split())
            if parent == first:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

    def new_database(self) -> str:
        """Create an empty database and return its URL.

        Its collation is that of a language where possible, as in databases of real users, so a statement that needs the
        order of bytes has to say so.
        """
        name = f"sekisho{next(self._numbers)}"
        collation = "LOCALE_PROVIDER icu ICU_LOCALE 'en-US'" if self.has_icu else ""
        self.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' {collation}")
        return self.url(name)


def _unprivileged() -> dict[str, Any]:
    """Return arguments for subprocess that drop root's rights."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    raise PostgreSQLMissing("PostgreSQL does not run as root, and there is no user postgres or nobody.")


@contextlib.contextmanager
def running() -> Iterator[PostgreSQL]:
    """Create a cluster, start it, stop it and remove it. Raises PostgreSQLMissing where it is not installed."""
    folder = programs()
    as_user = _unprivileged()
    # Not in pytest's own folder, which only its user may enter; and short, as a socket's path must be.
    home = Path(tempfile.mkdtemp(prefix="sekisho-pg-", dir="/tmp"))
    server: subprocess.Popen[bytes] | None = None
    try:
        if as_user:
            os.chown(home, as_user["user"], as_user["group"])
        data = home / "data"
        log = home / "log"
        _run(
            [folder / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"], as_user
        )
        # Without fsync: the server is not killed, and the folder is removed anyway.
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(home),
            "fsync": "off",
            "max_connections": 200,
        }
        options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
        with log.open("wb") as output:
            server = subprocess.Popen(
                [folder / "postgres", "-D", data, *options], stdout=output, stderr=output, cwd=home, **as_user
            )
        version = _wait_until_it_answers(server, home, log)
        has_icu = version >= 150000 and _has_icu(home)
        yield PostgreSQL(folder=home, has_icu=has_icu)
    finally:
        if server is not None and server.poll() is None:
            # "Immediate shutdown": the files may be inconsistent, because they are removed.
            server.send_signal(signal.SIGQUIT)
            server.wait(timeout=DEADLINE)
        shutil.rmtree(home, ignore_errors=True)


def _run(command: list[str | Path], as_user: dict[str, Any]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False, **as_user)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")


def _wait_until_it_answers(server: subprocess.Popen[bytes], home: Path, log: Path) -> int:
    """Return the version of the server."""

    def said() -> str:
        return f"PostgreSQL does not answer:\n{log.read_text(errors='replace')}"

    def version() -> int | None:
        url = f"postgresql://postgres@/postgres?host={home}"
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(url) as connection:
            return connection.info.server_version
        if server.poll() is not None:
            raise RuntimeError(said())
        return None

    found = eventually(version, said, within=DEADLINE)
    assert found is not None
    return found


def _has_icu(home: Path) -> bool:
    with psycopg.connect(f"postgresql://postgres@/postgres?host={home}") as connection:
        return connection.execute("SELECT 1 FROM pg_collation WHERE collprovider = 'i' LIMIT 1").fetchone() is not None
