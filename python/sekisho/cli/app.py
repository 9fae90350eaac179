"""``sekisho``: the command line. Only what runs is imported: ``commands`` loads a command when it is called."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from sekisho import __version__
from sekisho.cli.commands import Commands
from sekisho.cli.failure import Failure

app = typer.Typer(
    name="sekisho",
    cls=Commands,
    help="A self-hosted IoT Core for devices whose certificates are signed by your own CA.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    # Plain help: formatting it with rich takes longer than the rest of the start.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"sekisho {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None: ...


def main() -> int:
    """Run the command line. A Failure becomes one line on standard error and exit code 1."""
    try:
        app(standalone_mode=True)
    except Failure as failure:
        from sekisho.cli.output import for_stream

        print(for_stream(f"sekisho: {failure}", sys.stderr), file=sys.stderr)  # noqa: T201 - the one place that prints errors
        return 1
    except BrokenPipeError:
        # The process that reads the output has closed the pipe.
        sys.stderr.close()
        return 0
    return 0
