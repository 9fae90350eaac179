"""The exception of a command that cannot do what was asked."""

from __future__ import annotations


class Failure(Exception):
    """One line for a person: what was wrong, where, and what to do."""
