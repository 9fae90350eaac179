"""moto_server, a peer that may be missing: the AWS IoT API of a mock, which keeps everything in memory."""

from __future__ import annotations

import os
import shutil
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final, Self

from bench.fleet import iot_client
from bench.provisioning.stage import PARALLEL
from bench.servers import Process, free_port

INSTALL: Final = "pipx install 'moto[server]'"
_START_SECONDS: Final = 60.0


def find() -> str | None:
    """Its program, on the PATH."""
    return shutil.which("moto_server")


class Moto(Process):
    """A running one."""

    def __init__(self, program: str, folder: Path, core: int) -> None:
        folder.mkdir(parents=True)
        self.port = free_port()
        # It has a Python of its own, and ours is not to leak in.
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHON"))}
        command = [program, "-H", "127.0.0.1", "-p", str(self.port)]
        with (folder / "moto.out").open("wb") as output:
            super().__init__(command, core, folder / "moto.log", stdout=output, env=environment)

    def __enter__(self) -> Self:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/moto-api/data.json", timeout=5).close()
            except (urllib.error.URLError, TimeoutError, ConnectionError):
                if self._popen.poll() is not None or time.monotonic() > deadline:
                    raise self.failed("moto_server did not start") from None
                time.sleep(0.05)
            else:
                return self

    def client(self) -> Any:
        """boto3's client for it."""
        return iot_client(
            {
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
                "AWS_REGION": "us-east-1",
                "AWS_ACCESS_KEY_ID": "moto",
                "AWS_SECRET_ACCESS_KEY": "moto",
            },
            PARALLEL,
        )
