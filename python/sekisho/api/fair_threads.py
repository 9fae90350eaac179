"""Threads that answer requests, shared between owners: accounts, or peers whose account is unknown.

Only the event loop uses the state; only the functions run in threads. A thread may give a place back before its
function ends: the loop finds it there when it next looks for a place, and is woken only if a request waits for one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final, ParamSpec, TypeVar
from weakref import finalize

from sekisho.fair_queue import FairQueue, Shares

WAIT_SECONDS: Final = 5.0
"""Maximum seconds that a request waits for a thread."""

P = ParamSpec("P")
R = TypeVar("R")


class Busy(Exception):
    """The owner has used its share of the threads and of the queue."""


class TooLate(Busy):
    """No thread became free for the request in time."""


class FairThreads:
    """Runs functions in a fixed number of threads, of which no owner gets all.

    An owner takes a thread while it has fewer than are free (``Shares``). Further requests of it wait, and owners are
    served in turn (``FairQueue``).

    Args:
        threads: Their number.
        waiting: Maximum number of waiting requests: in all, of one owner, of one owner below it, … (``FairQueue``).
        wait_seconds: Maximum time that one waits; by default ``WAIT_SECONDS``.
    """

    def __init__(self, threads: int, waiting: Sequence[int], wait_seconds: float | None = None) -> None:
        self._shares = Shares(threads)
        self._waiting: FairQueue[asyncio.Future[bool]] = FairQueue(*waiting)
        self._wait_seconds = WAIT_SECONDS if wait_seconds is None else wait_seconds
        self._threads = _Threads()
        self._returned: deque[Sequence[str]] = deque()
        """Places that threads have given back and the loop has not counted as free yet."""

    async def run(self, path: Sequence[str], function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call ``function`` in a thread and return its result.

        Args:
            path: The owners of the request, the outermost first.
            function: Called with the other arguments.

        Raises:
            Busy: The owner's share is taken, and its maximum number of requests wait. Nothing was called.
            TooLate: No thread became free in time. Nothing was called.
        """
        if not self.try_take(path):
            await self._take_place(path)
        return await self.run_in_place(path, function, *args, **kwargs)

    def try_take(self, path: Sequence[str]) -> bool:
        """Take a place for ``run_in_place`` or until ``give_back``, without waiting. Returns whether it did."""
        self._take_up_returned()
        if self._waiting or not self._shares.may(path[0]):
            return False
        self._shares.take(path[0])
        return True

    def run_in_place(
        self, path: Sequence[str], function: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Future[R]:
        """Like ``run``, in the place that ``try_take`` has taken. The place is free again when the function returns.

        That is also so where the result is no longer awaited, because the thread is busy until then.
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
        """Release a place that ``try_take`` has taken."""
        self._shares.give_back(path[0])
        self._hand_out()

    def give_back_from_thread(self, path: Sequence[str], loop: asyncio.AbstractEventLoop) -> None:
        """Give a place back from any thread. ``loop``: the loop that uses the state."""
        self._returned.append(path)
        # A request that begins to wait after this check finds the place: it looks for one once it is in the queue.
        if self._waiting:
            loop.call_soon_threadsafe(self._hand_out)

    def statistics(self) -> dict[str, int]:
        """Return the numbers of threads, of busy ones, and of waiting requests."""
        self._take_up_returned()
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

    def _take_up_returned(self) -> None:
        while self._returned:
            self._shares.give_back(self._returned.popleft()[0])

    def _hand_out(self) -> None:
        self._take_up_returned()
        while self._shares.free and (taken := self._waiting.take(self._shares.may)) is not None:
            path, turn = taken
            self._shares.take(path[0])
            turn.set_result(True)


_Finish = Callable[[Any, BaseException | None], None]
_Work = tuple[Callable[[], Any], asyncio.AbstractEventLoop, _Finish]


class _Threads:
    """Daemon threads, started when they are needed. A call that hangs does not keep the process from ending.

    The process would wait for those of ``concurrent.futures`` at its end. Those of anyio need three times the CPU time
    for a call.
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
            busy: Number of running calls, including this one. There are at least as many threads.
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
        # Without references to the request while the thread waits for the next one.
        del call, function, loop, finish, done


def _end(work: SimpleQueue[_Work | None], threads: Sequence[Thread]) -> None:
    for _ in threads:
        work.put(None)
