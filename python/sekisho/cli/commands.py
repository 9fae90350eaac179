"""The commands of ``sekisho`` by name. A command's module is imported when that command is run or explained.

Each command has a module of its name here. A group of commands is a ``typer.Typer`` called ``app`` in it; any other
command is a function of the module's name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import typer
from typer._click.core import Command
from typer.main import get_group

from sekisho.cli.help import Command as ExplainedCommand
from sekisho.cli.help import Group

if TYPE_CHECKING:
    from typer._click import Context, HelpFormatter
    from typer._click.shell_completion import CompletionItem

SECTIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "Server": {
        "up": "Start a server: the AWS IoT APIs over HTTP, and MQTT over mutual TLS. Ctrl-C ends it.",
        "status": "Exit 0 when every part of the server is ok, 1 when no server answers, 3 when a part is failing.",
        "reload": "Read the settings again: certificates, handlers, log and limits. Connections and sessions go on.",
        "config": "The settings of the server: show them, check them.",
        "env": 'Print exports for a shell: eval "$(sekisho env)".',
        "api": "The AWS IoT APIs that Sekisho implements.",
        "completion": "Print a script with which a shell completes commands, options and values.",
    },
    "Devices": {
        "pub": "Publish one message over mutual TLS.",
        "sub": "Print each message that arrives: topic and payload, or one JSON object a line with --json.",
        "ca": "A certificate authority of your own.",
        "device": "Device keys and certificates, signed by your own CA.",
    },
    "Accounts and fleet": {
        "account": "Accounts and their access keys.",
        "handlers": "Handlers: what is called where AWS IoT calls a Lambda function.",
        "rotate": "Replace certificates; the old ones work until the new ones have connected.",
    },
}
"""First paragraph of each command's help, in the order of ``sekisho --help``, which imports no command for it."""

SUMMARIES: Final = {name: summary for section in SECTIONS.values() for name, summary in section.items()}


class Commands(Group):
    """The group of all commands, each loaded when it is looked up."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _Loaded()

    def list_commands(self, ctx: Context) -> list[str]:
        """Return the names of all commands, and load none."""
        del ctx
        return list(SUMMARIES)

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        """Load a command; None where there is none of this name."""
        del ctx
        return self.commands.get(cmd_name)

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the commands for ``--help``, by section."""
        del ctx
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(list(commands.items()))

    def shell_complete(self, ctx: Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands, or options, that begin with ``incomplete``."""
        from typer._click.shell_completion import CompletionItem

        options = Command.shell_complete(self, ctx, incomplete)
        names = [CompletionItem(name, help=text) for name, text in SUMMARIES.items() if name.startswith(incomplete)]
        return [*names, *options]


class _Loaded(MutableMapping[str, "Command"]):
    """Commands by name; looking one up loads it."""

    def __init__(self) -> None:
        self._loaded: dict[str, Command] = {}

    def __getitem__(self, name: str) -> Command:
        if name not in self._loaded and name in SUMMARIES:
            self._loaded[name] = _load(name)
        return self._loaded[name]

    def __setitem__(self, name: str, command: Command) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(SUMMARIES)

    def __len__(self) -> int:
        return len(SUMMARIES)


def _load(name: str) -> Command:
    module = import_module(f"{__package__}.{name}")
    group = typer.Typer(rich_markup_mode=None)
    if hasattr(module, "app"):
        for each in module.app.registered_commands:
            each.cls = ExplainedCommand
        group.add_typer(module.app, name=name, cls=Group)
    else:
        group.command(name, cls=ExplainedCommand)(getattr(module, name))
    return get_group(group).commands[name]
