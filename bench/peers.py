"""Other servers of AWS APIs, from PyPI, each of which may be missing: moto_server and MiniStack."""

from __future__ import annotations

import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from bench.servers import Process, free_port

_START_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.005
_HTTP_TIMEOUT_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Peer:
    """A kind of server.

    Args:
        ready_path: Answered as soon as the server takes requests.
        arguments, environment: Those that let it listen on this port of 127.0.0.1.
    """

    program: str
    install: str
    ready_path: str
    arguments: Callable[[int], list[str]]
    environment: Callable[[int], Mapping[str, str]]

    def find(self) -> str | None:
        """Return its program on the PATH."""
        return shutil.which(self.program)

    @property
    def missing(self) -> str:
        """What to say where it is missing."""
        return f"{self.program} is missing: {self.install}"


MOTO: Final = Peer(
    program="moto_server",
    install="pipx install 'moto[server]'",
    ready_path="/moto-api/data.json",
    arguments=lambda port: ["-H", "127.0.0.1", "-p", str(port)],
    environment=lambda _port: {},
)
MINISTACK: Final = Peer(
    program="ministack",
    install="pipx install ministack",
    ready_path="/_ministack/ready",
    arguments=lambda _port: [],
    environment=lambda port: {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        # It would listen on every address of the machine.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
    },
)


class RunningPeer(Process):
    """A server of another kind; within the ``with`` it answers."""

    def __init__(self, peer: Peer, program: str, folder: Path, core: int) -> None:
        folder.mkdir(parents=True)
        self._peer = peer
        self.port = free_port()
        # It has a Python of its own, and ours is not to leak in.
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHON"))}
        command = [program, *peer.arguments(self.port)]
        with (folder / f"{peer.program}.out").open("wb") as output:
            super().__init__(
                command,
                core,
                folder / f"{peer.program}.log",
                stdout=output,
                env={**environment, **peer.environment(self.port)},
            )

    def __enter__(self) -> Self:
        deadline = time.monotonic() + _START_SECONDS
        url = f"http://127.0.0.1:{self.port}{self._peer.ready_path}"
        while True:
            try:
                urllib.request.urlopen(url, timeout=_HTTP_TIMEOUT_SECONDS).close()
            except (urllib.error.URLError, TimeoutError, ConnectionError):
                if self._popen.poll() is not None or time.monotonic() > deadline:
                    raise self.failed(f"{self._peer.program} did not start") from None
                time.sleep(_POLL_SECONDS)
            else:
                return self
