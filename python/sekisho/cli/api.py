"""``sekisho api``: which operations of the AWS IoT APIs are implemented."""

from __future__ import annotations

from typing import Annotated

import typer

from sekisho.cli.failure import Failure
from sekisho.cli.options import Json, choices

app = typer.Typer(help="The AWS IoT APIs that Sekisho implements.", no_args_is_help=True)


@app.command("coverage")
def coverage(
    service: Annotated[
        str | None,
        typer.Option(help="Only this service: iot, iot-data, sts.", autocompletion=choices("iot", "iot-data", "sts")),
    ] = None,
    as_json: Json = False,
) -> None:
    """List every operation of the services, and whether it is implemented."""
    from sekisho.api.coverage import coverage as rows
    from sekisho.cli.output import show_json, show_line

    every = rows()
    chosen = [row for row in every if service is None or row.service == service]
    if not chosen:
        raise Failure(f"--service is one of {', '.join(dict.fromkeys(row.service for row in every))}, not {service!r}")
    if as_json:
        show_json(
            [{"service": row.service, "operation": row.operation, "implemented": row.implemented} for row in chosen]
        )
        return
    for row in chosen:
        show_line(f"{'yes' if row.implemented else ' - '}  {row.service}:{row.operation}")
    there = sum(row.implemented for row in chosen)
    show_line(f"{there} of {len(chosen)} operations")
