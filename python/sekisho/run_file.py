"""``run.json`` in the data folder: where the running server is, for ``sekisho env``, ``status``, ``pub`` and ``sub``.

Written when the server answers, removed when it stops. It holds no secret.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from sekisho.files import write_atomically

NAME: Final = "run.json"


@dataclass(frozen=True, slots=True)
class Run:
    """A running server."""

    pid: int
    api: str
    """URL of the API."""
    mqtt_host: str
    mqtt_port: int
    endpoint: str
    """Name under which the default account's devices connect."""
    region: str
    account: str
    root_ca: str
    """File for ``--cafile``."""
    version: str


def write(data: Path, run: Run) -> None:
    """Replace the file."""
    write_atomically(data / NAME, json.dumps(asdict(run), indent=2).encode() + b"\n", mode=0o600)


def read(data: Path) -> Run | None:
    """What the file says, or None where there is none that can be read. The server may be gone all the same."""
    try:
        return Run(**json.loads((data / NAME).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def remove(data: Path) -> None:
    """The server has stopped."""
    (data / NAME).unlink(missing_ok=True)
