"""Places for calls. Accounts get them in turn, and none gets all of them, however many of its threads wait."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sekisho.fair_queue import FairQueue, Shares
from sekisho.provisioning.handlers import HandlerFailed

MAX_WAITING: Final = 1000
"""Calls that wait for a place."""

MAX_WAITING_OF_ACCOUNT: Final = 500
"""Calls of one account that wait for a place."""


class Turns:
    """A fixed number of places. An account takes one while it has fewer than are free; further calls wait in turn.

    Args:
        places: Their number.
        what: The name of the places in messages, plural.
    """

    def __init__(self, places: int, what: str) -> None:
        self._what = what
        self._lock = threading.Lock()
        self._shares = Shares(places)
        self._waiting: FairQueue[_Turn] = FairQueue(MAX_WAITING, MAX_WAITING_OF_ACCOUNT)
        self._refused = 0

    @property
    def share(self) -> int:
        """Places that an account gets while no other account has any."""
        return -(-self._shares.places // 2)

    @contextmanager
    def place(self, handler: str, account_id: str, seconds: float) -> Iterator[None]:
        """Hold a place during a call of a handler.

        Raises HandlerFailed with ``is_busy`` where none was free for the account in time, or too many wait.
        """
        if not self._take(account_id, seconds):
            raise HandlerFailed(
                f"handler {handler!r} is busy: none of the {self._shares.places} {self._what} was free for account "
                f"{account_id} within {seconds:.3g} s",
                is_busy=True,
            )
        try:
            yield
        finally:
            with self._lock:
                self._shares.give_back(account_id)
                self._hand_out()

    def statistics(self) -> dict[str, int]:
        """Return the number of places, those in use, waiting calls, and calls refused since the start."""
        with self._lock:
            places = self._shares.places
            return {
                "places": places,
                "busy": places - self._shares.free,
                "waiting": len(self._waiting),
                "refused": self._refused,
            }

    def _take(self, account_id: str, seconds: float) -> bool:
        turn = _Turn()
        with self._lock:
            for overflow in self._waiting.put((account_id,), turn):
                overflow.item.decide(is_granted=False)
            self._hand_out()
        turn.decided.wait(seconds)
        with self._lock:
            if not turn.decided.is_set():
                self._waiting.remove((account_id,), turn)
            if not turn.is_granted:
                self._refused += 1
            return turn.is_granted

    def _hand_out(self) -> None:
        while self._shares.free and (taken := self._waiting.take(self._shares.may)) is not None:
            path, turn = taken
            self._shares.take(path[0])
            turn.decide(is_granted=True)


class _Turn:
    """The event that a waiting thread waits for."""

    __slots__ = ("decided", "is_granted")

    def __init__(self) -> None:
        self.decided = threading.Event()
        self.is_granted = False

    def decide(self, *, is_granted: bool) -> None:
        self.is_granted = is_granted
        self.decided.set()
