"""Errors of the store.

    StoreError
    ├── NewerSchema         a newer Sekisho has written this database
    ├── ForeignDatabase     not a database of Sekisho, or one with another encoding
    ├── DamagedDatabase     the file is damaged
    ├── OtherServer         another server uses the database
    ├── StoreBusy           other transactions held it for too long
    └── StoreUnavailable    cannot be opened, reached or written: permissions, a full disk, a server that is down

Messages name the place, never a password, and say what to do.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout


class AlreadyThere(Exception):
    """``add`` was called with a key that is taken. The transaction remains usable."""


class StoreError(Exception):
    """The store failed. The change is not kept; if a commit got no answer, it is unknown whether it is kept."""


class NewerSchema(StoreError):
    """A newer Sekisho has written this database."""


class ForeignDatabase(StoreError):
    """The database is not one of Sekisho, or has another encoding."""


class DamagedDatabase(StoreError):
    """The file is damaged."""


class OtherServer(StoreError):
    """Another server uses the database."""


class StoreBusy(StoreError):
    """Other transactions, or another program, held the database for too long."""


class StoreUnavailable(StoreError):
    """The database cannot be opened, reached or written."""


class failing_clearly:  # noqa: N801 - it is used as a function
    """Raise the driver's errors of the block as the StoreError that ``translate`` makes of them.

    A class, since each transaction has several: a generator takes three times as long.
    """

    __slots__ = ("_place",)

    def __init__(self, place: str) -> None:
        self._place = place

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is None:
            return
        if isinstance(error, DBAPIError):
            clear = translate(error, self._place)
            if clear is not None:
                raise clear from error
        elif isinstance(error, PoolTimeout):
            raise StoreBusy(f"{self._place}: all connections are in use. Try again.") from error


def translate(error: DBAPIError, place: str) -> StoreError | None:
    """Return the StoreError of a driver's error; None where it is a bug (a broken constraint, wrong SQL).

    ``place``: the file, or the URL without its password. SQLite's errors are recognised by the texts of
    sqlite3_errstr, PostgreSQL's by SQLSTATE (Appendix A of its manual).
    """
    if isinstance(error, IntegrityError):
        return None
    text = " ".join(str(error.orig).split())
    state: str | None = getattr(error.orig, "sqlstate", None)
    if "file is not a database" in text:
        return DamagedDatabase(f"{place} is not an SQLite database. Move it away, or use another data folder.")
    if "malformed" in text or state in ("XX001", "XX002"):
        return DamagedDatabase(f"{place} is damaged ({text}). Restore it from a backup.")
    if "database is locked" in text or "database table is locked" in text:
        return StoreBusy(f"{place} is locked by another program. End that program, or wait, and try again.")
    if state == "55P03":
        return StoreBusy(f"{place}: another server held the write lock for too long. Try again.")
    if state == "57014":
        return StoreBusy(f"{place}: a statement took too long and was ended ({text}). Try again.")
    if "readonly database" in text or "unable to open database file" in text:
        return StoreUnavailable(f"{place} cannot be opened for writing. Check the owner and mode of file and folder.")
    if "database or disk is full" in text or state == "53100":
        return StoreUnavailable(f"{place}: the disk is full. Free some space; nothing of this request was kept.")
    if "disk I/O error" in text:
        return StoreUnavailable(f"{place}: the disk reports an error ({text}).")
    if state is None:
        failed = isinstance(error, InterfaceError | InternalError | OperationalError)
    else:
        failed = state[:2] in _UNAVAILABLE_CLASSES or state in _UNAVAILABLE_STATES
    return StoreUnavailable(f"{place} cannot be used: {text}") if failed or error.connection_invalidated else None


# Connection lost, authentication failed, no such database, out of resources, stopped by an operator.
_UNAVAILABLE_CLASSES: Final = ("08", "28", "3D", "53", "57")
# Permission denied; an idle transaction was ended; the server is read-only.
_UNAVAILABLE_STATES: Final = ("42501", "25P03", "25006")
