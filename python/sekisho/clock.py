"""The only source of time in the control plane. Tests pass a clock of their own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol


def utc_now() -> datetime:
    """Return the current time, in UTC."""
    return datetime.now(UTC)


class Clock(Protocol):
    """Returns the current time: UTC, timezone-aware."""

    def __call__(self) -> datetime: ...
