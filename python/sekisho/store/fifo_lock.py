"""A lock that goes to the thread that has waited longest. With that of ``threading`` a thread may wait without end."""

from __future__ import annotations

import threading
from collections import deque


class FifoLock:
    """A lock that threads get in the order in which they wait. Not reentrant."""

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._is_held = False
        self._waiting: deque[threading.Lock] = deque()

    def acquire(self, timeout: float) -> bool:
        """Take the lock. False where that took longer than ``timeout`` seconds."""
        with self._changing:
            if not self._is_held:
                self._is_held = True
                return True
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        if turn.acquire(timeout=max(timeout, 0.0)):
            return True
        with self._changing:
            if turn in self._waiting:
                self._waiting.remove(turn)
                return False
        # It was handed over at the last moment.
        return True

    @property
    def is_wanted(self) -> bool:
        """Whether threads wait for it. It may change at any time."""
        return bool(self._waiting)

    def release(self) -> None:
        """Hand the lock to the thread that has waited longest. Raises RuntimeError where it is not held."""
        with self._changing:
            if not self._hand_over():
                self._is_held = False

    def hand_over(self) -> bool:
        """Hand the lock to the thread that has waited longest; False where none waits, and it is still held.

        Raises RuntimeError where it is not held.
        """
        with self._changing:
            return self._hand_over()

    def _hand_over(self) -> bool:
        if not self._is_held:
            raise RuntimeError("the lock is not held")
        if not self._waiting:
            return False
        self._waiting.popleft().release()
        return True
