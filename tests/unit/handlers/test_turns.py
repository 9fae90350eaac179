"""Places for calls: shared between accounts, given in turn, and released."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from sekisho.handlers import turns
from sekisho.handlers.turns import Turns
from sekisho.provisioning.handlers import HandlerFailed
from tests.unit.handlers.arrange import WITHIN

A, B, C = "111111111111", "222222222222", "333333333333"


@dataclass
class Callers:
    """Threads that hold a place each until they are released."""

    turns: Turns
    threads: ThreadPoolExecutor
    order: list[str] = field(default_factory=list)
    entered: threading.Condition = field(default_factory=threading.Condition)
    go: dict[str, threading.Semaphore] = field(default_factory=lambda: {x: threading.Semaphore(0) for x in (A, B, C)})

    def call(self, account: str, seconds: float = WITHIN) -> Future[None]:
        before = self.turns.statistics()

        def hold() -> None:
            with self.turns.place("h", account, seconds):
                with self.entered:
                    self.order.append(account)
                    self.entered.notify_all()
                assert self.go[account].acquire(timeout=WITHIN)

        future = self.threads.submit(hold)
        with self.entered:
            # Until it holds a place or waits for one, so that the next thread comes after it.
            assert self.entered.wait_for(lambda: future.done() or self.is_beyond(before), WITHIN)
        return future

    def is_beyond(self, before: dict[str, int]) -> bool:
        now = self.turns.statistics()
        return now["busy"] + now["waiting"] > before["busy"] + before["waiting"]

    def wait_for(self, count: int) -> None:
        with self.entered:
            assert self.entered.wait_for(lambda: len(self.order) >= count, WITHIN)


@contextmanager
def callers(places: int) -> Iterator[Callers]:
    with ThreadPoolExecutor(40) as threads:
        made = Callers(Turns(places, "places"), threads)
        poll = threading.Event()

        def tick() -> None:
            while not poll.wait(0.005):
                with made.entered:
                    made.entered.notify_all()

        ticker = threading.Thread(target=tick)
        ticker.start()
        try:
            yield made
        finally:
            for each in made.go.values():
                each.release(1000)
            poll.set()
            ticker.join()


def test_one_account_gets_half_of_the_places_and_another_finds_one_at_once() -> None:
    with callers(8) as made:
        waiting = [made.call(A) for _ in range(20)]
        made.wait_for(4)
        assert made.order == [A] * 4
        assert made.turns.share == 4
        other = made.call(B)
        made.wait_for(5)
        assert made.order == [A] * 4 + [B]
        assert made.turns.statistics() == {"places": 8, "busy": 5, "waiting": 16, "refused": 0}
        for gate in made.go.values():
            gate.release(1000)
        for each in (*waiting, other):
            each.result(WITHIN)
    assert made.turns.statistics() == {"places": 8, "busy": 0, "waiting": 0, "refused": 0}


def test_waiting_accounts_get_places_in_turn() -> None:
    with callers(1) as made:
        for account in (A, A, A, A, B, B, C):
            made.call(account)
        made.wait_for(1)
        for done in range(1, 7):
            made.go[made.order[-1]].release()
            made.wait_for(done + 1)
        assert made.order == [A, A, B, C, A, B, A]


def test_a_call_that_waits_too_long_is_refused_and_leaves_the_queue() -> None:
    with callers(1) as made:
        made.call(A)
        with pytest.raises(HandlerFailed, match=f"none of the 1 places was free for account {B} within 0.05 s") as late:
            made.call(B, 0.05).result(WITHIN)
        assert late.value.is_busy
        assert not late.value.is_permanent
        assert made.turns.statistics() == {"places": 1, "busy": 1, "waiting": 0, "refused": 1}
        made.go[A].release()
        made.go[B].release()
        made.call(B).result(WITHIN)


def test_the_number_of_waiting_calls_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "MAX_WAITING_OF_ACCOUNT", 2)
    with callers(1) as made:
        made.call(A)
        for _ in range(2):
            made.call(A)
        with pytest.raises(HandlerFailed) as refused:
            made.call(A).result(WITHIN)
        assert refused.value.is_busy
        # Other accounts are not affected.
        made.call(B)
        assert made.turns.statistics()["waiting"] == 3


def test_a_place_is_released_after_any_error() -> None:
    places = Turns(1, "places")
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), places.place("h", A, 0.0):
            raise ZeroDivisionError
    with places.place("h", A, 0.0):
        assert places.statistics()["busy"] == 1
