"""The error of a template, with its position."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """The position of a character in a template's text; both numbers count from 1."""

    line: int
    column: int


class TemplateError(Exception):
    """A text is not a template, or cannot be resolved with the given values.

    Args:
        message: What is wrong and what to do.
        place: The position; None where the cause is not in the template.
    """

    def __init__(self, message: str, place: Place | None = None) -> None:
        super().__init__(message if place is None else f"line {place.line}, column {place.column}: {message}")
        self.message = message
        self.place = place

    @property
    def line(self) -> int | None:
        """The line, counted from 1, or None."""
        return None if self.place is None else self.place.line
