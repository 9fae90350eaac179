"""Prints the output of commands: JSON for programs, plain lines for people. No other module prints.

Lines contain text that devices and peers sent (topics, payloads, reasons). On a terminal, characters that are not
printable are escaped, because they could control the terminal; a pipe or a file gets lines unchanged. JSON is the same
text everywhere: it escapes such characters as JSON allows, so its values are exact on a terminal too.
"""

from __future__ import annotations

import json
import sys
from typing import Any, TextIO

import typer

from sekisho.printable import printable


def show_json(value: Any) -> None:
    """Print one JSON document to standard output."""
    typer.echo(_escaped(json.dumps(value, indent=2, ensure_ascii=False)))


def show_json_line(value: Any) -> None:
    """Print one JSON document in one line."""
    typer.echo(_escaped(json.dumps(value, ensure_ascii=False)))


def show_line(text: str = "") -> None:
    """Print one line of text."""
    # Without color=True echo removes escape sequences from output to a pipe: a payload would not be exact.
    typer.echo(for_stream(text, sys.stdout), color=True)


def for_stream(text: str, stream: TextIO | None) -> str:
    """Return a line as it is written to ``stream`` (None: closed), escaped where that is a terminal."""
    return printable(text) if stream is not None and stream.isatty() else text


def _escaped(document: str) -> str:
    # Line feeds are part of the document's layout: json has escaped those in strings.
    if document.isprintable():
        return document
    return "".join(each if each.isprintable() or each == "\n" else json.dumps(each)[1:-1] for each in document)
