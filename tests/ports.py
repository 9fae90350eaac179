"""TCP ports that belong to one test process: a port is reserved by locking a file of its name.

A port that was merely free a moment ago may be taken by another test, or as the local port of an outgoing connection.
Reserved ports lie below the range from which Linux takes local ports (32768 to 60999).
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

PORTS = range(20000, 32000)
_FOLDER = Path(tempfile.gettempdir()) / f"sekisho-test-ports-{os.getuid()}"
_held: list[int] = []
"""Descriptors of the locked files. The kernel releases the locks when this process ends."""


def reserve() -> int:
    """Return a port of 127.0.0.1 that nothing listens on, and that no other test process gets while this one lives."""
    _FOLDER.mkdir(exist_ok=True)
    for port in random.sample(PORTS, len(PORTS)):
        descriptor = os.open(_FOLDER / str(port), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # A program that is not a test may listen here.
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            os.close(descriptor)
        else:
            _held.append(descriptor)
            return port
    raise RuntimeError(f"no port between {PORTS.start} and {PORTS.stop} is free")
