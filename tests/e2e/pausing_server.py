"""Runs ``sekisho`` so that signals pause its Python, or its pump alone.

SIGUSR1 pauses Python for ``SECONDS``: none of its threads runs. The folder of the environment variable PAUSING_FOLDER
gets a file ``paused`` before, and a file ``resumed`` after that.

SIGUSR2 pauses the pump, which takes the gateway's events, and the next SIGUSR2 resumes it; all other threads run. The
folder has a file ``pump-paused`` while the pump is paused.

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


def pause(*_: object) -> None:
    """Stop all threads: called through PyDLL, the C library's sleep keeps the interpreter's lock."""
    folder = Path(os.environ["PAUSING_FOLDER"])
    c_library = ctypes.PyDLL(None)
    (folder / "paused").touch()
    c_library.sleep(SECONDS)
    (folder / "resumed").touch()


class PausingPump:
    """Takes the place of ``pump.beat``, which the pump calls before it takes a batch of events."""

    def __init__(self) -> None:
        self._beat = threads.beat
        self._running = threading.Event()
        self._running.set()

    def toggle(self, *_: object) -> None:
        """Pause the pump, or resume it."""
        if self._running.is_set():
            self._running.clear()
        else:
            self._running.set()

    def beat(self) -> None:
        if threading.current_thread().name == "gateway-pump" and not self._running.is_set():
            paused = Path(os.environ["PAUSING_FOLDER"]) / "pump-paused"
            paused.touch()
            self._running.wait()
            paused.unlink()
        self._beat()


if __name__ == "__main__":
    pausing = PausingPump()
    vars(pump)["beat"] = pausing.beat
    signal.signal(signal.SIGUSR1, pause)
    signal.signal(signal.SIGUSR2, pausing.toggle)
    main()
