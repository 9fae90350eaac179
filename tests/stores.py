"""Stores for the tests of what uses the store: copies of an empty database. To copy one takes a tenth of the time.

``tests/store`` has the tests of new databases, of migrations, and of what is on disk after a crash.
"""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sekisho.change import Change
from sekisho.store.engines import sqlite_url
from sekisho.store.store import Store

_MEMORY = Path("/dev/shm")
"""A file system in memory on Linux, where a commit waits for no disk."""


@contextmanager
def empty_store(announce: Callable[[Sequence[Change]], None] = lambda _: None) -> Iterator[Store]:
    """Yield an open, empty store on an SQLite file, which is removed at the end."""
    with empty_database() as url, Store(url, announce) as store:
        yield store


@contextmanager
def empty_database() -> Iterator[str]:
    """Yield the URL of an empty SQLite database of the newest schema, which is removed at the end."""
    folder = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="sekisho-store-", dir=folder) as home:
        file = Path(home) / "sekisho.db"
        file.write_bytes(_content())
        yield sqlite_url(file)


def content(store: Store) -> bytes:
    """Return all that is in the files of an SQLite store, its write-ahead log included."""
    file = Path(store.place)
    return b"".join(each.read_bytes() for each in file.parent.glob(f"{file.name}*"))


@functools.cache
def _content() -> bytes:
    """Return the bytes of a database that the store has made and closed."""
    with tempfile.TemporaryDirectory(prefix="sekisho-store-") as home:
        file = Path(home) / "sekisho.db"
        with Store(sqlite_url(file), lambda _: None):
            pass
        assert [each.name for each in Path(home).iterdir()] == [file.name], "the write-ahead log is not in the file"
        return file.read_bytes()
