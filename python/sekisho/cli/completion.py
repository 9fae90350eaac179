"""``sekisho completion``: scripts with which bash, zsh and fish complete commands, options and values."""

from __future__ import annotations

import sys
from typing import Annotated, Final

import typer

from sekisho.cli.options import Json, choices

SHELLS: Final = ("bash", "zsh", "fish")


def completion(
    shell: Annotated[str, typer.Argument(metavar="SHELL", help="bash, zsh or fish.", autocompletion=choices(*SHELLS))],
    as_json: Json = False,
) -> None:
    """Print a script with which a shell completes commands, options and values."""
    from typer._completion_shared import get_completion_script

    from sekisho.cli.app import VARIABLE
    from sekisho.cli.failure import Failure
    from sekisho.cli.output import show_json, show_line

    if shell not in SHELLS:
        raise Failure(f"there is no completion for {shell!r}: choose one of {', '.join(SHELLS)}")
    script = get_completion_script(prog_name="sekisho", complete_var=VARIABLE, shell=shell)
    if as_json:
        show_json({"shell": shell, "script": script})
    else:
        show_line(script)


def prepare() -> None:
    """Let Typer answer what a script asks for. Call it only in a process that does nothing else."""
    from typer._completion_classes import completion_init

    # Typer formats descriptions with rich where it can be imported, and its import takes longer than the rest. With
    # None in its place, there is none (Python reference, "The module cache").
    sys.modules["rich"] = None  # type: ignore[assignment]
    completion_init()
