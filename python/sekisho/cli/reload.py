"""``sekisho reload``: have the running server read its settings again."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any, Final

from sekisho.cli.failure import Failure
from sekisho.cli.options import Data, Json, data_folder

RELOAD_TIMEOUT_SECONDS: Final = 30.0
"""For the server to load handlers and certificates."""

_LOOK_SECONDS: Final = 0.05


def reload(data: Data = None, as_json: Json = False) -> None:
    """Read the settings again: certificates, handlers, log and limits. Connections and sessions go on."""
    from sekisho.cli.output import show_json, show_line
    from sekisho.server import run_file

    folder = data_folder(data)
    run = run_file.answering(folder)
    if run is None:
        raise Failure(f"no server is running on {folder}")
    number = run.reload.get("number", 0)
    try:
        os.kill(run.pid, signal.SIGHUP)
    except PermissionError:
        raise Failure(f"the server (process {run.pid}) belongs to another user: run this as that user") from None
    except ProcessLookupError:
        raise Failure(f"no server is running on {folder}") from None
    outcome = _outcome(folder, number)
    if as_json:
        show_json(outcome)
    if outcome["error"]:
        raise Failure(f"nothing was changed: {outcome['error']}")
    if as_json:
        return
    changed = ", ".join(outcome["changed"]) or "no setting has another value; files were read again"
    show_line(f"reloaded: {changed}")
    if outcome["needs_restart"]:
        show_line(f"not changed before the next start: {', '.join(outcome['needs_restart'])}")


def _outcome(folder: Path, number: int) -> dict[str, Any]:
    """Wait for the reload after ``number``. Raises Failure."""
    from sekisho.server import run_file

    deadline = time.monotonic() + RELOAD_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        run = run_file.read(folder)
        if run is not None and run.reload.get("number", 0) > number:
            return dict(run.reload)
        time.sleep(_LOOK_SECONDS)
    raise Failure(f"the server has not reloaded within {RELOAD_TIMEOUT_SECONDS:g} seconds; its log says why")
