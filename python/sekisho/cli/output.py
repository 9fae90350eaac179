"""How commands answer: JSON for programs, plain lines for people. Nothing else prints."""

from __future__ import annotations

import json
from typing import Any

import typer


def show_json(value: Any) -> None:
    """One JSON document on standard output."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def show_line(text: str = "") -> None:
    """One line for a person."""
    typer.echo(text)
