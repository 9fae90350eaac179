"""How commands answer: JSON for programs, plain lines for people. Nothing else prints.

What devices and peers have sent (topics, payloads, reasons) is shown on a terminal without characters that would steer
it. A program that reads a pipe or file gets lines as they are. JSON is the same text everywhere: what is not printable
is escaped in it, as JSON allows, so that its values are exact on a terminal as well.
"""

from __future__ import annotations

import json
import sys
from typing import Any, TextIO

import typer

from sekisho.printable import printable


def show_json(value: Any) -> None:
    """One JSON document on standard output."""
    typer.echo(_escaped(json.dumps(value, indent=2, ensure_ascii=False)))


def show_json_line(value: Any) -> None:
    """One JSON document in one line."""
    typer.echo(_escaped(json.dumps(value, ensure_ascii=False)))


def show_line(text: str = "") -> None:
    """One line for a person."""
    # Without color=True echo takes escape sequences out of what goes to a pipe: a payload would not be exact.
    typer.echo(for_stream(text, sys.stdout), color=True)


def for_stream(text: str, stream: TextIO | None) -> str:
    """A line as it is written to ``stream`` (None where that is closed): escaped where that is a terminal."""
    return printable(text) if stream is not None and stream.isatty() else text


def _escaped(document: str) -> str:
    # Line feeds are the document's own: json has escaped those of strings.
    if document.isprintable():
        return document
    return "".join(each if each.isprintable() or each == "\n" else json.dumps(each)[1:-1] for each in document)
