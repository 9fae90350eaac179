"""``sekisho status``: show which parts of the server are ok."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from sekisho.cli.options import Data, Json, data_folder

POLL_SECONDS: Final = 0.05

NO_ANSWER: Final = 1
"""Exit code: no server answers."""

NOT_WELL: Final = 3
"""Exit code: a server answers, and a part of it is failing. (2 is a wrong command line.)"""

_WORDS: Final = {
    "store": "the registry can be read and written",
    "data_folder": "can be written to",
    "threads": "all run",
    "log": "is written",
}


def status(
    data: Data = None,
    wait: Annotated[
        float, typer.Option(metavar="SECONDS", help="Wait up to this long until every part of the server is ok.")
    ] = 0.0,
    as_json: Json = False,
) -> None:
    """Exit 0 when every part of the server is ok, 1 when no server answers, 3 when a part is failing."""
    import time

    from sekisho.cli.output import show_json, show_line

    folder = data_folder(data)
    deadline = time.monotonic() + wait
    while True:
        code, report = _ask(str(folder))
        if code == 0 or time.monotonic() >= deadline:
            break
        time.sleep(POLL_SECONDS)
    if as_json:
        show_json(report)
    else:
        for name, said in _lines(report):
            show_line(f"{name}: {said}")
    raise typer.Exit(code)


def _lines(report: dict[str, Any]) -> list[tuple[str, str]]:
    parts = report.get("health", {}).get("parts", {})
    lines = [("api", report["api"]), ("mqtt", report["mqtt"])]
    return lines + [(name.replace("_", " "), report[name]) for name in parts if name not in ("api", "mqtt")]


def _ask(folder: str) -> tuple[int, dict[str, Any]]:
    """Return the exit code and the report: ``ok``, a sentence for each part, and the server's ``health``."""
    from pathlib import Path

    from sekisho.server import run_file

    run = run_file.read(Path(folder))
    if run is None:
        absent = f"no server is running on {folder}"
        return NO_ANSWER, {"ok": False, "api": absent, "mqtt": absent}
    report: dict[str, Any] = {"ok": False, "pid": run.pid, "version": run.version}
    try:
        health = run_file.health(run)
    except OSError as error:
        absent = f"does not answer at {run.api}: {error}"
        return NO_ANSWER, report | {"api": absent, "mqtt": "unknown, since the API does not answer"}
    words = {"api": f"answers at {run.api}", "mqtt": f"listens at {run.mqtt_host}:{run.mqtt_port}"} | _WORDS
    for name, part in health.get("parts", {}).items():
        report[name] = words.get(name, "is ok") if part["ok"] else f"FAILING: {part.get('reason', 'see the log')}"
    report = {**words, **report, "ok": health["status"] == "ok", "health": health}
    return (0 if report["ok"] else NOT_WELL), report
