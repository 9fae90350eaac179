"""``sekisho`` whose Python, or whose pump alone, can be put to sleep.

SIGUSR1 puts Python to sleep: no thread of it runs until the time is over. The environment's DROWSY_FOLDER gets a file
``asleep`` just before, and a file ``awake`` just after.

SIGUSR2 puts the thread to sleep that takes the gateway's events, and the next one wakes it; all other threads run. The
folder has a file ``pump-asleep`` while it sleeps.

Run as a program with ``sekisho``'s own arguments.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from pathlib import Path

from sekisho.cli.app import main
from sekisho.gateway import pump
from sekisho.observe import threads

SECONDS = 8
"""Longer than the gateway waits for an answer about a certificate, which is 5 s."""


def sleep(*_: object) -> None:
    """Called through PyDLL, the C library's sleep keeps the interpreter's lock."""
    folder = Path(os.environ["DROWSY_FOLDER"])
    c_library = ctypes.PyDLL(None)
    (folder / "asleep").touch()
    c_library.sleep(SECONDS)
    (folder / "awake").touch()


class DrowsyPump:
    """Takes the place of ``pump.beat``, which the pump calls before it takes a batch of events."""

    def __init__(self) -> None:
        self._beat = threads.beat
        self._awake = threading.Event()
        self._awake.set()

    def turn(self, *_: object) -> None:
        """Put it to sleep, or wake it."""
        if self._awake.is_set():
            self._awake.clear()
        else:
            self._awake.set()

    def beat(self) -> None:
        if threading.current_thread().name == "gateway-pump" and not self._awake.is_set():
            asleep = Path(os.environ["DROWSY_FOLDER"]) / "pump-asleep"
            asleep.touch()
            self._awake.wait()
            asleep.unlink()
        self._beat()


if __name__ == "__main__":
    drowsy = DrowsyPump()
    vars(pump)["beat"] = drowsy.beat
    signal.signal(signal.SIGUSR1, sleep)
    signal.signal(signal.SIGUSR2, drowsy.turn)
    main()
