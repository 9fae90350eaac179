"""The only source of time in the control plane; tests hand in one of their own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol


def utc_now() -> datetime:
    """Now, in UTC."""
    return datetime.now(UTC)


class Clock(Protocol):
    """The only source of time. UTC, timezone-aware."""

    def __call__(self) -> datetime: ...
