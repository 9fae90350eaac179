"""Threads that answer requests, shared out between owners: accounts, or peers whose account is not known yet.

All state belongs to the event loop; only the functions run in threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread

from sekisho.fair_queue import FairQueue, Shares

WAIT_SECONDS: Final = 5.0
"""Seconds that a request waits for a thread at most."""

P = ParamSpec("P")
R = TypeVar("R")


class Busy(Exception):
    """The owner has more requests than its share of the threads can answer now."""


class TooLate(Busy):
    """No thread was free for the request in time."""


class FairThreads:
    """Runs functions in a number of threads, of which no owner gets all.

    An owner takes a thread while it holds fewer than are free (``Shares``); beyond it, its requests wait in turn with
    those of other owners (``FairQueue``).

    Args:
        threads: How many there are.
        waiting: Most requests that wait, in all, of one owner, of one owner below it, and so on (``FairQueue``).
        wait_seconds: How long one waits at most; ``WAIT_SECONDS`` unless given.
    """

    def __init__(self, threads: int, waiting: Sequence[int], wait_seconds: float | None = None) -> None:
        self._shares = Shares(threads)
        self._waiting: FairQueue[asyncio.Future[bool]] = FairQueue(*waiting)
        self._wait_seconds = WAIT_SECONDS if wait_seconds is None else wait_seconds
        self._limiter = CapacityLimiter(threads)

    async def run(self, path: Sequence[str], function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """What ``function`` returns, called in a thread.

        Args:
            path: Whose request it is, from the outside in.
            function: Called with the other arguments.

        Raises:
            Busy: The owner's share is taken and as many wait as may. Nothing was called.
            TooLate: The wait was too long. Nothing was called.
        """
        await self._take_place(path)
        try:
            return await to_thread.run_sync(lambda: function(*args, **kwargs), limiter=self._limiter)
        finally:
            self._give_back(path)

    def statistics(self) -> dict[str, int]:
        """Threads, how many of them are busy, and how many requests wait for one."""
        places = self._shares.places
        return {"threads": places, "busy": places - self._shares.free, "waiting": len(self._waiting)}

    async def _take_place(self, path: Sequence[str]) -> None:
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        for overflow in self._waiting.put(path, turn):
            overflow.item.set_result(False)
        self._hand_out()
        if not turn.done():
            try:
                await asyncio.wait([turn], timeout=self._wait_seconds)
            except asyncio.CancelledError:
                if turn.done() and turn.result():
                    self._give_back(path)
                raise
            finally:
                if not turn.done():
                    self._waiting.remove(path, turn)
        if not turn.done():
            raise TooLate
        if not turn.result():
            raise Busy

    def _give_back(self, path: Sequence[str]) -> None:
        self._shares.give_back(path[0])
        self._hand_out()

    def _hand_out(self) -> None:
        while self._shares.free and (taken := self._waiting.take(self._shares.may)) is not None:
            path, turn = taken
            self._shares.take(path[0])
            turn.set_result(True)
