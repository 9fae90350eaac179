"""What a server does by itself from time to time: forgetting what is over.

Nothing waits for it: what is over is refused by its dates whether it is forgotten or not.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Final

from sekisho.observe.event_log import log
from sekisho.observe.events import LogEvent
from sekisho.observe.threads import SupervisedThread, record_failure

INTERVAL: Final = 60.0
"""Seconds from the end of one round to the beginning of the next."""


class Maintenance:
    """Runs tasks in a thread of its own, one after another, and again after a while. ``start`` once, ``stop`` once.

    Args:
        tasks: By the name that the log gives them. What one raises is logged and costs neither the others nor the next
            round.
        interval: Seconds.
    """

    def __init__(self, tasks: Mapping[str, Callable[[], object]], interval: float = INTERVAL) -> None:
        self._tasks = dict(tasks)
        self._interval = interval
        self._stopping = threading.Event()
        self._thread = SupervisedThread(self._run, "maintenance", stopping=self._stopping)

    def start(self) -> None:
        """Begin with the first round at once: a server may have been down for long."""
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Begin no more tasks; waits for the one in hand, at most ``timeout`` seconds."""
        self._stopping.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stopping.is_set():
            for name, task in self._tasks.items():
                if self._stopping.is_set():
                    return
                try:
                    task()
                except Exception as error:
                    # The others still have their turn.
                    record_failure(error)
                    log.exception(LogEvent.MAINTENANCE_FAILED, task=name)
            self._stopping.wait(self._interval)
