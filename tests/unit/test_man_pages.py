"""Man pages: one for each command, with everything that its help has, without warnings of the formatters."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from scripts import man_pages, reference_pages
from sekisho.cli.commands import SUMMARIES
from sekisho.cli.examples import EXAMPLES
from tests.tools import require

PAGES = man_pages.pages("2026-11-28")
WIDE = os.environ | {"MANWIDTH": "1000", "LC_ALL": "C.UTF-8", "MANPAGER": "cat"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    written = tmp_path_factory.mktemp("man")
    man_pages.write(written)
    return written


def formatted(file: Path) -> tuple[str, str]:
    done = subprocess.run(
        [require("man"), "--warnings", "--local-file", str(file)], env=WIDE, capture_output=True, text=True, check=True
    )
    return done.stdout, done.stderr


def test_every_command_and_group_has_a_page(folder: Path) -> None:
    assert {file.name for file in folder.iterdir()} == {"sekisho.1", *(f"sekisho-{name}.1" for name in SUMMARIES)}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_no_warning_of_a_formatter(folder: Path, name: str) -> None:
    assert formatted(folder / name)[1] == ""
    done = subprocess.run(
        [require("mandoc"), "-T", "lint", "-W", "warning", str(folder / name)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", SUMMARIES)
def test_a_page_has_every_option_and_example_of_its_commands(folder: Path, name: str) -> None:
    shown = formatted(folder / f"sekisho-{name}.1")[0]
    lines = {line.strip() for line in shown.splitlines()}
    for path, command in reference_pages.commands():
        words = path.split()[1:]
        if words[:1] != [name] or getattr(command, "commands", None):
            continue
        assert set(EXAMPLES[" ".join(words)]) <= lines
        for option in command.params:
            # With the hyphens of the keyboard, so that it can be searched and copied.
            assert all(each in shown for each in option.opts if option.param_type_name == "option")
            assert " ".join((option.help or "").split()) in " ".join(shown.split())


def test_the_first_page_has_every_command(folder: Path) -> None:
    shown = formatted(folder / "sekisho.1")[0]
    for name, summary in SUMMARIES.items():
        assert f"sekisho-{name}(1)" in shown
        assert summary in " ".join(shown.split())


def test_a_line_of_text_is_no_request_of_roff() -> None:
    page = man_pages.pages("2026-11-28")["sekisho.1"]
    requests = {line.split()[0] for line in page.splitlines() if line.startswith((".", "'"))}
    assert requests <= {".TH", ".SH", ".SS", ".TP", ".B"}
