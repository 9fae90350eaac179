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
from unittest import mock

from sqlalchemy import make_url

from sekisho.change import Change
from sekisho.store.engines import SQLiteEngines, sqlite_url
from sekisho.store.store import Store

_MEMORY = Path("/dev/shm")
"""A file system in memory on Linux, where a commit waits for no disk."""

_folders: list[tempfile.TemporaryDirectory[str]] = []
"""Removed when the process ends."""

_unused: list[SQLiteEngines] = []
"""Engines of tests that are over. An engine keeps the statements that it has compiled, which takes longer than to run
them."""


@contextmanager
def empty_store(announce: Callable[[Sequence[Change]], None] = lambda _: None) -> Iterator[Store]:
    """Yield an open, empty store on an SQLite file, which is the caller's until the end of the block."""
    engines = _unused.pop() if _unused else SQLiteEngines(make_url(sqlite_url(_new_folder() / "sekisho.db")))
    engines.file.write_bytes(_empty_database())
    with mock.patch("sekisho.store.store.engines", return_value=engines):
        store = Store(sqlite_url(engines.file), announce)
    with store:
        yield store
    # The last connection to be closed has removed the write-ahead log. A thread may still have one.
    if [each.name for each in engines.file.parent.iterdir()] == [engines.file.name]:
        _unused.append(engines)


def content(store: Store) -> bytes:
    """Return all that is in the files of an SQLite store, its write-ahead log included."""
    file = Path(store.place)
    return b"".join(each.read_bytes() for each in file.parent.glob(f"{file.name}*"))


def _new_folder() -> Path:
    folder = tempfile.TemporaryDirectory(prefix="sekisho-store-", dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None)
    _folders.append(folder)
    return Path(folder.name)


@functools.cache
def _empty_database() -> bytes:
    """Return the bytes of a database that the store has made and closed."""
    file = _new_folder() / "sekisho.db"
    with Store(sqlite_url(file), lambda _: None):
        pass
    assert [each.name for each in file.parent.iterdir()] == [file.name], "the write-ahead log is not in the file"
    return file.read_bytes()
