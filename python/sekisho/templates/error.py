"""What is wrong with a template, and where in it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """A character of a template's text; both numbers count from 1."""

    line: int
    column: int


class TemplateError(Exception):
    """A template that is none, or that cannot be resolved with the values given.

    Args:
        message: What is wrong and what to do.
        place: Where; None where it is not the template that is wrong.
    """

    def __init__(self, message: str, place: Place | None = None) -> None:
        super().__init__(message if place is None else f"line {place.line}, column {place.column}: {message}")
        self.message = message
        self.place = place

    @property
    def line(self) -> int | None:
        """The line, counted from 1."""
        return None if self.place is None else self.place.line
