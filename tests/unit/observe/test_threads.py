"""Background threads run again after unexpected errors, and report them."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from sekisho.observe import threads
from sekisho.observe.threads import SupervisedThread, ThreadState, beat, record_failure, states
from tests.logs import captured_log
from tests.wait import eventually

WITHIN = 15.0


def state_of(name: str) -> ThreadState | None:
    return next((state for state in states() if state.name == name), None)


@pytest.fixture
def ending() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


class Worker:
    """A function that raises the given errors, and then waits until it is stopped."""

    def __init__(self, ending: threading.Event, *errors: BaseException) -> None:
        self._errors = list(errors)
        self._ending = ending
        self.runs = 0

    def __call__(self) -> None:
        self.runs += 1
        if self._errors:
            raise self._errors.pop(0)
        self._ending.wait(WITHIN)


@pytest.mark.parametrize("error", [RuntimeError("it broke"), SystemExit(3), MemoryError(), OSError(28, "full")])
def test_a_function_that_raises_runs_again_and_its_state_has_the_error(
    ending: threading.Event, error: BaseException
) -> None:
    worker = Worker(ending, error)
    with captured_log() as logged:
        SupervisedThread(worker, "worker-1", restart_delay=0.0).start()
        eventually(lambda: worker.runs == 2)
    state = state_of("worker-1")
    assert state is not None
    assert (state.is_running, state.failures) == (True, 1)
    assert type(error).__name__ in str(state.last_error)
    assert "failed 0 s ago" in str(state.problem)
    assert [line["code"] for line in logged] == ["thread_restarting"]
    assert logged[0]["thread"] == "worker-1"


def test_an_error_of_the_logging_ends_no_thread(ending: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def exception(self, *_: object, **__: object) -> None:
            raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(threads, "log", Broken())
    worker = Worker(ending, RuntimeError("first"), RuntimeError("second"))
    SupervisedThread(worker, "worker-2", restart_delay=0.0).start()
    eventually(lambda: worker.runs == 3)
    state = state_of("worker-2")
    assert state is not None
    assert (state.is_running, state.failures, state.last_error) == (True, 2, "RuntimeError: second")


def test_a_thread_that_waits_to_run_again_is_not_running(ending: threading.Event) -> None:
    worker = Worker(ending, RuntimeError("it broke"))
    SupervisedThread(worker, "worker-3", stopping=ending, restart_delay=WITHIN).start()
    eventually(lambda: (state := state_of("worker-3")) is not None and not state.is_running)
    state = state_of("worker-3")
    assert state is not None
    assert state.problem == "thread worker-3 does not run: RuntimeError: it broke"
    ending.set()
    eventually(lambda: state_of("worker-3") is None)
    assert worker.runs == 1


def test_a_function_that_returns_before_it_is_stopped_runs_again(ending: threading.Event) -> None:
    runs = 0

    def run() -> None:
        nonlocal runs
        runs += 1
        if runs > 1:
            ending.wait(WITHIN)

    SupervisedThread(run, "worker-7", stopping=ending, restart_delay=0.0).start()
    eventually(lambda: runs == 2)
    state = state_of("worker-7")
    assert state is not None
    assert "it has returned" in str(state.last_error)


def test_a_function_that_returns_is_no_longer_listed(ending: threading.Event) -> None:
    thread = SupervisedThread(Worker(ending), "worker-4")
    thread.start()
    assert state_of("worker-4") is not None
    ending.set()
    thread.join(WITHIN)
    eventually(lambda: state_of("worker-4") is None)


def test_a_function_without_a_beat_is_stuck(ending: threading.Event) -> None:
    go_on, beaten = threading.Event(), threading.Event()

    def run() -> None:
        go_on.wait(WITHIN)
        beat()
        beaten.set()
        ending.wait(WITHIN)

    thread = SupervisedThread(run, "worker-5", max_silent_seconds=1000.0)
    thread.start()
    assert thread.state.problem is None
    thread._beat_at -= 2000
    assert thread.state.is_stuck
    assert "thread worker-5 has been stuck for 2000 s" in str(thread.state.problem)
    go_on.set()
    assert beaten.wait(WITHIN)
    assert not thread.state.is_stuck


def test_a_recorded_failure_is_shown_for_a_while(ending: threading.Event) -> None:
    recorded = threading.Event()

    def run() -> None:
        record_failure(ValueError("one batch"))
        recorded.set()
        ending.wait(WITHIN)

    thread = SupervisedThread(run, "worker-6")
    thread.start()
    assert recorded.wait(WITHIN)
    assert "ValueError: one batch" in str(thread.state.problem)
    assert thread._failed_at is not None
    thread._failed_at -= threads.FAILURE_SHOWN_SECONDS
    assert thread.state.problem is None
    assert thread.state.failures == 1


def test_outside_a_supervised_thread_beats_and_failures_are_ignored() -> None:
    beat()
    record_failure(ValueError("nobody's"))
