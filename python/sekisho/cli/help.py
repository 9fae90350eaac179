"""Help texts: readable from 40 columns, nothing cut, examples at the end."""

from __future__ import annotations

import shutil
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from typer._click.core import Context
from typer._click.exceptions import NoSuchOption, UsageError
from typer._click.formatting import HelpFormatter
from typer.core import TyperCommand, TyperGroup

from sekisho.cli.examples import EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from typer._click import Command as AnyCommand

MIN_COLUMNS: Final = 32
MAX_COLUMNS: Final = 100

_NEAR: Final = 0.5
"""Similarity from which a name is suggested (``difflib.SequenceMatcher.ratio``)."""


class Formatter(HelpFormatter):
    """Writes help as wide as the terminal. In a narrow one, long names have lines of their own."""

    def __init__(self, *_: object, **__: object) -> None:
        columns = shutil.get_terminal_size().columns
        super().__init__(width=max(MIN_COLUMNS, min(columns, MAX_COLUMNS) - 2))

    def write_dl(self, rows: Sequence[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Write names with their meanings."""
        super().write_dl(rows, min(col_max, self.width // 3), col_spacing)


class HelpContext(Context):
    """Formats help with ``Formatter``."""

    formatter_class = Formatter


class Command(TyperCommand):
    """A command whose help ends with its examples."""

    context_class = HelpContext

    def format_epilog(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the examples."""
        write_examples(ctx, formatter)


class Group(TyperGroup):
    """A group of commands. An unknown one is refused with the nearest."""

    context_class = HelpContext

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write every command with the first paragraph of its help."""
        found = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        rows = [(name, first_paragraph(command)) for name, command in found if command is not None]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def format_epilog(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the examples."""
        write_examples(ctx, formatter)

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, AnyCommand | None, list[str]]:
        """Return the command that the first argument names. Raises UsageError."""
        if self.get_command(ctx, args[0]) is None and not ctx.resilient_parsing and not args[0].startswith("-"):
            raise UsageError(f"there is no command {args[0]!r}{nearest(args[0], self.list_commands(ctx))}", ctx)
        return super().resolve_command(ctx, args)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a question that names the most similar of ``known``, after a colon; empty where none is similar."""
    found = get_close_matches(name, list(known), n=1, cutoff=_NEAR)
    return f": did you mean {found[0]}?" if found else ""


def usage(error: UsageError) -> str:
    """Return what is wrong with a command line, and what to do, in one line."""
    ctx = error.ctx
    said = error.format_message().strip().rstrip(".")
    if isinstance(error, NoSuchOption):
        known = [] if ctx is None else [name for each in ctx.command.get_params(ctx) for name in each.opts]
        said = f"there is no option {error.option_name}{nearest(error.option_name, known)}"
    said = f"{said[:1].lower()}{said[1:]}"
    if ctx is None:
        return said
    help_option = max(ctx.help_option_names, key=len)
    to_do = f"'{ctx.command_path} {help_option}' to see what there is"
    return f"{said} Type {to_do}" if said.endswith("?") else f"{said}: type {to_do}"


def first_paragraph(command: AnyCommand) -> str:
    """Return the first paragraph of a command's help in one line."""
    return " ".join((command.help or "").partition("\n\n")[0].split())


def path_of(ctx: Context) -> str:
    """Return the words that call a command, without the program: ``account create``."""
    words: list[str] = []
    at: Any = ctx
    while at.parent is not None:
        words.insert(0, at.info_name)
        at = at.parent
    return " ".join(words)


def write_examples(ctx: Context, formatter: HelpFormatter) -> None:
    """Write the examples of a command, each in a line that can be copied whole."""
    examples = EXAMPLES.get(path_of(ctx), ())
    if examples:
        with formatter.section("Examples"):
            for line in examples:
                formatter.write(f"{'':>{formatter.current_indent}}{line}\n")
