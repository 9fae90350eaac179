"""Markers and tokens of lists: where the next page begins, as opaque text.

AWS IoT has two styles, ``marker``/``pageSize`` and ``nextToken``/``maxResults``; both are this. The text is standard
base64, as the model's pattern of a marker asks.

Source: the Marker, PageSize and MaxResults shapes of the ``iot`` model.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from sekisho.errors import InvalidRequestException
from sekisho.registry.ports import Window

DEFAULT_SIZE: Final = 25
MAX_SIZE: Final = 250

_MARKER: Final = re.compile(rb"after:([0-9]{1,18})")


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
