"""``sekisho status``: does everything answer?"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from sekisho.cli.options import Data, Json, data_folder


def status(
    data: Data = None,
    wait: Annotated[float, typer.Option(metavar="SECONDS", help="Wait so long for the server to answer.")] = 0.0,
    as_json: Json = False,
) -> None:
    """Exit 0 when the API and MQTT answer, 1 when they do not."""
    import time

    from sekisho.cli.output import show_json, show_line

    folder = data_folder(data)
    deadline = time.monotonic() + wait
    while True:
        report = _probe(str(folder))
        if report["ok"] or time.monotonic() >= deadline:
            break
        time.sleep(0.05)
    if as_json:
        show_json(report)
    else:
        for name in ("api", "mqtt"):
            show_line(f"{name}: {report[name]}")
    raise typer.Exit(0 if report["ok"] else 1)


def _probe(folder: str) -> dict[str, Any]:
    """One look at the server: what each part said, and whether all of it was well."""
    import socket
    from pathlib import Path

    from sekisho import run_file

    run = run_file.read(Path(folder))
    if run is None:
        absent = f"no server is running on {folder}"
        return {"ok": False, "api": absent, "mqtt": absent}
    report: dict[str, Any] = {"ok": True, "pid": run.pid, "version": run.version}
    try:
        report["health"] = run_file.health(run)
        report["api"] = f"answers at {run.api}"
    except OSError as error:
        report |= {"ok": False, "api": f"does not answer at {run.api}: {error}"}
    where = f"{run.mqtt_host}:{run.mqtt_port}"
    try:
        socket.create_connection((run.mqtt_host, run.mqtt_port), timeout=2).close()
        report["mqtt"] = f"listens at {where}"
    except OSError as error:
        report |= {"ok": False, "mqtt": f"does not listen at {where}: {error}"}
    return report
