"""The data folder before a server works on it: who may read it, who may write to it, and what a killed server left.

Other users may pass through the folder (mode 0711), because a program that runs as another user, such as a bridge, has
to read the root certificates. They cannot list it, and everything in it that is secret has a mode of its own.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sekisho.files import refuse_writable_by_others, remove_leftovers
from sekisho.observe.event_log import log
from sekisho.observe.events import LogEvent
from sekisho.server.handler_settings import CsrSigner, PythonFunction, Webhook
from sekisho.server.settings import Settings

MODE: Final = 0o711
SETTINGS_FILE: Final = "sekisho.toml"

_LOGGED_NAMES: Final = 5
"""How many names one line of the log holds."""


class DataFolderUnusable(Exception):
    """The data folder cannot be made or written to; the message says why and what to do."""


def make(data: Path) -> None:
    """Make the folder if it is not there. Raises DataFolderUnusable."""
    try:
        data.mkdir(parents=True, exist_ok=True, mode=MODE)
    except OSError as error:
        raise DataFolderUnusable(f"the data folder {data} cannot be made: {error.strerror}") from None
    if not os.access(data, os.W_OK | os.X_OK):
        raise DataFolderUnusable(
            f"the data folder {data} cannot be written to: change its owner, or choose another with --data"
        )


def refuse_what_others_can_change(settings: Settings) -> None:
    """Raise WritableByOthers, or OSError, for the first of ``trusted_places`` that others can change."""
    for place in trusted_places(settings):
        refuse_writable_by_others(place)


def trusted_places(settings: Settings) -> Sequence[Path]:
    """Return the folder, and the files and folders that decide who is trusted and which code runs.

    One that is missing is not among them: the code that reads it reports it. Raises OSError.
    """
    data = settings.data
    places: list[Path | None] = [data, settings.server_certificate, settings.server_key]
    for folder in (data / "server", data / "issuing"):
        places += [folder, *folder.rglob("*")]
    places += data.glob("sekisho.db*")
    for handler in settings.handlers.values():
        match handler.target:
            case PythonFunction(path=path):
                places.append(path)
            case Webhook(secret_file=file):
                places.append(file)
            case CsrSigner(ca_certificate=certificate, ca_key=key):
                places += [certificate, key]
    return [place for place in places if place is not None and place.exists()]


def tidy(settings: Settings) -> None:
    """Remove what a killed server left, and set the modes of the folder and of ``buckets``. Raises OSError.

    Call it with the folder's lock held.
    """
    from sekisho.pki import server

    data = settings.data
    remove_leftovers(data)
    server.clean_up(data / "server")
    if settings.bulk_folder is None and not settings.s3_endpoint_url:
        # What is put there says which devices there are.
        (data / "buckets").mkdir(mode=0o700, exist_ok=True)
    _let_others_pass(settings)


def _let_others_pass(settings: Settings) -> None:
    """Give an earlier version's folder, which was its owner's alone, the mode of a new one.

    What is in it was as private as the folder: first it gets a mode by which it still is. Where another user owns an
    entry, so that this cannot be done, the folder keeps its mode.
    """
    data = settings.data
    mode = stat.S_IMODE(data.stat().st_mode)
    if mode & 0o001:
        _warn_of_a_password_that_others_can_read(settings)
        return
    # What group and others could not reach before they shall not reach now.
    kept_from = 0o007 if mode & 0o010 else 0o077
    entries = [each for each in data.iterdir() if each.name != "server" and not each.is_symlink()]
    exposed = [each for each in entries if each.lstat().st_mode & kept_from]
    others = sorted(each.name for each in exposed if not _is_ours(each))
    if others or not _is_ours(data):
        log.write(
            LogEvent.ROOT_CERTIFICATES_UNREADABLE,
            folder=str(data),
            files_of_other_owners=others[:_LOGGED_NAMES],
            remedy=f"type chmod o-rwx for these files, and chmod 711 {data}",
        )
        return
    for each in exposed:
        each.chmod(stat.S_IMODE(each.lstat().st_mode) & ~kept_from)
    data.chmod(mode | MODE)


def _is_ours(entry: Path) -> bool:
    return entry.lstat().st_uid == os.geteuid()


def _warn_of_a_password_that_others_can_read(settings: Settings) -> None:
    file = settings.data / SETTINGS_FILE
    if not settings.database_url or not file.is_file() or not file.stat().st_mode & 0o004:
        return
    if "database_url" in file.read_text(errors="replace"):
        log.write(
            LogEvent.SETTINGS_READABLE,
            file=str(file),
            remedy=f"type chmod 600 {file}",
        )
