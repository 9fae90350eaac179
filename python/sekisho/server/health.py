"""What a server says of itself: for each part, whether it is ok, and otherwise the reason.

Threads of their own try the parts that may hang, at an interval. So asking costs nothing and waits for nothing, and a
result that is too old is not taken for a good one.

``live``: the process is at work; where it is not, only a restart helps. ``ready``: requests and devices are served.
``report``: everything, also what only an operator needs to look at.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from sekisho import __version__
from sekisho.observe import logging, threads
from sekisho.observe.event_log import log
from sekisho.observe.events import LogEvent
from sekisho.observe.threads import SupervisedThread, beat
from sekisho.store.errors import StoreError

PROBE_INTERVAL_SECONDS: Final = 5.0
"""Seconds from the end of one probe to the beginning of the next."""

STALE_SECONDS: Final = 20.0
"""Age in seconds beyond which a probe's result counts as a failure: the probe hangs."""

MIN_FREE_BYTES: Final = 64 * 1024 * 1024
"""Free bytes of the data folder's file system below which it counts as full."""

MAX_HEARTBEAT_AGE_MILLISECONDS: Final = 5000
"""Milliseconds without a task of the gateway's runtime after which it counts as stuck."""

MAX_LOG_BLOCKED_SECONDS: Final = 5.0
"""Seconds that one write of the log may last before the log counts as blocked."""

_PROBE_BYTES: Final = 4096


class ProbedStore(Protocol):
    """The store, as it is tried. The probes raise StoreError within the store's deadline, the others return at once."""

    @property
    def place(self) -> str: ...
    def probe_read(self) -> None: ...
    def probe_write(self) -> None: ...
    def statistics(self) -> Mapping[str, int]: ...


class Api(Protocol):
    """The HTTP server of the API, as it is asked (``api.http_server.HttpServer``)."""

    @property
    def is_accepting(self) -> bool: ...
    def statistics(self) -> Mapping[str, int]: ...


class PartFailing(Exception):
    """A part is failing. The message is the reason, one sentence."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the server."""

    name: str
    problem: str | None
    """The reason why it is failing, one sentence; None where it is ok."""
    facts: Mapping[str, Any] = field(default_factory=dict)


class Probe:
    """Tries one part at an interval, in a thread of its own, and keeps the last result.

    Args:
        check: Raises where the part is failing: PartFailing, StoreError or OSError with a message for an operator.
    """

    def __init__(self, name: str, check: Callable[[], None], interval: float = PROBE_INTERVAL_SECONDS) -> None:
        self.name = name
        self._check = check
        self._interval = interval
        self._problem: str | None = None
        self._checked_at: float | None = None
        self._stopping = threading.Event()
        self._thread = SupervisedThread(self._run, f"health-{name}", stopping=self._stopping)

    def start(self) -> None:
        """Try once, then go on in the thread."""
        self.check_once()
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Try no more; waits for a try in progress, at most ``timeout`` seconds."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def check_once(self) -> None:
        """Try now, and remember what came of it."""
        problem: str | None = None
        try:
            self._check()
        except (PartFailing, StoreError) as error:
            problem = str(error)
        except Exception as error:  # noqa: BLE001 - any error means that the part is failing
            problem = f"{type(error).__name__}: {error}"
        if (problem is None) != (self._problem is None):
            if problem is None:
                log.write(LogEvent.PART_RECOVERED, part=self.name)
            else:
                log.write(LogEvent.PART_FAILING, part=self.name, reason=problem)
        self._problem = problem
        self._checked_at = time.monotonic()

    @property
    def is_stale(self) -> bool:
        """Whether the last result is too old, or there is none."""
        return self._checked_at is None or time.monotonic() - self._checked_at > STALE_SECONDS

    @property
    def part(self) -> Part:
        """The last result."""
        if self._checked_at is None:
            return Part(self.name, f"{self.name} was not checked yet")
        age = time.monotonic() - self._checked_at
        problem = self._problem
        if age > STALE_SECONDS:
            last = "it was ok then" if problem is None else problem
            problem = f"a check of {self.name} has not ended for {age:.0f} s ({last})"
        return Part(self.name, problem, {"checked_seconds_ago": round(age, 1)})

    def _run(self) -> None:
        while not self._stopping.wait(self._interval):
            self.check_once()
            beat()


