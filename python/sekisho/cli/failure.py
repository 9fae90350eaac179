"""How a command says that it could not do as asked."""

from __future__ import annotations


class Failure(Exception):
    """One line for a person: what was wrong, where, and what to do."""
