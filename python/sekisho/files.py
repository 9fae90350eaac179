"""Writing files that must be whole or not there: keys, certificates, run.json."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def sync_folder(path: Path) -> None:
    """See to it that what was written into a folder is still there after a power cut, its names too. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, content: bytes, *, mode: int) -> None:
    """Write a temporary file beside ``path``, sync it, rename it over. ``mode``: permissions, 0o600 for keys.

    Raises OSError that names the file; then whatever was at ``path`` before is still there.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            # A full disk, say: a descriptor's error names no file.
            error.filename = str(path)
        raise
