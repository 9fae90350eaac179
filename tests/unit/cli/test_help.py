"""Help, and errors of a wrong command line."""

from __future__ import annotations

import shlex
from typing import Any
from unittest import mock

import pytest

from scripts import reference_pages
from sekisho.cli.commands import SECTIONS
from sekisho.cli.examples import EXAMPLES
from tests.e2e.command_line import clean_environment, sekisho

COMMANDS = {
    path.partition(" ")[2]: command
    for path, command in reference_pages.commands()
    if not getattr(command, "commands", None)
}


def test_every_command_has_an_example_of_it() -> None:
    assert set(EXAMPLES) == set(COMMANDS)
    for path, examples in EXAMPLES.items():
        assert all(f"sekisho {path}" in line for line in examples)


@pytest.mark.parametrize("path", COMMANDS)
def test_the_command_line_of_every_example_is_right(path: str) -> None:
    for line in EXAMPLES[path]:
        words = shlex.split(line.partition(" && ")[0].partition(" > ")[0].replace('eval "$(', "").replace(')"', ""))
        arguments = words[words.index("sekisho") + 1 + len(path.split()) :]
        # Parsing raises UsageError.
        assert COMMANDS[path].make_context(path, arguments).params


@pytest.mark.parametrize("columns", [40, 60, 200])
def test_help_fits_the_terminal_and_nothing_is_cut(columns: int) -> None:
    for path, command in {"": None, "config": None, "rotate": None, **COMMANDS}.items():
        shown = help_of(path, columns)
        above, _, below = shown.partition("\nExamples:\n")
        assert max(map(len, above.splitlines())) <= columns, path
        assert "..." not in above.replace("ARGS]...", ""), path
        # An example is copied whole, however narrow the terminal is.
        assert [line.strip() for line in below.splitlines()] == list(EXAMPLES.get(path, ()))
        if command is not None:
            assert flat(command.help) in flat(above), path


def test_the_commands_are_in_sections() -> None:
    shown = help_of("", 100)
    assert [line[:-1] for line in shown.splitlines() if line[:-1] in SECTIONS] == list(SECTIONS)
    for commands in SECTIONS.values():
        for name, summary in commands.items():
            assert f"{name} {summary}" in flat(shown)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("upp", "there is no command 'upp': did you mean up? Type 'sekisho --help'"),
        ("account lst", "there is no command 'lst': did you mean list? Type 'sekisho account --help'"),
        ("up --mqttport 1", "there is no option --mqttport: did you mean --mqtt-port? Type 'sekisho up --help'"),
        ("qqqq", "there is no command 'qqqq': type 'sekisho --help'"),
        ("up --api-port http", "invalid value for '--api-port': 'http' is not a valid int"),
        ("ca create --days 0", "invalid value for '--days': 0 is not in the range"),
        ("device create --ca a --ca-key b", "missing argument 'name': type 'sekisho device create --help'"),
        ("status now", "got unexpected extra argument"),
        ("completion tcsh", "there is no completion for 'tcsh': choose one of bash, zsh, fish"),
    ],
)
def test_an_error_is_one_line_with_what_to_do(arguments: str, expected: str) -> None:
    done = sekisho(*arguments.split())
    assert done.returncode == (1 if arguments.startswith("completion") else 2)
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith("sekisho: ")
    assert expected in line


def help_of(path: str, columns: int) -> str:
    environment = {**clean_environment(), "COLUMNS": str(columns)}
    with mock.patch("tests.e2e.command_line.clean_environment", return_value=environment):
        return sekisho(*path.split(), "--help").stdout


def flat(text: Any) -> str:
    return " ".join(text.split())
