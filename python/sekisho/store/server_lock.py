"""The server lock: at most one server uses a database. Commands beside the server do not take it.

On SQLite it is a lock on a file beside the database, on PostgreSQL an advisory lock (``session_lock``).
"""

from __future__ import annotations

import fcntl
import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sekisho.store.errors import OtherServer, StoreUnavailable

_MAX_HOST_CHARACTERS: Final = 30
"""Characters of the host's name in a holder's name: PostgreSQL cuts an application_name after 63 bytes."""


@dataclass(frozen=True, slots=True)
class Holder:
    """The server that holds the lock of a database."""

    name: str
    """As ``own_name`` returns it."""
    since: datetime | None
    """When it took the lock; None where that is not known."""


def own_name() -> str:
    """Return this server's name for others: ``sekisho server, process 4711 on factory1``."""
    host = socket.gethostname().encode("ascii", "replace").decode()[:_MAX_HOST_CHARACTERS]
    return f"sekisho server, process {os.getpid()} on {host}"


def refusal(place: str, holder: Holder | None) -> OtherServer:
    """Return the error that names ``holder``; None: it is not known."""
    named = "" if holder is None else f": {holder.name}"
    since = f", since {holder.since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if holder and holder.since else ""
    return OtherServer(
        f"another server uses {place}{named}{since}. A database has one server: stop that one first, or give this one "
        "a database of its own."
    )


class FileLock:
    """The lock of an SQLite database: flock on ``<file>-server``. It ends with the process, however that ends.

    It is not on the database itself: closing another descriptor of that file would release SQLite's locks (fcntl(2)).
    """

    def __init__(self, database: Path, place: str) -> None:
        self._database = database
        self._place = place
        self._descriptor: int | None = None

    def take(self) -> None:
        """Take the lock. Raises OtherServer, StoreUnavailable."""
        # Two paths to one database have one lock.
        file = Path(f"{self._database.resolve()}-server")
        try:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreUnavailable(f"{file} cannot be written: {error.strerror}. Check its owner and mode.") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = _read(descriptor)
            os.close(descriptor)
            raise refusal(self._place, holder) from None
        # For the message to others alone: the lock does not depend on it.
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{own_name()}\n".encode(), 0)
        self._descriptor = descriptor

    def keep(self) -> None:
        """Do nothing: the kernel keeps the lock as long as the process lives."""

    def release(self) -> None:
        """Release the lock. The file stays, since another server may have it open."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _read(descriptor: int) -> Holder | None:
    try:
        name = os.pread(descriptor, 200, 0).decode("ascii", "replace").strip()
        return Holder(name, datetime.fromtimestamp(os.fstat(descriptor).st_mtime, UTC)) if name else None
    except OSError:
        return None
