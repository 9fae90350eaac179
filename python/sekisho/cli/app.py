"""``sekisho``: the command line. Only what runs is imported: ``commands`` loads a command when it is called."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Final

import typer
from typer._click.exceptions import NoArgsIsHelpError, UsageError
from typer.exceptions import Abort

from sekisho import __version__
from sekisho.cli.commands import Commands
from sekisho.cli.failure import Failure
from sekisho.cli.help import usage

VARIABLE: Final = "_SEKISHO_COMPLETE"
"""Environment variable with which a script of ``sekisho completion`` asks for completions."""

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
    """Run the command line, and return its exit code. An error becomes one line on standard error.

    The code is 1 where a command could not do its task, and 2 where the command line is wrong.
    """
    is_completing = VARIABLE in os.environ
    if is_completing:
        from sekisho.cli.completion import prepare

        prepare()
    try:
        code = app(prog_name="sekisho", standalone_mode=False)
    except NoArgsIsHelpError as help_:
        help_.show()
        return help_.exit_code
    except UsageError as error:
        _show_error(usage(error))
        return error.exit_code
    except Failure as failure:
        # While a line is being typed, what is wrong with it is no error.
        if not is_completing:
            _show_error(str(failure))
        return 1
    except Abort:
        return 1
    except BrokenPipeError:
        # The process that reads the output has closed the pipe.
        sys.stderr.close()
        return 0
    return code if isinstance(code, int) else 0


def _show_error(text: str) -> None:
    from sekisho.cli.output import for_stream

    print(for_stream(f"sekisho: {text}", sys.stderr), file=sys.stderr)  # noqa: T201 - the one place that prints errors
