"""How the store fails.

    StoreError
    ├── NewerSchema         a newer Sekisho has written this database
    ├── ForeignDatabase     not a database of Sekisho's, or not one it can use
    ├── DamagedDatabase     the file is not what was written
    ├── StoreBusy           somebody else holds it for too long
    └── StoreUnavailable    cannot be opened, reached or written: permissions, a full disk, a server that is down

Messages name the place, never a password, and say what to do.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout


class AlreadyThere(Exception):
    """Raised by ``add`` where the key is taken. The transaction remains usable."""


class StoreError(Exception):
    """The store cannot do what was asked. No change is kept, or it is open whether: a commit got no answer."""


class NewerSchema(StoreError):
    """A newer Sekisho has written this database."""


class ForeignDatabase(StoreError):
    """Not a database of Sekisho's, or not one it can use."""


class DamagedDatabase(StoreError):
    """The file is not what was written."""


class StoreBusy(StoreError):
    """Somebody else holds the database for too long."""


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
    """What a driver's error means to a person, or None where it is a bug of ours (a broken constraint, wrong SQL).

    ``place``: the file or the URL without its password. SQLite's texts are those of sqlite3_errstr; PostgreSQL's are
    told apart by SQLSTATE (Appendix A of its manual).
    """
    if isinstance(error, IntegrityError):
        return None
    text = " ".join(str(error.orig).split())
    state: str | None = getattr(error.orig, "sqlstate", None)
    if "file is not a database" in text:
        return DamagedDatabase(f"{place} is not an SQLite database. Move it away, or name another data folder.")
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


# Connection lost, not let in, no such database, out of resources, stopped by an operator.
_UNAVAILABLE_CLASSES: Final = ("08", "28", "3D", "53", "57")
# Not allowed; a transaction stood still for too long; a server that only reads.
_UNAVAILABLE_STATES: Final = ("42501", "25P03", "25006")
