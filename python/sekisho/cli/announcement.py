"""What ``sekisho up`` prints when the server answers: addresses, files, and the next commands."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

import typer

from sekisho.server.run_file import Run
from sekisho.server.settings import Settings, data_folder

NOT_ANNOUNCED: Final = ("reload", "config_file", "settings")
"""Fields of ``Run`` that are no addresses: 'sekisho config show' prints them."""


def show_json(run: Run) -> None:
    """Print the addresses in one line, so that a program can wait for it."""
    typer.echo(json.dumps({name: value for name, value in asdict(run).items() if name not in NOT_ANNOUNCED}))


def facts(run: Run, settings: Settings) -> Sequence[tuple[str, str]]:
    """Return the lines, each with a title; without one, a line belongs to the title above."""
    rows = [("API", run.api), ("MQTT", f"{run.endpoint}:{run.mqtt_port}  (mutual TLS)")]
    if run.dotted_endpoint:
        rows.append(("", f"{run.dotted_endpoint}:{run.mqtt_port}  (for Java)"))
    if settings.is_loopback:
        rows.append(("", "only this machine can connect: set host to let others"))
        rows.append(("", "(sekisho up --host 0.0.0.0)"))
    rows += [
        ("Root CA", run.root_ca or "not known: set server_root_ca"),
        ("Data", str(settings.data)),
        ("Account", f"{run.account}, {run.region}"),
    ]
    option = "" if settings.data == data_folder() else f" --data {shlex.quote(str(settings.data))}"
    rows.append(("Next", f'eval "$(sekisho env{option})"'))
    rows.append(("", "aws iot describe-endpoint --endpoint-type iot:Data-ATS"))
    return rows


def show(run: Run, settings: Settings) -> None:
    """Print the lines in a box; without one where the terminal is too narrow for it.

    Paths and commands are copied from here: no line is broken. A terminal that folds a line copies it whole.
    """
    from rich.console import Console
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    from sekisho.cli.output import show_line

    rows = facts(run, settings)
    title = f"Sekisho {run.version}"
    table = Table.grid(padding=(0, 2))
    for name, text in rows:
        if name == "Next":
            table.add_row("", "")
        # As Text, so that brackets in a path are no markup.
        table.add_row(name, Text(text))
    console = Console()
    panel = Panel(table, title=title, expand=False)
    if console.measure(panel, options=console.options.update(width=10_000)).maximum <= console.width:
        console.print(panel)
        return
    show_line(title)
    for name, text in rows:
        if name:
            show_line(f"{name}:")
        show_line(f"  {text}")
