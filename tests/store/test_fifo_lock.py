"""The write lock of the store: in the order of arrival, with a deadline, and held by one thread at a time."""

from __future__ import annotations

import threading

import pytest

from sekisho.store.fifo_lock import FifoLock
from sekisho.store.store import Store
from tests.wait import eventually

WAIT = 10.0


def waiting(lock: FifoLock) -> int:
    return len(lock._waiting)


def test_waiting_threads_get_the_lock_in_the_order_of_their_arrival() -> None:
    lock, order = FifoLock(), list[int]()

    def work(number: int) -> None:
        assert lock.acquire(WAIT)
        order.append(number)
        lock.release()

    assert lock.acquire(0)
    threads = []
    for number in range(20):
        thread = threading.Thread(target=work, args=(number,))
        thread.start()
        threads.append(thread)
        eventually(lambda number=number: waiting(lock) == number + 1)  # type: ignore[misc]
    lock.release()
    for thread in threads:
        thread.join(WAIT)
    assert order == list(range(20))
    assert lock.acquire(0)


def test_a_thread_that_takes_the_lock_again_waits_behind_others() -> None:
    lock, order = FifoLock(), list[str]()
    assert lock.acquire(0)

    def other() -> None:
        assert lock.acquire(WAIT)
        order.append("other")
        lock.release()

    thread = threading.Thread(target=other)
    thread.start()
    eventually(lambda: waiting(lock) == 1)
    lock.release()
    assert lock.acquire(WAIT)
    order.append("again")
    lock.release()
    thread.join(WAIT)
    assert order == ["other", "again"]


def test_a_thread_that_times_out_leaves_the_queue() -> None:
    lock = FifoLock()
    assert lock.acquire(0)
    assert not lock.acquire(0.01)
    assert not lock.acquire(-1)
    assert waiting(lock) == 0
    lock.release()
    assert lock.acquire(0)
    lock.release()
    with pytest.raises(RuntimeError):
        lock.release()


def test_many_threads_with_deadlines_never_hold_the_lock_together_and_never_lose_it() -> None:
    lock = FifoLock()
    inside, most, had = 0, 0, 0

    def work() -> None:
        nonlocal inside, most, had
        for number in range(200):
            # Some deadlines end when the lock is passed on.
            if lock.acquire(number % 5 * 0.0001):
                inside += 1
                most = max(most, inside)
                had += 1
                inside -= 1
                lock.release()

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert most == 1
    assert had > 0
    assert lock.acquire(0), "it is free in the end"


def test_a_writer_that_writes_repeatedly_does_not_delay_another(store: Store) -> None:
    order = list[str]()

    def other() -> None:
        with store.write():
            order.append("other")

    thread = threading.Thread(target=other)
    with store.write():
        thread.start()
        eventually(lambda: waiting(store._commits._lock) == 1)
    with store.write():
        order.append("again")
    thread.join(WAIT)
    assert order == ["other", "again"]
