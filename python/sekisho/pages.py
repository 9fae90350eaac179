"""Pages of lists: which page a request asks for, and the marker of the next one, which is opaque to clients.

AWS IoT has two styles, ``marker``/``pageSize`` and ``nextToken``/``maxResults``; both are served by this module. A
marker is standard base64, which the model's pattern of a marker requires.

Source: the Marker, PageSize and MaxResults shapes of the ``iot`` model.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from sekisho.errors import InvalidRequestException

DEFAULT_SIZE: Final = 25
MAX_SIZE: Final = 250

_MARKER: Final = re.compile(rb"after:([0-9]{1,18})")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Window:
    """The page of a list that a request asks for. The list is in the order of creation."""

    limit: int
    after: int | None = None
    """``Slice.next_after`` of the previous page; None begins at the start."""
    ascending: bool = True


@dataclass(frozen=True, slots=True)
class Slice(Generic[T]):
    """A page of a list, and where the next page begins (None: this is the last)."""

    items: Sequence[T]
    next_after: int | None


def window_of(items: Sequence[T], window: Window) -> Slice[T]:
    """Return a page of a list that is complete in memory. ``Slice.next_after`` is the number of items up to its end."""
    ordered = items if window.ascending else items[::-1]
    start = window.after or 0
    end = start + window.limit
    return Slice(ordered[start:end], end if end < len(ordered) else None)


def window(marker: str | None, size: int | None, *, ascending: bool = True) -> Window:
    """Return the page that a request asks for.

    Args:
        marker: What ``next_marker`` returned for the previous page; None or empty begins at the start.
        size: Items wanted, 1 to 250; None is 25.
        ascending: Whether the oldest item is first. A marker is valid for the order in which it was given.

    Raises:
        InvalidRequestException: ``next_marker`` did not make the marker, or ``size`` is out of range.
    """
    limit = DEFAULT_SIZE if size is None else size
    if not 1 <= limit <= MAX_SIZE:
        raise InvalidRequestException(f"A page has 1 to {MAX_SIZE} items, not {limit}.")
    return Window(limit=limit, after=_position(marker) if marker else None, ascending=ascending)


def listed(page: Slice[T], shown: Callable[[T], str]) -> str:
    """Return the items of a page for a message, with ``and more`` if it is not the last one."""
    return f"{', '.join(map(shown, page.items))}{'' if page.next_after is None else ' and more'}"


def next_marker(next_after: int | None) -> str | None:
    """Return the marker of the next page, from ``Slice.next_after``; None on the last."""
    return None if next_after is None else base64.b64encode(b"after:%d" % next_after).decode()


def _position(marker: str) -> int:
    try:
        match = _MARKER.fullmatch(base64.b64decode(marker, validate=True))
    except (binascii.Error, ValueError):
        match = None
    if match is None:
        raise InvalidRequestException(
            "The marker or nextToken is not one that this service returned. Use that of the previous page, or none to "
            "begin at the start."
        )
    return int(match[1])
