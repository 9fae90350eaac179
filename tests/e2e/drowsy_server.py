"""``sekisho`` in a Python that SIGUSR1 puts to sleep: no thread of it runs until the time is over.

Run as a program with ``sekisho``'s own arguments. The environment's DROWSY_FOLDER gets a file ``asleep`` just before,
and a file ``awake`` just after.
"""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path

from sekisho.cli.app import main

SECONDS = 8
"""Longer than the gate waits for an answer about a certificate, which is 5 s."""


def sleep(*_: object) -> None:
    """Called through PyDLL, the C library's sleep keeps the interpreter's lock."""
    folder = Path(os.environ["DROWSY_FOLDER"])
    c_library = ctypes.PyDLL(None)
    (folder / "asleep").touch()
    c_library.sleep(SECONDS)
    (folder / "awake").touch()


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, sleep)
    main()
