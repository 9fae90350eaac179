"""``run.json`` in the data folder: where the running server is, for ``sekisho env``, ``status``, ``pub`` and ``sub``.

Written when the server listens, removed when it stops. It holds no secret.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from sekisho.files import write_atomically

NAME: Final = "run.json"
HEALTH_PATH: Final = "/_sekisho/health"
LIVE_PATH: Final = "/_sekisho/live"
READY_PATH: Final = "/_sekisho/ready"
METRICS_PATH: Final = "/metrics"
HEALTH_TIMEOUT_SECONDS: Final = 5.0
"""Seconds that a server gets to answer."""


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
    store: str
    """Where the registry is: a file, or a URL without its password."""
    root_ca: str
    """File for ``--cafile``; empty where the root of the user's own server certificate is not known."""
    version: str
    dotted_endpoint: str = ""
    """``endpoint`` by a name with a dot, for Java clients, where this machine resolves one; else empty."""
    reload: Mapping[str, Any] = field(default_factory=dict)
    """The last reload's ``server.reload.Outcome``; empty where there was none."""
    config_file: str = ""
    """The settings file of the server, whether or not it exists."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """``server.shown_settings.shown`` of what the server works with."""


def write(data: Path, run: Run) -> None:
    """Replace the file."""
    write_atomically(data / NAME, json.dumps(asdict(run), indent=2).encode() + b"\n", mode=0o600)


def read(data: Path) -> Run | None:
    """What the file says, or None where there is none that can be read. The server may be gone all the same."""
    try:
        return Run(**json.loads((data / NAME).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def health(run: Run) -> dict[str, Any]:
    """What the server says of itself (``sekisho.server.health.Health.report``), whether or not a part is failing.

    Raises OSError: it does not answer, or it is another than that of ``run``.
    """
    import http.client
    from urllib.parse import urlsplit

    place = urlsplit(run.api)
    # Not urllib: it would ask a proxy of the environment, which knows no loopback of ours.
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=HEALTH_TIMEOUT_SECONDS)
    try:
        connection.request("GET", HEALTH_PATH)
        said = json.loads(connection.getresponse().read())
    except (ValueError, http.client.HTTPException) as error:
        raise OSError(f"what answers there is not Sekisho ({error or type(error).__name__})") from None
    finally:
        connection.close()
    if not isinstance(said, dict) or said.get("pid") != run.pid:
        raise OSError("another server answers there")
    return said


def answering(data: Path) -> Run | None:
    """The running server, asked whether it is there: one that was killed leaves its file behind."""
    run = read(data)
    if run is None:
        return None
    try:
        health(run)
    except OSError:
        return None
    return run


def remove(data: Path) -> None:
    """The server has stopped."""
    with contextlib.suppress(OSError):
        (data / NAME).unlink()
