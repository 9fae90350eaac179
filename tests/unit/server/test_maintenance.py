"""The periodic tasks of a server."""

from __future__ import annotations

import queue
import threading
import time

from sekisho.server.maintenance import Maintenance
from tests.logs import captured_log

WITHIN = 15.0
NEVER = 3600.0


def test_every_task_runs_in_each_round_in_order() -> None:
    done: queue.Queue[str] = queue.Queue()
    maintenance = Maintenance({"a": lambda: done.put("a"), "b": lambda: done.put("b")}, interval=0.001)
    maintenance.start()
    try:
        assert [done.get(timeout=WITHIN) for _ in range(6)] == ["a", "b"] * 3
    finally:
        maintenance.stop()


def test_after_a_task_raised_the_others_and_its_own_next_round_run() -> None:
    done: queue.Queue[str] = queue.Queue()

    def breaks() -> None:
        done.put("breaks")
        raise OSError("the disk is full")

    maintenance = Maintenance({"forget claims": breaks, "other": lambda: done.put("other")}, interval=0.001)
    with captured_log() as logged:
        maintenance.start()
        try:
            assert [done.get(timeout=WITHIN) for _ in range(4)] == ["breaks", "other"] * 2
        finally:
            maintenance.stop()
    first = logged[0]
    assert (first["code"], first["task"], first["log_level"]) == ("maintenance_failed", "forget claims", "error")
    assert first["exc_info"]


def test_stopping_interrupts_the_wait() -> None:
    ran = threading.Event()
    maintenance = Maintenance({"a": ran.set}, interval=NEVER)
    maintenance.start()
    assert ran.wait(WITHIN)
    began = time.monotonic()
    maintenance.stop(timeout=NEVER)
    assert time.monotonic() - began < WITHIN


def test_stopping_waits_for_the_running_task_and_starts_no_other() -> None:
    begun, let = threading.Event(), threading.Event()
    ran: list[str] = []

    def long() -> None:
        begun.set()
        let.wait(WITHIN)
        ran.append("long")

    maintenance = Maintenance({"long": long, "after": lambda: ran.append("after")}, interval=0.0)
    maintenance.start()
    assert begun.wait(WITHIN)
    maintenance.stop(timeout=0.01)
    assert ran == []
    let.set()
    maintenance.stop(timeout=WITHIN)
    assert ran == ["long"]
