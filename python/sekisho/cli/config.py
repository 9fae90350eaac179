"""``sekisho config``: the settings with their sources, and what is wrong with them. Works without a server too."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from sekisho.cli.failure import Failure
from sekisho.cli.options import Data, Json, data_folder, path

app = typer.Typer(help="The settings of the server: show them, check them.", no_args_is_help=True)

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", parser=path, metavar="PATH", help="Settings file. [default: sekisho.toml in the data folder]"
    ),
]


@app.command("show")
def show(data: Data = None, config: ConfigFile = None, as_json: Json = False) -> None:
    """Show every setting with its value and its source. Secrets are shown as set or unset.

    If a server runs on the data folder, the values are those that it uses, and what differs in the file is shown with
    what makes it take effect: 'sekisho reload' or a restart. Otherwise they are what 'sekisho up' would use.
    """
    from sekisho.cli.output import show_json, show_line
    from sekisho.server import run_file
    from sekisho.server.settings import ConfigError, read
    from sekisho.server.shown_settings import shown, waiting

    folder = data_folder(data)
    run = None if config is not None else run_file.answering(folder)
    later: Mapping[str, tuple[str, Any]] = {}
    problem = None
    if run is not None and run.settings:
        file, settings = run.config_file, run.settings
        try:
            later = waiting(run, folder)
        except ConfigError as error:
            problem = f"the file cannot be used at a reload: {error}"
    else:
        run = None
        try:
            loaded = read({"data": data}, config_file=config).checked()
        except ConfigError as error:
            raise Failure(str(error)) from None
        file, settings = str(loaded.file), shown(loaded)
    if as_json:
        show_json(
            {
                "file": file,
                "running": run is not None,
                "problem": problem,
                "settings": {
                    name: {**each, "waitsFor": later[name][0], "valueInFile": later[name][1]}
                    if name in later
                    else {**each, "waitsFor": None}
                    for name, each in settings.items()
                },
            }
        )
        return
    about = f"as the server (process {run.pid}) uses them" if run is not None else "as 'sekisho up' would use them"
    show_line(f"# The settings {about}. File: {file}")
    for name, each in settings.items():
        for line in _lines(name, each, later.get(name)):
            show_line(line)
    if problem is not None:
        raise Failure(problem)


def _lines(name: str, each: Mapping[str, Any], later: tuple[str, Any] | None) -> Iterator[str]:
    source = each["source"]
    from_ = f"{source['kind']} {source['name']}".strip()
    value = each["value"]
    if value in ("set", "unset") and name in _secret_names():
        yield f"# {name} is {value}  # {from_}"
    elif value is None:
        yield f"# {name} is unset  # {from_}"
    elif isinstance(value, dict):
        yield f"# {name} = {json.dumps(value, ensure_ascii=False)}  # {from_}"
    else:
        # JSON's texts, numbers, booleans and lists of texts are also those of TOML.
        yield f"{name} = {json.dumps(value, ensure_ascii=False)}  # {from_}"
    if later is not None:
        what, new = later
        how = "'sekisho reload'" if what == "reload" else "a restart"
        yield f"#   waits for {how}: {json.dumps(new, ensure_ascii=False)}"


def _secret_names() -> frozenset[str]:
    from sekisho.server.shown_settings import SECRET

    return SECRET


@app.command("check")
def check(
    file: Annotated[
        Path | None,
        typer.Argument(
            parser=path, metavar="[FILE]", help="Settings file to check. [default: sekisho.toml in the data folder]"
        ),
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Check all that 'sekisho up' would refuse, without starting it: exit 1 with one line for each problem.

    Checks the settings, the server certificate with its key and names, the files of handlers, the rights of the data
    folder and whether the ports are free. Does not connect to a database.
    """
    from sekisho.cli.output import show_json, show_line
    from sekisho.server import config_check
    from sekisho.server.settings import ConfigError, read

    try:
        loaded = read({"data": data}, config_file=file)
    except ConfigError as error:
        raise Failure(str(error)) from None
    found = list(dict.fromkeys(config_check.problems(loaded)))
    if as_json:
        show_json({"file": str(loaded.file), "problems": found})
    elif found:
        for problem in found:
            show_line(problem)
    else:
        show_line(f"no problem found; file: {loaded.file}{'' if loaded.file.exists() else ', which does not exist'}")
    if found:
        raise typer.Exit(1)
