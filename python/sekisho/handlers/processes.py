"""The pool of the processes of all Python functions, with a limit for the server.

A process serves one handler in one realm until it ends, because its environment has that account's access key. It
serves one call at a time. Where a call needs a process and the limit is reached, an idle process of another owner is
ended. ``Turns`` shares the places of the pool between accounts, so that no account can occupy all of them.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from sekisho.handlers.process import Process
from sekisho.handlers.turns import Turns
from sekisho.observe.event_log import log
from sekisho.observe.events import LogEvent
from sekisho.observe.threads import SupervisedThread
from sekisho.provisioning.handlers import HandlerFailed
from sekisho.realm import Realm

IDLE_SECONDS: Final = 300.0
"""Time without a call after which a process ends."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The handler and the realm that a process serves."""

    handler: str
    realm: Realm


class Processes:
    """Lends processes to calls. Methods may be called from any thread.

    Args:
        limit: Maximum number of processes, including idle ones.
        idle_seconds: Time without a call after which a process ends.
    """

    def __init__(self, limit: int, *, idle_seconds: float = IDLE_SECONDS) -> None:
        self.limit = limit
        self._idle_seconds = idle_seconds
        self._turns = Turns(limit, "processes of Python functions (handler_processes)")
        self._lock = threading.Lock()
        # In the order of their last calls.
        self._idle: list[tuple[Owner, Process]] = []
        self._busy: dict[Process, Owner] = {}
        # Calls that have a place: with a process, or about to start one.
        self._lent: Counter[Hashable] = Counter()
        self._lanes: dict[Owner, threading.Semaphore] = {}
        self._ended_for_room = 0
        self._closing = threading.Event()
        self._reaper: SupervisedThread | None = None

    @property
    def share(self) -> int:
        """Processes that one account can use at a time while no other account uses any."""
        return self._turns.share

    @contextmanager
    def lend(self, owner: Owner, workers: int, seconds: float, start: Callable[[], Process]) -> Iterator[Process]:
        """Lend a process for one call. After an exception in the block the process is ended.

        Args:
            owner: What the process has to serve.
            workers: Processes that the owner may have.
            seconds: Maximum time to wait for one.
            start: Starts a process; may raise HandlerFailed.

        Raises HandlerFailed: ``is_busy`` where none was free in time; otherwise it cannot start, or the server stops.
        """
        deadline = time.monotonic() + seconds
        lane = self._lane(owner, workers)
        if not lane.acquire(timeout=seconds):
            raise HandlerFailed(
                f"handler {owner.handler!r} is busy: none of its processes was free within {seconds:g} s; "
                "give it more workers",
                is_busy=True,
            )
        try:
            rest = max(0.0, deadline - time.monotonic())
            with (
                self._turns.place(owner.handler, owner.realm.account_id, rest),
                self._lent_one(owner, start) as process,
            ):
                yield process
        finally:
            lane.release()

    def statistics(self) -> dict[str, int]:
        """Return ``Turns.statistics``, the number of processes, and how many were ended to make room."""
        with self._lock:
            own = {"running": len(self._idle) + len(self._busy), "ended_for_room": self._ended_for_room}
        return self._turns.statistics() | own

    def close(self) -> None:
        """End all processes; running calls fail."""
        self._closing.set()
        with self._lock:
            idle, busy, reaper = self._idle, list(self._busy), self._reaper
            self._idle = []
        for _, process in idle:
            process.end()
        for process in busy:
            # The thread that uses it sees it end, and returns it.
            process.kill()
        if reaper is not None:
            reaper.join(5)

    def _lane(self, owner: Owner, workers: int) -> threading.Semaphore:
        with self._lock:
            if self._closing.is_set():
                raise HandlerFailed(f"handler {owner.handler!r} is not called any more: the server is stopping")
            if self._reaper is None:
                self._reaper = SupervisedThread(self._reap, "handler-processes-idle", stopping=self._closing)
                self._reaper.start()
            return self._lanes.setdefault(owner, threading.Semaphore(workers))

    @contextmanager
    def _lent_one(self, owner: Owner, start: Callable[[], Process]) -> Iterator[Process]:
        process, surplus = self._take(owner)
        is_usable = False
        try:
            # Before another is started, so that the limit holds at every moment.
            for each in surplus:
                each.end()
            if process is None:
                process = self._started(owner, start())
            yield process
            is_usable = True
        finally:
            self._give_back(owner, process, is_usable=is_usable)

    def _take(self, owner: Owner) -> tuple[Process | None, list[Process]]:
        """Return an idle process of the owner, or None where one may be started; and those to end before that."""
        surplus: list[Process] = []
        with self._lock:
            self._lent[owner.realm.account_id] += 1
            for index in range(len(self._idle) - 1, -1, -1):
                if self._idle[index][0] == owner:
                    _, process = self._idle.pop(index)
                    if process.is_alive:
                        self._busy[process] = owner
                        return process, surplus
                    surplus.append(process)
            while self._idle and len(self._idle) + self._lent.total() > self.limit:
                surplus.append(self._pop_for_room())
        return None, surplus

    def _pop_for_room(self) -> Process:
        """Remove the idle process whose last call is the longest ago, of the account with the most processes."""
        held = Counter(self._lent)
        held.update(owner.realm.account_id for owner, _ in self._idle)
        index = max(range(len(self._idle)), key=lambda index: (held[self._idle[index][0].realm.account_id], -index))
        owner, process = self._idle.pop(index)
        self._ended_for_room += 1
        log.write(
            LogEvent.HANDLER_PROCESS_REPLACED,
            handler=owner.handler,
            account_id=owner.realm.account_id,
            region=owner.realm.region,
            limit=self.limit,
        )
        return process

    def _started(self, owner: Owner, process: Process) -> Process:
        with self._lock:
            # The pool was closed meanwhile: the call fails like all running ones.
            if self._closing.is_set():
                process.kill()
            self._busy[process] = owner
        return process

    def _give_back(self, owner: Owner, process: Process | None, *, is_usable: bool) -> None:
        """Keep a process for the next call, or end it."""
        is_kept = False
        with self._lock:
            if process is not None:
                self._busy.pop(process, None)
                is_kept = is_usable and not self._closing.is_set()
                if is_kept:
                    self._idle.append((owner, process))
            if is_kept or process is None:
                self._release(owner)
        if process is not None and not is_kept:
            process.end()
            with self._lock:
                self._release(owner)

    def _release(self, owner: Owner) -> None:
        account_id = owner.realm.account_id
        self._lent[account_id] -= 1
        if not self._lent[account_id]:
            del self._lent[account_id]

    def _reap(self) -> None:
        while not self._closing.wait(self._idle_seconds / 4):
            with self._lock:
                old = [each for each in self._idle if each[1].idle_for > self._idle_seconds]
                self._idle = [each for each in self._idle if each not in old]
            failure: Exception | None = None
            for _, process in old:
                try:
                    process.end()
                except Exception as error:  # noqa: BLE001 - raised below: the others end first, nothing lists them now
                    failure = error
            if failure is not None:
                raise failure
