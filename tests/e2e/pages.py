"""Pages of the documentation: what a reader is told to type, and typing it in bash.

``Error:`` below a command says that it fails; other lines below one are lines that it prints.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.command_line import clean_environment


@dataclass(frozen=True)
class Typed:
    """A command, and what the page shows below it."""

    command: str
    shown: tuple[str, ...]

    @property
    def fails(self) -> bool:
        return any(line.startswith("Error:") for line in self.shown)


def blocks(page: Path, language: str) -> list[str]:
    """Return the contents of the page's blocks of a language."""
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def typed(page: Path) -> Iterator[Typed]:
    """Return the commands of the page in their order: lines of console blocks that begin with ``$``."""
    for block in blocks(page, "console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = part.splitlines()
            end = next(number for number, line in enumerate(lines) if not line.endswith("\\")) + 1
            yield Typed("\n".join(lines[:end]), tuple(lines[end:]))


def typed_lines(commands: Sequence[Typed], replacements: Mapping[str, str]) -> list[str]:
    """Return a script that types the commands, with ports and folders of the test in place of those of the page."""
    script = []
    for each in commands:
        command = each.command
        for of_page, of_test in replacements.items():
            command = command.replace(of_page, of_test)
        script.append(f"if {command}\nthen echo 'did not fail' >&2; exit 1; fi" if each.fails else command)
    return script


def in_bash(script: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the lines in bash, which stops at the first that fails. Standard error is part of the output."""
    return subprocess.run(
        ["bash", "-x", "-c", "\n".join(["set -e", *script])],
        cwd=folder,
        env=clean_environment() | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=180,
    )
