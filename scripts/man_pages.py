"""Writes man pages from the commands: ``python -m scripts.man_pages FOLDER`` (``make man``).

FOLDER gets ``sekisho.1`` and one page for each command or group of commands, in the macros of man(7).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from typer.main import get_command

from sekisho import __version__
from sekisho.cli.app import app
from sekisho.cli.commands import SECTIONS, SUMMARIES
from sekisho.cli.examples import EXAMPLES
from sekisho.cli.status import NO_ANSWER, NOT_WELL

_ESCAPES: Final = {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti"}
"""Characters that roff changes, the backslash first, and how they are written (groff_char(7))."""

_EXIT_STATUS: Final = {
    "0": "The command did what was asked.",
    "1": "It could not. One line on standard error says why, and what to do.",
    "2": "The command line is wrong.",
}
_EXIT_STATUS_OF_STATUS: Final = {
    "0": "Every part of the server is ok.",
    str(NO_ANSWER): "No server answers.",
    "2": "The command line is wrong.",
    str(NOT_WELL): "A server answers, and a part of it is failing.",
}


def pages(date: str) -> Mapping[str, str]:
    """Return the pages by the name of their file.

    Args:
        date: Of the pages, as 2026-11-28.
    """
    top: Any = get_command(app)
    written = {"sekisho.1": _overview(top, date)}
    for name in SUMMARIES:
        written[f"sekisho-{name}.1"] = _page(name, top.commands[name], date)
    return written


def _overview(top: Any, date: str) -> str:
    lines = [*_head("sekisho", top.help, date), ".SH SYNOPSIS", ".B sekisho", r"[\-\-version] [\-\-help]"]
    lines += [r"\fICOMMAND\fR [\fIARGS\fR]...", ".SH DESCRIPTION", _text(top.help), ".SH COMMANDS"]
    for title, commands in SECTIONS.items():
        lines.append(f".SS {_text(title)}")
        for name, summary in commands.items():
            lines += [".TP", rf"\fBsekisho\-{_text(name)}\fR(1)", _text(summary)]
    lines += [
        ".SH ENVIRONMENT", ".TP", r"\fBSEKISHO_DATA\fR", r"The data folder; without it, \fI~/.sekisho\fR.",
        ".TP", r"\fBSEKISHO_CONFIG\fR", r"The settings file; without it, \fIsekisho.toml\fR in the data folder.",
        ".TP", r"\fBSEKISHO_\fR\fISETTING\fR", r"A setting, its name in capitals. \fBsekisho config show\fR lists all.",
    ]  # fmt: skip
    return _joined([*lines, *_exit_status(_EXIT_STATUS)])


def _page(name: str, command: Any, date: str) -> str:
    inner: Mapping[str, Any] = getattr(command, "commands", {})
    lines = [*_head(f"sekisho-{name}", SUMMARIES[name], date), ".SH SYNOPSIS"]
    called = {f"{name} {word}": each for word, each in inner.items()} or {name: command}
    for path, each in called.items():
        lines += [f".B sekisho {_text(path)}", _synopsis(each), ".br"]
    lines.pop()
    lines += [".SH DESCRIPTION", *_paragraphs(command.help)]
    if inner:
        lines.append(".SH COMMANDS")
        for word, each in inner.items():
            lines += [f".SS sekisho {_text(name)} {_text(word)}", *_paragraphs(each.help), *_options(each)]
            lines += [".P", "Examples:", *_examples(f"{name} {word}")]
    else:
        lines += [".SH OPTIONS", *_options(command), ".SH EXAMPLES", *_examples(name)]
    lines += [*_exit_status(_EXIT_STATUS_OF_STATUS if name == "status" else _EXIT_STATUS)]
    return _joined([*lines, ".SH SEE ALSO", ".BR sekisho (1)"])


def _head(name: str, summary: str, date: str) -> list[str]:
    return [
        f'.TH {_text(name.upper())} 1 {date} "Sekisho {__version__}" "Sekisho"',
        ".SH NAME",
        rf"{_text(name)} \- {_text(summary).removesuffix('.')}",
    ]


def _synopsis(command: Any) -> str:
    words = [r"[\fIOPTIONS\fR]"]
    for each in command.params:
        if each.param_type_name == "argument":
            name = rf"\fI{_text(_argument(each))}\fR"
            words.append(name if each.required else f"[{name}]")
    return " ".join(words)


def _options(command: Any) -> Iterator[str]:
    for each in sorted(command.params, key=lambda each: each.param_type_name):
        if each.param_type_name == "argument":
            yield from (".TP", rf"\fI{_text(_argument(each))}\fR")
        else:
            names = ", ".join(rf"\fB{_text(name)}\fR" for name in sorted(each.opts, key=len))
            value = "" if each.is_flag else rf" \fI{_text(each.metavar or each.name.upper().replace('_', '-'))}\fR"
            yield from (".TP", names + value)
        meaning = each.help or ""
        if each.required:
            meaning += " Required."
        elif not getattr(each, "is_flag", False) and each.default not in (None, "") and "[default" not in meaning:
            meaning += f" [default: {each.default}]"
        yield _text(meaning)


def _argument(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper()).strip("[]{}")


def _examples(path: str) -> Iterator[str]:
    yield from (".RS 4", ".nf")
    yield from (_text(line) for line in EXAMPLES[path])
    yield from (".fi", ".RE")


def _exit_status(meanings: Mapping[str, str]) -> Iterator[str]:
    yield ".SH EXIT STATUS"
    for code, meaning in meanings.items():
        yield from (".TP", rf"\fB{code}\fR", _text(meaning))


def _paragraphs(text: str | None) -> Iterator[str]:
    for number, paragraph in enumerate((text or "").split("\n\n")):
        if number:
            yield ".P"
        yield _text(paragraph)


def _text(text: str) -> str:
    r"""Return a text in one line in which nothing has a meaning to roff. A hyphen is \-, which can be copied."""
    line = " ".join(text.split())
    for character, escape in _ESCAPES.items():
        line = line.replace(character, escape)
    return rf"\&{line}" if line.startswith(".") else line


def _joined(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"


def write(folder: Path) -> None:
    """Write every page. SOURCE_DATE_EPOCH, where it is set, is their date. Raises OSError."""
    seconds = os.environ.get("SOURCE_DATE_EPOCH")
    now = datetime.fromtimestamp(int(seconds), UTC) if seconds else datetime.now(UTC)
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in pages(now.date().isoformat()).items():
        (folder / name).write_text(page, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
