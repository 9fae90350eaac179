"""The input of a bulk registration: newline-delimited JSON, one device a line, however long the file.

Source: Developer Guide, bulk-provisioning; General Reference, iot-core (256 KB a line).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final, Protocol

MAX_LINE: Final = 256 * 1024
"""Bytes of a line, without its end."""

CHUNK: Final = 64 * 1024
"""Bytes asked for at once."""


class InputError(Exception):
    """The input cannot be used: it is not there, may not be read, or is not what it was. For the task's owner."""


class InputUnavailable(Exception):
    """The input cannot be read at present; it may be later. For the task's owner."""


class Input(Protocol):
    """An open input, read from where it was opened at."""

    @property
    def size(self) -> int:
        """Bytes of the whole."""
        ...

    @property
    def version(self) -> str:
        """Another one means another content."""
        ...

    def read(self, size: int) -> bytes:
        """At least one byte and at most ``size``, or none at the end. Raises InputUnavailable."""
        ...


class Buckets(Protocol):
    """Where inputs are: files by account, bucket and key. What is not the account's is never opened."""

    def open(self, account_id: str, bucket: str, key: str, offset: int) -> AbstractContextManager[Input]:
        """An input, to be read from its byte ``offset`` on. Raises InputError, InputUnavailable or StoreError."""
        ...


@dataclass(frozen=True, slots=True)
class Line:
    """A line of an input."""

    number: int
    """Counted from 1."""
    begin: int
    """Byte of the input that it begins with."""
    end: int
    """Byte of the input that the next begins with."""
    content: bytes | None
    """Without its end; None where it is longer than MAX_LINE."""


class BadLine(Exception):
    """A line that gives no parameters; what is wrong with it."""


def lines(read: Callable[[int], bytes], *, after: int, begin: int) -> Iterator[Line]:
    """The lines that ``read`` has, the last of them with or without an end. Keeps no more than one in memory.

    Args:
        read: As ``Input.read``.
        after: Number of the line before the first.
        begin: Byte of the input that the first begins with.
    """
    number, kept, too_long, end = after, bytearray(), False, begin
    while chunk := read(CHUNK):
        start = 0
        while (newline := chunk.find(b"\n", start)) >= 0:
            kept += chunk[start:newline]
            end += newline + 1 - start
            number += 1
            content = None if too_long or len(kept) > MAX_LINE else bytes(kept)
            yield Line(number, begin, end, content)
            kept.clear()
            too_long, begin, start = False, end, newline + 1
        kept += chunk[start:]
        end += len(chunk) - start
        if len(kept) > MAX_LINE:
            too_long = True
            kept.clear()
    if end > begin:
        yield Line(number + 1, begin, end, None if too_long else bytes(kept))


def parameters(line: Line) -> Mapping[str, str] | None:
    """The parameters of a device, or None where the line is empty.

    Raises BadLine where it is anything but a JSON object whose values are strings.
    """
    if line.content is None:
        raise BadLine(f"the line is longer than {MAX_LINE} bytes")
    if not line.content.strip():
        return None
    try:
        # Editors of Windows begin a file with a mark.
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
