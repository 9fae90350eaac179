"""Threads that answer requests, shared out between owners: accounts, or peers whose account is not known yet.

All state belongs to the event loop; only the functions run in threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final, ParamSpec, TypeVar
from weakref import finalize

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
        self._threads = _Threads()

    async def run(self, path: Sequence[str], function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """What ``function`` returns, called in a thread.

        Args:
            path: Whose request it is, from the outside in.
            function: Called with the other arguments.

        Raises:
            Busy: The owner's share is taken and as many wait as may. Nothing was called.
            TooLate: The wait was too long. Nothing was called.
        """
        if not self.try_take(path):
            await self._take_place(path)
        return await self.run_in_place(path, function, *args, **kwargs)

    def try_take(self, path: Sequence[str]) -> bool:
        """Take a place at once, for ``run_in_place`` or until ``give_back``; False where the owner has to wait."""
        if self._waiting or not self._shares.may(path[0]):
            return False
        self._shares.take(path[0])
        return True

    def run_in_place(
        self, path: Sequence[str], function: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Future[R]:
        """As ``run``, in the place that ``try_take`` has taken: it is given back when the function is over.

        Also where the result is no longer awaited: the thread is busy until then.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()

        def finish(result: R | None, error: BaseException | None) -> None:
            self.give_back(path)
            if future.cancelled():
                return
            if error is None:
                future.set_result(result)  # type: ignore[arg-type]
            else:
                future.set_exception(error)

        self._threads.start(
            partial(function, *args, **kwargs), loop, finish, busy=self._shares.places - self._shares.free
        )
        return future

    def give_back(self, path: Sequence[str]) -> None:
        """Give a place back that ``try_take`` has taken."""
        self._shares.give_back(path[0])
        self._hand_out()

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
                    self.give_back(path)
                raise
            finally:
                if not turn.done():
                    self._waiting.remove(path, turn)
        if not turn.done():
            raise TooLate
        if not turn.result():
            raise Busy

    def _hand_out(self) -> None:
        while self._shares.free and (taken := self._waiting.take(self._shares.may)) is not None:
            path, turn = taken
            self._shares.take(path[0])
            turn.set_result(True)


_Finish = Callable[[Any, BaseException | None], None]
_Work = tuple[Callable[[], Any], asyncio.AbstractEventLoop, _Finish]


class _Threads:
    """Daemon threads, begun as they are needed: a call that hangs does not keep the process from ending.

    Those of ``concurrent.futures`` are waited for at the end of the process. Those of anyio take three times the CPU
    time for a call.
    """

    def __init__(self) -> None:
        self._work: SimpleQueue[_Work | None] = SimpleQueue()
        self._threads: list[Thread] = []
        finalize(self, _end, self._work, self._threads)

    def start(
        self, function: Callable[[], Any], loop: asyncio.AbstractEventLoop, finish: _Finish, *, busy: int
    ) -> None:
        """Call ``function`` in a thread, then ``finish`` in the loop with its result or its error.

        Args:
            busy: How many calls run, this one included. There are as many threads at least.
        """
        if busy > len(self._threads):
            name = f"api-{len(self._threads) + 1}"
            self._threads.append(Thread(target=_run_calls, args=(self._work,), name=name, daemon=True))
            self._threads[-1].start()
        self._work.put((function, loop, finish))


def _run_calls(work: SimpleQueue[_Work | None]) -> None:
    while (call := work.get()) is not None:
        function, loop, finish = call
        try:
            done = partial(finish, function(), None)
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is awaited
            done = partial(finish, None, error)
        with suppress(RuntimeError):  # The loop is closed: the result is no longer awaited.
            loop.call_soon_threadsafe(done)
        # Nothing of a request is kept while the thread waits for the next.
        del call, function, loop, finish, done


def _end(work: SimpleQueue[_Work | None], threads: Sequence[Thread]) -> None:
    for _ in threads:
        work.put(None)
