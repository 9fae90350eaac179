"""Buckets that are folders, in place of S3.

Each account has a folder in the buckets folder, and its buckets are folders in that:
``<buckets folder>/<account id>/<bucket>/<key>``.
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
"""Folders without an account whose names the start logs."""

_ACCOUNT_ID: Final = re.compile(r"[0-9]{12}")
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Without O_NONBLOCK, opening a pipe would wait for a writer.
_FILE: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


class FolderInput:
    """An open file."""

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

        Each part of the path is opened in the folder before it, and symbolic links are not followed. So the file is in
        the account's folder, even if the folders are changed meanwhile.

        Raises:
            InputError: The file does not exist or may not be read, or the names lead out of the bucket.
        """
        name = f"The input file {key} in bucket {bucket}"
        steps = [bucket, *key.split("/")]
        if any(step in ("", ".", "..") or "\0" in step for step in steps) or "/" in bucket:
            raise InputError(
                f"{name} is not one: a bucket is a folder in the account's folder in the server's bulk_folder, and a "
                "key the path of a file in it, without empty parts, '.' and '..'."
            )
        try:
            descriptor = self._open(account_id, steps)
        except OSError as error:
            raise InputError(
                f"{name} cannot be opened: {error.strerror}. Its place is {account_id}/{bucket}/{key} in the server's "
                "bulk_folder: each account has a folder of its own there, with a folder for each bucket."
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
        """Log the folders in the buckets folder that belong to no account, and so are never read."""
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
        # Up to here, links of the operator are followed, such as one to another disk.
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
            # The kernel reports a link as "not a folder" or "too many links".
            message = f"{name} is a symbolic link, and links in an account's folder are not followed"
            raise OSError(errno.ELOOP, message) from None
        raise


def _is_link(folder: int, name: str) -> bool:
    with suppress(OSError):
        return stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    return False
