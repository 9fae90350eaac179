"""The messages to systemd."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from sekisho.server.health import Part
from sekisho.server.notify import Notifier
from tests.notify_socket import ServiceManager, service_manager
from tests.wait import eventually

OK = [Part("mqtt", None)]


def is_ok() -> Sequence[Part]:
    return OK


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServiceManager]:
    name = f"{tmp_path}/notify" if request.param == "path" else f"@sekisho-test-{os.getpid()}-{id(request)}"
    with service_manager(name) as manager:
        yield manager


def test_ready_reload_and_end_are_told(manager: ServiceManager) -> None:
    notifier = Notifier(manager.address)
    notifier.ready(is_ok, is_ok)
    assert manager.message() == {"READY": "1", "STATUS": "ready"}
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    with notifier.reloading():
        told = manager.message()
        assert told["RELOADING"] == "1"
        assert before <= int(told["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert manager.message() == {"READY": "1"}
    notifier.stopping()
    assert manager.message() == {"STOPPING": "1", "STATUS": "stopping"}
    notifier.close()


def test_a_reload_that_raises_is_over_too(manager: ServiceManager) -> None:
    with suppress(ValueError), Notifier(manager.address).reloading():
        raise ValueError
    assert "RELOADING" in manager.message()
    assert manager.message() == {"READY": "1"}


def test_the_watchdog_hears_of_a_live_server_alone(manager: ServiceManager) -> None:
    live = [Part("threads", None)]
    looks: list[int] = []

    def look() -> Sequence[Part]:
        looks.append(1)
        return live

    notifier = Notifier(manager.address, watchdog_seconds=0.02)
    notifier.ready(look, lambda: live)
    manager.wait_for(lambda told: told == {"WATCHDOG": "1"})
    live[:] = [Part("threads", "thread pump has been\nstuck for 9 s")]
    told = manager.wait_for(lambda told: "STATUS" in told)
    assert told == {"STATUS": "threads: thread pump has been stuck for 9 s"}
    seen = len(looks)
    eventually(lambda: len(looks) >= seen + 5)
    assert manager.is_silent
    live[:] = [Part("threads", None)]
    manager.wait_for(lambda told: told == {"WATCHDOG": "1"})
    notifier.close()


def test_while_the_server_stops_the_watchdog_waits_for_it(manager: ServiceManager) -> None:
    notifier = Notifier(manager.address, watchdog_seconds=0.02)
    notifier.ready(lambda: [Part("threads", "they have ended")], is_ok)
    assert manager.message()["READY"] == "1"
    notifier.stopping()
    assert manager.message()["STOPPING"] == "1"
    assert manager.message() == {"WATCHDOG": "1"}
    notifier.close()


@pytest.mark.parametrize("address", [None, "", "/no/such/folder/notify", "@no-socket-here", "not a path\n", "x" * 200])
def test_a_socket_that_is_missing_costs_nothing(address: str | None) -> None:
    notifier = Notifier(address, watchdog_seconds=0.002)
    notifier.ready(is_ok, is_ok)
    with notifier.reloading():
        pass
    notifier.stopping()
    notifier.close()


def test_a_full_socket_costs_the_message_alone(tmp_path: Path) -> None:
    with service_manager(f"{tmp_path}/notify") as manager:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filler, suppress(BlockingIOError):
            filler.setblocking(False)
            filler.connect(manager.address)
            while True:
                filler.send(b"X=1")
        notifier = Notifier(manager.address)
        notifier.stopping()
        assert manager.message() == {"X": "1"}


@pytest.mark.parametrize(
    ("variables", "has_watchdog"),
    [
        ({}, False),
        ({"WATCHDOG_USEC": "2000000"}, True),
        ({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid())}, True),
        ({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"}, False),
        ({"WATCHDOG_USEC": "0"}, False),
        ({"WATCHDOG_USEC": "soon"}, False),
    ],
)
def test_the_variables_are_read_and_not_left_for_child_processes(variables: dict[str, str], has_watchdog: bool) -> None:
    environment = {**variables, "NOTIFY_SOCKET": "/run/notify", "HOME": "/"}
    notifier = Notifier.from_environment(environment)
    assert environment == {"HOME": "/"}
    assert notifier._has_watchdog is has_watchdog
    assert notifier._interval == (1.0 if has_watchdog else 5.0)
