"""The exception of a command that cannot do its task."""

from __future__ import annotations


class Failure(Exception):
    """One line for the user: what was wrong, where, and what to do."""
