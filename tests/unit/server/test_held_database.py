"""What a server does about the lock of its database while it runs."""

from __future__ import annotations

import threading

import pytest

from sekisho.server.held_database import HeldDatabase
from sekisho.store.errors import OtherServer, StoreError, StoreUnavailable
from tests.logs import captured_log, lines_of
from tests.wait import eventually

WITHIN = 15.0


class Locked:
    """A store whose lock fails with the errors of ``failing``, one per check, and then works."""

    def __init__(self, *failing: StoreError) -> None:
        self._failing = list(failing)
        self.calls: list[str] = []

    def hold(self) -> None:
        self.calls.append("hold")

    def keep_hold(self) -> None:
        self.calls.append("keep")
        if self._failing:
            raise self._failing.pop(0)

    def release(self) -> None:
        self.calls.append("release")


def test_a_server_whose_database_was_taken_is_asked_to_stop_once() -> None:
    asked = threading.Semaphore(0)
    store = Locked(OtherServer("process 7 on b uses it"), OtherServer("again"))
    held = HeldDatabase(store, asked.release, interval=0.001)
    with captured_log() as logged:
        held.start()
        assert asked.acquire(timeout=WITHIN)
        eventually(lambda: len(store.calls) > 4)
        held.stop()
    assert not asked.acquire(blocking=False)
    assert str(held.taken) == "process 7 on b uses it"
    assert [line["reason"] for line in lines_of(logged, "database_taken")] == ["process 7 on b uses it"]
    assert (store.calls[0], store.calls[-1]) == ("hold", "release")


def test_a_database_that_is_down_stops_nothing() -> None:
    store = Locked(StoreUnavailable("it is down"))
    held = HeldDatabase(store, lambda: pytest.fail("it was asked to stop"), interval=0.001)
    held.start()
    eventually(lambda: len(store.calls) > 3)
    held.stop()
    assert held.taken is None
