"""The input of a bulk registration: newline-delimited JSON, one device per line, of any size.

Source: Developer Guide, bulk-provisioning; General Reference, iot-core (256 KB per line).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final, Protocol

MAX_LINE_BYTES: Final = 256 * 1024
"""Bytes of a line, without the newline."""

CHUNK_BYTES: Final = 64 * 1024
"""Bytes of one read."""


class InputError(Exception):
    """The input does not exist, must not be read, or was changed. The message is for the account."""


class InputUnavailable(Exception):
    """The input cannot be read at present. The message is for the account."""


class Input(Protocol):
    """An open input. It is read from the offset at which it was opened."""

    @property
    def size(self) -> int:
        """The size of the whole input in bytes."""
        ...

    @property
    def version(self) -> str:
        """An opaque text, which changes when the content changes."""
        ...

    def read(self, size: int) -> bytes:
        """Read from 1 to ``size`` bytes; none at the end. Raises InputUnavailable."""
        ...


class Buckets(Protocol):
    """Inputs by account, bucket and key. Inputs of other accounts are not opened."""

    def open(self, account_id: str, bucket: str, key: str, offset: int) -> AbstractContextManager[Input]:
        """Open an input at a byte offset. Raises InputError, InputUnavailable or StoreError."""
        ...


@dataclass(frozen=True, slots=True)
class Line:
    """A line of an input."""

    number: int
    """Counted from 1."""
    begin: int
    """The offset of its first byte in the input."""
    end: int
    """The offset of the next line."""
    content: bytes | None
    """The bytes without the newline; None where they are more than MAX_LINE_BYTES."""


class BadLine(Exception):
    """A line is not valid. The message says why."""


def lines(read: Callable[[int], bytes], *, after: int, begin: int) -> Iterator[Line]:
    """Yield the lines of an input, the last one with or without a newline. Keeps at most one in memory.

    Args:
        read: ``Input.read``.
        after: The number of the line before the first one.
        begin: The offset of the first line.
    """
    number, kept, too_long, end = after, bytearray(), False, begin
    while chunk := read(CHUNK_BYTES):
        start = 0
        while (newline := chunk.find(b"\n", start)) >= 0:
            kept += chunk[start:newline]
            end += newline + 1 - start
            number += 1
            content = None if too_long or len(kept) > MAX_LINE_BYTES else bytes(kept)
            yield Line(number, begin, end, content)
            kept.clear()
            too_long, begin, start = False, end, newline + 1
        kept += chunk[start:]
        end += len(chunk) - start
        if len(kept) > MAX_LINE_BYTES:
            too_long = True
            kept.clear()
    if end > begin:
        yield Line(number + 1, begin, end, None if too_long else bytes(kept))


def parameters(line: Line) -> Mapping[str, str] | None:
    """Return the parameters of a device; None where the line is empty.

    Raises BadLine where the line is not a JSON object whose values are strings.
    """
    if line.content is None:
        raise BadLine(f"the line is longer than {MAX_LINE_BYTES} bytes")
    if not line.content.strip():
        return None
    try:
        # Some editors begin a file with a byte order mark.
        text = line.content.decode("utf-8-sig" if line.number == 1 else "utf-8")
        value = json.loads(text, object_pairs_hook=_object)
    except UnicodeDecodeError as error:
        raise BadLine(f"the line is not UTF-8 (its byte {error.start + 1})") from None
    except RecursionError:
        raise BadLine("the line is nested too deep") from None
    except json.JSONDecodeError as error:
        raise BadLine(f"the line is not JSON: {error.msg} (its character {error.colno})") from None
    except ValueError:
        raise BadLine("the line has a number that cannot be read") from None
    if not isinstance(value, dict):
        raise BadLine('the line is not a JSON object such as {"ThingName": "foo", "SerialNumber": "123"}')
    for name, content in value.items():
        if not isinstance(content, str):
            raise BadLine(f"the value of {name!r} is not a string: write {json.dumps(str(content))[:64]}")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadLine(f"the line has {twice[:64]!r} twice")
    return found
