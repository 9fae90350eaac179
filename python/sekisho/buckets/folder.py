"""Buckets that are folders: what S3 is to AWS IoT, a folder is to a server of one's own."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sekisho.provisioning.bulk_input import InputError, InputUnavailable


class FolderInput:
    """An open file."""

    def __init__(self, descriptor: int, status: os.stat_result, name: str) -> None:
        self._descriptor = descriptor
        self._name = name
        self.size = status.st_size
        self.version = f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}"

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes, none at the end. Raises InputUnavailable."""
        try:
            return os.read(self._descriptor, size)
        except OSError as error:
            raise InputUnavailable(f"{self._name} cannot be read: {error.strerror}.") from None


class FolderBuckets:
    """A bucket is a folder in ``root``, its keys are the paths of the files in it."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @contextmanager
    def open(self, bucket: str, key: str, offset: int) -> Iterator[FolderInput]:
        """A file, to be read from its byte ``offset`` on.

        Raises:
            InputError: There is no such file, it may not be read, or the names lead out of the bucket.
        """
        name = f"The input file {key} in bucket {bucket}"
        steps = [bucket, *key.split("/")]
        if any(step in ("", ".", "..") or "\0" in step for step in steps) or "/" in bucket:
            raise InputError(
                f"{name} is not one: a bucket is a folder in the server's bulk_folder, and a key the path of a file in "
                "it, without empty parts, '.' and '..'."
            )
        try:
            # A pipe would wait here for whoever writes into it.
            descriptor = os.open(self._root.joinpath(*steps), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise InputError(
                f"{name} cannot be opened: {error.strerror}. A bucket is a folder in the server's bulk_folder."
            ) from None
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise InputError(f"{name} is not a file.")
            os.lseek(descriptor, offset, os.SEEK_SET)
            yield FolderInput(descriptor, status, name)
        finally:
            os.close(descriptor)