class Health:
    """The parts of one server. ``start`` once, ``stop`` once.

    Args:
        store: The registry.
        data: The data folder.
        statistics: Numbers of the data plane, as ``_sekisho.Gateway`` has them, and of what carries its events.
    """

    def __init__(
        self,
        store: ProbedStore,
        data: Path,
        statistics: Callable[[], Mapping[str, int]],
        interval: float = PROBE_INTERVAL_SECONDS,
    ) -> None:
        self._store = store
        self._data = data
        self._statistics = statistics
        self._api: Api | None = None
        self._requests: Callable[[], Mapping[str, int]] = dict
        self._last_statistics: Mapping[str, int] = {}
        self._store_probe = Probe("store", self._check_store, interval)
        self._data_probe = Probe("data_folder", self._check_data_folder, interval)
        self._mqtt_probe = Probe("mqtt", self._check_mqtt, interval)
        self._probes = [self._store_probe, self._data_probe, self._mqtt_probe]

    def watch(self, api: Api, requests: Callable[[], Mapping[str, int]] = dict) -> None:
        """Look at this server of the API too. Until then the API counts as one that does not listen.

        ``requests``: further numbers of the API.
        """
        self._api = api
        self._requests = requests

    def start(self) -> None:
        """Try everything once, then go on in threads."""
        for probe in self._probes:
            probe.start()

    def stop(self, timeout: float) -> None:
        """Try no more; waits at most ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        for probe in self._probes:
            probe.stop(max(0.0, deadline - time.monotonic()))

    def live(self) -> Sequence[Part]:
        """The parts of which a restart is the cure."""
        dead = [state for state in threads.states() if state.is_stuck or not state.is_alive]
        # A gateway whose runtime is stuck holds up those that ask it.
        stuck = self._mqtt_probe.part if self._mqtt_probe.is_stale else Part("mqtt", None)
        return [Part("threads", _sentences([state.problem for state in dead])), stuck]

    def ready(self) -> Sequence[Part]:
        """The parts that requests and devices need."""
        stopped = [state for state in threads.states() if state.is_stuck or not state.is_running]
        return [
            Part("api", None if self._api is not None and self._api.is_accepting else "the API takes no connections"),
            *(probe.part for probe in self._probes),
            Part("threads", _sentences([state.problem for state in stopped])),
        ]

    def parts(self) -> Sequence[Part]:
        """All, also those that fail without a consequence for requests."""
        ready = [part for part in self.ready() if part.name != "threads"]
        states = threads.states()
        return [
            *ready,
            Part("threads", _sentences([state.problem for state in states]), {"running": len(states)}),
            _log_part(),
        ]

    def report(self, *, is_detailed: bool) -> Mapping[str, Any]:
        """Everything, as the health route answers it. ``is_detailed``: with sentences, paths and errors."""
        if not self._mqtt_probe.is_stale:
            self._last_statistics = self._statistics()
        report: dict[str, Any] = {
            **verdict(self.parts(), is_detailed=is_detailed),
            "pid": os.getpid(),
            "version": __version__,
            "mqtt": self._last_statistics,
            "api": {} if self._api is None else {**self._api.statistics(), **self._requests()},
            "store": self._store.statistics(),
        }
        if is_detailed:
            report["threads"] = [
                {
                    "name": state.name,
                    "running": state.is_running,
                    "failures": state.failures,
                    "last_error": state.last_error,
                    "seconds_since_failure": state.seconds_since_failure,
                }
                for state in threads.states()
            ]
        return report

    def _check_store(self) -> None:
        self._store.probe_read()
        self._store.probe_write()

    def _check_data_folder(self) -> None:
        try:
            with tempfile.TemporaryFile(dir=self._data) as file:
                file.write(bytes(_PROBE_BYTES))
                file.flush()
                os.fsync(file.fileno())
            found = os.statvfs(self._data)
        except OSError as error:
            raise PartFailing(f"{self._data} cannot be written to: {error.strerror or error}") from None
        free = found.f_bavail * found.f_frsize
        if free < MIN_FREE_BYTES:
            raise PartFailing(
                f"{self._data}: only {free // 1024**2} MiB are free, and {MIN_FREE_BYTES // 1024**2} MiB are needed"
            )

    def _check_mqtt(self) -> None:
        found = self._statistics()
        if not found["listening"]:
            raise PartFailing("MQTT does not listen: its listener has ended")
        if found.get("accept_failing"):
            raise PartFailing("MQTT accepts no connections: the process has no free descriptors or no memory")
        if found.get("task_failing"):
            raise PartFailing("a task of the gateway failed within the last 30 s and runs again; see standard error")
        age = found.get("heartbeat_age_ms", 0)
        if age > MAX_HEARTBEAT_AGE_MILLISECONDS:
            raise PartFailing(f"the gateway's threads have been stuck for {age // 1000} s")


def verdict(parts: Sequence[Part], *, is_detailed: bool) -> dict[str, Any]:
    """``status`` (``ok`` or ``failing``), the names of what fails, and each part."""
    failing = [part.name for part in parts if part.problem is not None]
    return {
        "status": "failing" if failing else "ok",
        "failing": failing,
        "parts": {
            part.name: {"ok": part.problem is None, **part.facts}
            | ({"reason": part.problem} if is_detailed and part.problem is not None else {})
            for part in parts
        },
    }


def _log_part() -> Part:
    state = logging.state()
    problem = None
    if state.error is not None:
        problem = f"the log cannot be written ({state.error}); {state.dropped} lines are lost, {state.waiting} wait"
    elif state.blocked_seconds > MAX_LOG_BLOCKED_SECONDS:
        problem = (
            f"what reads the log has not read for {state.blocked_seconds:.0f} s; {state.dropped} lines are lost, "
            f"{state.waiting} wait"
        )
    return Part("log", problem, {"written": state.written, "dropped": state.dropped, "waiting": state.waiting})


def _sentences(problems: Sequence[str | None]) -> str | None:
    return "; ".join(problem for problem in problems if problem is not None) or None
