"""Writes files atomically (keys, certificates, run.json), and refuses files that other users can change."""

from __future__ import annotations

import grp
import os
import pwd
import re
import shlex
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_SUFFIX: Final = ".tmp"
_LEFTOVER: Final = re.compile(r"\.(.+\.(key|crt|pem|json)|ecdsa|rsa|issuing)\.[a-z0-9_]{8}(\.tmp)?")
"""Names of temporary files and folders of this and of earlier versions."""


class WritableByOthers(ValueError):
    """Other users can change a file or folder that the server relies on. The message says which command mends it."""


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Make every OSError of the block name ``path``: those of write, fsync and close name no file."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise


def sync_folder(path: Path) -> None:
    """Sync a folder, so that the names of files created or renamed in it survive a power failure. Raises OSError."""
    with naming(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_atomically(path: Path, content: bytes, *, mode: int) -> None:
    """Write a temporary file in the folder of ``path``, sync it, and rename it to ``path``.

    ``mode``: the permissions, 0o600 for keys. Raises OSError that names ``path``, which is then unchanged.
    """
    with naming(path):
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_SUFFIX)
        try:
            _write(descriptor, content, mode)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def create_folder(folder: Path, files: Mapping[str, tuple[bytes, int]]) -> None:
    """Make ``folder`` (mode 0700) with files, atomically: a process that is killed leaves all of them or none.

    ``files``: content and mode by name. Raises OSError that names ``folder``: it cannot be written, or exists and is
    not empty.
    """
    with naming(folder):
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=_SUFFIX))
        try:
            for name, (content, mode) in files.items():
                _write(os.open(temporary / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), content, mode)
            sync_folder(temporary)
            # This also replaces an empty folder.
            temporary.rename(folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        sync_folder(folder.parent)


def _write(descriptor: int, content: bytes, mode: int) -> None:
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def remove_leftovers(folder: Path) -> None:
    """Remove from ``folder`` the temporary files of a ``write_atomically`` or ``create_folder`` that was killed.

    Only for a folder that no other process writes to. Raises OSError.
    """
    for entry in folder.iterdir() if folder.is_dir() else ():
        if _LEFTOVER.fullmatch(entry.name):
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()


def refuse_writable_by_others(path: Path) -> None:
    """Check that no other user can change ``path``: the file or folder itself, and every folder above it.

    A folder above ``path`` may have the sticky bit, such as /tmp: users can replace only their own files in it.

    Raises:
        WritableByOthers: Other users could change ``path`` or put something else in its place.
        OSError: ``path`` does not exist.
    """
    given = path.absolute()
    above = {each: None for start in (given, given.resolve()) for each in start.parents}
    for place in (given, *above):
        status = place.stat()
        if place != given and status.st_mode & stat.S_ISVTX:
            continue
        if status.st_mode & 0o002:
            who = "every user of this machine"
        elif status.st_mode & 0o020 and (members := _others_of_group(status.st_gid, status.st_uid)):
            who = f"the group of {', '.join(sorted(members)[:3])}"
        else:
            continue
        uses = "" if place == given else f", which holds {given},"
        raise WritableByOthers(f"{place}{uses} can be written to by {who}: type chmod go-w {shlex.quote(str(place))}")


def _others_of_group(group: int, owner: int) -> set[str]:
    """Return the members of a group, without root, the owner and this process's user: many groups have one user."""
    try:
        members = set(grp.getgrgid(group).gr_mem)
    except KeyError:
        members = set()
    trusted = {0, owner, os.geteuid()}
    users = pwd.getpwall()
    members |= {user.pw_name for user in users if user.pw_gid == group}
    return members - {user.pw_name for user in users if user.pw_uid in trusted}
