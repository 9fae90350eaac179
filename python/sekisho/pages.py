"""Lists in parts: what part is asked for, and where the next begins, as opaque text.

AWS IoT has two styles, ``marker``/``pageSize`` and ``nextToken``/``maxResults``; both are this. The text is standard
base64, as the model's pattern of a marker asks.

Source: the Marker, PageSize and MaxResults shapes of the ``iot`` model.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from sekisho.errors import InvalidRequestException

DEFAULT_SIZE: Final = 25
MAX_SIZE: Final = 250

_MARKER: Final = re.compile(rb"after:([0-9]{1,18})")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a list is asked for. Order is the order of creation."""

    limit: int
    after: int | None = None
    """``Slice.next_after`` of the slice before, or None from the start."""
    ascending: bool = True


@dataclass(frozen=True, slots=True)
class Slice(Generic[T]):
    """Part of a list, and where the next part begins (None: this was the last)."""

    items: Sequence[T]
    next_after: int | None


def window_of(items: Sequence[T], window: Window) -> Slice[T]:
    """The part of a short list that is at hand as a whole. ``Slice.next_after`` is then how many came before."""
    ordered = items if window.ascending else items[::-1]
    start = window.after or 0
    end = start + window.limit
    return Slice(ordered[start:end], end if end < len(ordered) else None)


def window(marker: str | None, size: int | None, *, ascending: bool = True) -> Window:
    """The part of a list that a request asks for.

    Args:
        marker: What ``next_marker`` gave for the page before; None or empty begins at the start.
        size: Items wanted, 1 to 250; None is 25.
        ascending: Oldest first. A marker belongs to the order in which it was given.

    Raises:
        InvalidRequestException: Not a marker of ours, or a size out of range.
    """
    limit = DEFAULT_SIZE if size is None else size
    if not 1 <= limit <= MAX_SIZE:
        raise InvalidRequestException(f"A page has 1 to {MAX_SIZE} items, not {limit}.")
    return Window(limit=limit, after=_position(marker) if marker else None, ascending=ascending)


def next_marker(next_after: int | None) -> str | None:
    """The marker of the next page, from ``Slice.next_after``; None on the last."""
    return None if next_after is None else base64.b64encode(b"after:%d" % next_after).decode()


def _position(marker: str) -> int:
    try:
        match = _MARKER.fullmatch(base64.b64decode(marker, validate=True))
    except (binascii.Error, ValueError):
        match = None
    if match is None:
        raise InvalidRequestException(
            "The marker or nextToken was not given by this service. Use the one of the page before, or none to begin "
            "at the start."
        )
    return int(match[1])
