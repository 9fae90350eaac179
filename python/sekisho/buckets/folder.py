"""Buckets that are folders of this machine.

The path of an input is ``<bulk_folder>/<account id>/<bucket>/<key>``.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from sekisho.observe.event_log import log
from sekisho.observe.events import LogEvent
from sekisho.provisioning.bulk.input import InputError, InputUnavailable

MAX_FOLDERS_LOGGED: Final = 5
"""Folders without an account that the log names when the server starts."""

_ACCOUNT_ID: Final = re.compile(r"[0-9]{12}")
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Without O_NONBLOCK, opening a pipe would wait for a writer.
_FILE: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


class FolderInput:
    """A file that is open for reading."""

    def __init__(self, descriptor: int, status: os.stat_result, name: str) -> None:
        self._descriptor = descriptor
        self._name = name
        self.size = status.st_size
        self.version = f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}"

    def read(self, size: int) -> bytes:
        """Read at most ``size`` bytes; none at the end. Raises InputUnavailable."""
        try:
            return os.read(self._descriptor, size)
        except OSError as error:
            raise InputUnavailable(f"{self._name} cannot be read: {error.strerror}.") from None


class FolderBuckets:
    """A bucket is a folder in the account's folder in ``root``; its keys are the paths of the files in it."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @contextmanager
    def open(self, account_id: str, bucket: str, key: str, offset: int) -> Iterator[FolderInput]:
        """Open a file at its byte ``offset``.

        Each part of the path is opened relative to the one before it, and symbolic links are not followed. So the file
        is in the account's folder, even if folders are renamed at the same time.

        Raises:
            InputError: The file does not exist or may not be read, or the path leaves the bucket.
        """
        name = f"The input file {key} in bucket {bucket}"
        steps = [bucket, *key.split("/")]
        if any(step in ("", ".", "..") or "\0" in step for step in steps) or "/" in bucket:
            raise InputError(
                f"{name} is not valid: the bucket has to be a folder's name, and the key a path without empty parts, "
                "'.' and '..'."
            )
        try:
            descriptor = self._open(account_id, steps)
        except OSError as error:
            raise InputError(
                f"{name} cannot be opened: {error.strerror}. Its path is {account_id}/{bucket}/{key} in the server's "
                "bulk_folder."
            ) from None
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise InputError(f"{name} is not a file.")
            os.lseek(descriptor, offset, os.SEEK_SET)
            yield FolderInput(descriptor, status, name)
        finally:
            os.close(descriptor)

    def warn_of_folders_without_account(self) -> None:
        """Log the folders in ``bulk_folder`` that are not named by an account id, and so are never read."""
        found: list[Path] = []
        with suppress(OSError):
            found = [each for each in self._root.iterdir() if not _ACCOUNT_ID.fullmatch(each.name) and each.is_dir()]
        if found:
            log.write(
                LogEvent.BUCKETS_WITHOUT_ACCOUNT,
                folders=[str(each) for each in sorted(found)[:MAX_FOLDERS_LOGGED]],
                count=len(found),
                remedy=f"move each to {self._root / '<account id>' / '<bucket>'}",
            )

    def _open(self, account_id: str, steps: Sequence[str]) -> int:
        """Return a descriptor of the file. Raises OSError."""
        # Links to bulk_folder and to the account's folder are the operator's, such as one to another disk.
        folder = os.open(self._root / account_id, _FOLDER)
        try:
            for step in steps[:-1]:
                inner = _open_beneath(folder, step, _FOLDER)
                os.close(folder)
                folder = inner
            return _open_beneath(folder, steps[-1], _FILE)
        finally:
            os.close(folder)


def _open_beneath(folder: int, name: str, flags: int) -> int:
    try:
        return os.open(name, flags | os.O_NOFOLLOW, dir_fd=folder)
    except OSError:
        if _is_link(folder, name):
            # The kernel's error for a link is "not a directory" or "too many levels of symbolic links".
            message = f"{name} is a symbolic link, and links in an account's folder are not followed"
            raise OSError(errno.ELOOP, message) from None
        raise


def _is_link(folder: int, name: str) -> bool:
    with suppress(OSError):
        return stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    return False
