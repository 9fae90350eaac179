"""The scripts of ``sekisho completion`` in their shells."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.e2e.command_line import answer, clean_environment, sekisho
from tests.tools import require

BASH = """
eval "$(sekisho completion bash)"
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
# As bash calls it: complete -p prints "complete -o default -F FUNCTION sekisho".
set -- $(complete -p sekisho)
$5 sekisho
printf '%s\\n' "${COMPREPLY[@]}"
"""


def completed(*words: str) -> list[str]:
    path = f"{Path(require('sekisho')).parent}:{clean_environment()['PATH']}"
    done = subprocess.run(
        ["bash", "--norc", "-c", BASH, "bash", *words],
        env=clean_environment() | {"PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("rel",), ["reload"]),
        (("co",), ["config", "completion"]),
        (("config", ""), ["show", "check"]),
        (("up", "--server-k"), ["--server-key"]),
        (("rotate", "status", "--acc"), ["--account"]),
        (("up", "--log-level", "w"), ["warning"]),
        (("ca", "create", "--key-type", "P-3"), ["P-384"]),
        (("up", "--region", "eu-central-"), ["eu-central-1", "eu-central-2"]),
        (("completion", "f"), ["fish"]),
        # The shell itself completes the names of files.
        (("up", "--config", "a"), []),
    ],
)
def test_bash_completes_commands_options_and_values(words: tuple[str, ...], expected: list[str]) -> None:
    assert completed("sekisho", *words) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("sekisho rel", ["reload"]),
        ("sekisho up --server-k", ["--server-key"]),
        ("sekisho up --log-level w", ["warning"]),
    ],
)
def test_fish_completes_commands_options_and_values(line: str, expected: list[str]) -> None:
    path = f"{Path(require('sekisho')).parent}:{clean_environment()['PATH']}"
    done = subprocess.run(
        [require("fish"), "--no-config", "-c", 'sekisho completion fish | source; complete -C "$argv"', line],
        env=clean_environment() | {"PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert [each.partition("\t")[0] for each in done.stdout.splitlines()] == expected


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_is_one_that_it_can_read(shell: str, tmp_path: Path) -> None:
    script = sekisho("completion", shell).stdout
    assert "_SEKISHO_COMPLETE=complete_" + shell in script
    assert answer("completion", shell)["script"] + "\n" == script
    file = tmp_path / "script"
    file.write_text(script)
    subprocess.run([require(shell), "-n", str(file)], check=True)
