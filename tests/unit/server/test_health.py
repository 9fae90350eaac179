"""The health of a server, part by part."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from sekisho.observe import logging, threads
from sekisho.observe.log_writer import LogState
from sekisho.observe.threads import SupervisedThread
from sekisho.server import health
from sekisho.server.health import Health, Part, PartFailing, Probe, verdict
from sekisho.store.errors import StoreError
from tests.logs import captured_log
from tests.wait import eventually

WITHIN = 15.0


class Store:
    """A store that fails as the test says."""

    place = "/data/sekisho.db"

    def __init__(self) -> None:
        self.reading: Callable[[], object] = lambda: None
        self.writing: Callable[[], object] = lambda: None

    def probe_read(self) -> None:
        self.reading()

    def statistics(self) -> Mapping[str, int]:
        return {"write_transactions": 3, "commits": 2, "rollbacks": 0}

    def probe_write(self) -> None:
        self.writing()


class Gateway:
    """A data plane that reports what the test says."""

    def __init__(self) -> None:
        self.said = {"listening": 1, "accept_failing": 0, "heartbeat_age_ms": 12, "connections": 3}
        self.behave: Callable[[], object] = lambda: None

    def statistics(self) -> dict[str, int]:
        self.behave()
        return self.said


class Api:
    """An API server that reports what the test says."""

    is_accepting = True

    def statistics(self) -> dict[str, int]:
        return {"connections": 1}


def fail(error: Exception) -> Callable[[], object]:
    def failing() -> None:
        raise error

    return failing


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def healthy(store: Store, gateway: Gateway, api: Api, tmp_path: Path) -> Iterator[Health]:
    made = Health(store, tmp_path, gateway.statistics, interval=0.001)
    made.watch(api)
    made.start()
    yield made
    made.stop(WITHIN)


def wait_for(event: threading.Event) -> None:
    event.wait(WITHIN)


def problems(parts: Any) -> dict[str, str]:
    return {part.name: part.problem for part in parts if part.problem is not None}


def test_a_server_without_a_fault_reports_each_part_as_ok(healthy: Health) -> None:
    report = healthy.report(is_detailed=True)
    assert (report["status"], report["failing"]) == ("ok", [])
    assert report["pid"] == os.getpid()
    assert report["mqtt"]["connections"] == 3
    assert report["api"] == {"connections": 1}
    assert list(report["parts"]) == ["api", "store", "data_folder", "mqtt", "threads", "log"]
    assert all(part["ok"] for part in report["parts"].values())
    assert {"health-store", "health-data_folder", "health-mqtt"} <= {each["name"] for each in report["threads"]}
    assert problems(healthy.live()) == problems(healthy.ready()) == {}


@pytest.mark.parametrize("direction", ["reading", "writing"])
def test_a_store_that_fails_is_reported_until_it_works_again(healthy: Health, store: Store, direction: str) -> None:
    with captured_log() as logged:
        setattr(store, direction, fail(StoreError("/data/sekisho.db: the disk is full.")))
        eventually(lambda: problems(healthy.ready()) == {"store": "/data/sekisho.db: the disk is full."})
        assert problems(healthy.live()) == {}
        assert healthy.report(is_detailed=True)["failing"] == ["store"]
        setattr(store, direction, lambda: None)
        eventually(lambda: not problems(healthy.parts()))
    assert [(line["code"], line["part"]) for line in logged] == [
        ("part_failing", "store"),
        ("part_recovered", "store"),
    ]


def test_a_check_that_hangs_is_a_failing_part(healthy: Health, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    release, hanging = threading.Event(), threading.Event()

    def hang() -> None:
        hanging.set()
        release.wait(WITHIN)

    store.writing = hang
    assert hanging.wait(WITHIN)
    monkeypatch.setattr(health, "STALE_SECONDS", 0.2)
    eventually(lambda: "store" in problems(healthy.ready()))
    assert "a check of store has not ended" in problems(healthy.ready())["store"]
    # The other parts are still checked.
    assert set(problems(healthy.ready())) == {"store"}
    release.set()
    eventually(lambda: not problems(healthy.ready()))


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"listening": 0}, "MQTT does not listen"),
        ({"accept_failing": 1}, "MQTT accepts no connections"),
        ({"task_failing": 1}, "a task of the gateway failed"),
        ({"heartbeat_age_ms": 9000}, "stuck for 9 s"),
    ],
)
def test_the_state_that_the_gateway_reports_is_used(
    healthy: Health, gateway: Gateway, said: dict[str, int], words: str
) -> None:
    gateway.said = gateway.said | said
    eventually(lambda: words in problems(healthy.ready()).get("mqtt", ""))


def test_a_gateway_that_hangs_delays_no_report(
    healthy: Health, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, hanging = threading.Event(), threading.Event()
    before = healthy.report(is_detailed=True)["mqtt"]

    def hang() -> None:
        hanging.set()
        release.wait(WITHIN)

    gateway.behave = hang
    assert hanging.wait(WITHIN)
    monkeypatch.setattr(health, "STALE_SECONDS", 0.1)
    eventually(lambda: healthy._mqtt_probe.is_stale)
    report = healthy.report(is_detailed=True)
    assert report["mqtt"] == before
    assert "mqtt" in report["failing"]
    # Only a restart helps here.
    assert "mqtt" in problems(healthy.live())
    release.set()


def test_an_api_that_does_not_accept_is_not_ready(healthy: Health, api: Api) -> None:
    api.is_accepting = False
    assert problems(healthy.ready()) == {"api": "the API takes no connections"}


def test_a_data_folder_that_cannot_be_written_to_is_named(store: Store, gateway: Gateway, tmp_path: Path) -> None:
    gone = Health(store, tmp_path / "gone", gateway.statistics)
    gone._data_probe.check_once()
    assert gone._data_probe.part.problem == f"{tmp_path / 'gone'} cannot be written to: No such file or directory"


def test_a_file_system_that_is_nearly_full_is_failing(
    store: Store, gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "MIN_FREE_BYTES", 1 << 62)
    full = Health(store, tmp_path, gateway.statistics)
    full._data_probe.check_once()
    assert "MiB are free" in str(full._data_probe.part.problem)
    assert list(tmp_path.iterdir()) == []


def test_a_thread_that_failed_is_failing_but_no_reason_to_restart(healthy: Health) -> None:
    ending, runs = threading.Event(), threading.Event()

    def run() -> None:
        if not runs.is_set():
            runs.set()
            raise RuntimeError("it broke")
        ending.wait(WITHIN)

    thread = SupervisedThread(run, "breaking", stopping=ending, restart_delay=WITHIN)
    thread.start()
    try:
        eventually(lambda: "threads" in problems(healthy.ready()))
        assert problems(healthy.ready())["threads"] == "thread breaking does not run: RuntimeError: it broke"
        assert problems(healthy.live()) == {}
        [said] = [each for each in healthy.report(is_detailed=True)["threads"] if each["name"] == "breaking"]
        assert (said["running"], said["failures"], said["last_error"]) == (False, 1, "RuntimeError: it broke")
    finally:
        ending.set()
        thread.join(WITHIN)


def test_a_stuck_thread_is_a_reason_to_restart(healthy: Health) -> None:
    ending = threading.Event()
    thread = SupervisedThread(lambda: wait_for(ending), "stuck", max_silent_seconds=1.0)
    thread.start()
    thread._beat_at -= 60
    try:
        assert "thread stuck has been stuck for 60 s" in problems(healthy.live())["threads"]
    finally:
        ending.set()
        thread.join(WITHIN)
        eventually(lambda: all(state.name != "stuck" for state in threads.states()))


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (LogState(7, 2, 5, "OSError: No space left on device", 0.0), "cannot be written (OSError: No space left"),
        (LogState(7, 2, 5, None, 60.0), "has not read for 60 s; 2 lines are lost, 5 wait"),
    ],
)
def test_a_log_that_cannot_be_written_is_failing_and_the_server_stays_ready(
    healthy: Health, monkeypatch: pytest.MonkeyPatch, state: LogState, words: str
) -> None:
    monkeypatch.setattr(logging, "state", lambda: state)
    report = healthy.report(is_detailed=True)
    assert report["failing"] == ["log"]
    assert words in report["parts"]["log"]["reason"]
    assert report["parts"]["log"]["dropped"] == 2
    assert problems(healthy.ready()) == {}


def test_only_detailed_reports_have_reasons() -> None:
    parts = [Part("store", "/data/sekisho.db: the disk is full."), Part("mqtt", None)]
    assert verdict(parts, is_detailed=False) == {
        "status": "failing",
        "failing": ["store"],
        "parts": {"store": {"ok": False}, "mqtt": {"ok": True}},
    }
    assert verdict(parts, is_detailed=True)["parts"]["store"]["reason"] == "/data/sekisho.db: the disk is full."


def test_a_probe_survives_every_error_and_logs_unexpected_ones() -> None:
    errors: list[Exception] = [PartFailing("known"), ValueError("unknown"), OSError(28, "No space left on device")]

    def check() -> None:
        raise errors.pop(0)

    probe = Probe("part", check)
    assert probe.part.problem == "part was not checked yet"
    found = []
    for _ in range(3):
        probe.check_once()
        found.append(probe.part.problem)
    assert found == ["known", "ValueError: unknown", "OSError: [Errno 28] No space left on device"]
