"""Each background thread continues after an unexpected error, also one of its logging, and health reports it."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sekisho._sekisho import Gateway
from sekisho.admission.model import Identity
from sekisho.gateway import pump, requests
from sekisho.gateway.pump import Pump
from sekisho.gateway.requests import Requests
from sekisho.handlers import process, processes
from sekisho.handlers.process import Process
from sekisho.handlers.processes import Owner, Processes
from sekisho.messaging.requests import Reply, Request
from sekisho.observe import threads
from sekisho.observe.event_log import log
from sekisho.observe.log_writer import LogWriter
from sekisho.provisioning.bulk import registration as bulk
from sekisho.provisioning.bulk.model import RegistrationTaskStatus
from sekisho.provisioning.bulk.registration import BulkRegistration
from sekisho.provisioning.bulk.rules import RegistrationTasks
from sekisho.provisioning.deliveries import rules as deliveries
from sekisho.provisioning.deliveries.rules import Dispatcher, Enqueuing, Lane
from sekisho.provisioning.outbox.model import Event
from sekisho.provisioning.provisioner import Provisioned
from sekisho.realm import Realm
from sekisho.refusal import RefusalReason, Refused
from sekisho.server import health, maintenance
from sekisho.server.handler_settings import PythonFunction
from sekisho.server.health import Health, Probe
from sekisho.server.maintenance import Maintenance
from sekisho.store.store import Store
from sekisho.store.transaction import Transaction
from sekisho.templates.resources import Resources
from tests.stores import empty_store
from tests.unit.features.arrange import HOME, SetClock
from tests.wait import eventually

WITHIN = 15.0
TEMPLATE = json.dumps(
    {
        "Parameters": {"ThingName": {"Type": "String"}},
        "Resources": {"thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "ThingName"}}}},
    }
)


class BrokenLog:
    """A log whose every line raises, like one on a closed pipe."""

    def write(self, *_: object, **__: object) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    exception = write

    def fields(self, **fields: object) -> AbstractContextManager[None]:
        return log.fields(**fields)


@pytest.fixture(autouse=True)
def broken_log(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (bulk, deliveries, health, maintenance, process, processes, pump, requests, threads):
        if hasattr(module, "log"):
            monkeypatch.setattr(module, "log", BrokenLog())
    monkeypatch.setattr(threads, "RESTART_DELAY_SECONDS", 0.001)


class Once:
    """Raises at its first call, and does nothing at the others."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1
        if self.calls == 1:
            raise ArithmeticError("an unexpected error")


def told_of(name: str) -> bool:
    """Return whether a server's health reports that a thread has failed and runs again."""
    report = Health(cast(Any, SimpleNamespace(statistics=dict)), Path(), dict).report(is_detailed=True)
    return any(
        each["name"].startswith(name) and each["failures"] and each["running"] and not report["parts"]["threads"]["ok"]
        for each in report["threads"]
    )


class Plane:
    """A gateway with the events that a test puts into it."""

    def __init__(self) -> None:
        self.events: queue.Queue[Any] = queue.Queue()
        self.completed: queue.Queue[Any] = queue.Queue()
        self.replies: queue.Queue[Any] = queue.Queue()

    def next_batch(self, _limit: int, _timeout: float) -> list[Any]:
        try:
            return [self.events.get(timeout=0.01)]
        except queue.Empty:
            return []

    def complete(self, answers: Sequence[Any]) -> None:
        for answer in answers:
            self.completed.put(answer)

    def reply(self, replies: Sequence[Any]) -> list[None]:
        for reply in replies:
            self.replies.put(reply)
        return [None] * len(replies)


def admission(number: int) -> dict[str, Any]:
    return {
        "kind": "admit",
        "id": number,
        "account_id": HOME.account_id,
        "region": HOME.region,
        "certificate_id": "ab" * 32,
        "leaf": b"leaf",
        "chain": [],
        "client_id": "client",
        "is_reexamination": False,
        "network": "127.0.0.1",
    }


class Examining:
    """Refuses each certificate; each step may fail once."""

    def __init__(self, *, known: Callable[[], None] = lambda: None, answer: Callable[[], None] = lambda: None) -> None:
        self._known = known
        self._answer = answer

    def known(self, requests: Sequence[Any]) -> list[Any]:
        self._known()
        return [None] * len(requests)

    def answer(self, requests: Sequence[Any]) -> list[Identity | Refused]:
        self._answer()
        return [Refused(RefusalReason.DEVICE_CERTIFICATE_NOT_REGISTERED)] * len(requests)


@pytest.mark.parametrize(("step", "name"), [("known", "gateway-pump"), ("answer", "gateway-registrations")])
def test_the_pump(step: str, name: str) -> None:
    plane, once = Plane(), Once()
    running = Pump(cast(Gateway, plane), Examining(**{step: once}))
    running.start()
    try:
        plane.events.put(admission(1))
        eventually(lambda: once.calls == 1)
        plane.events.put(admission(2))
        assert plane.completed.get(timeout=WITHIN)["id"] == 2
        eventually(lambda: told_of(name))
    finally:
        running.stop()


class Echo:
    """A service that fails once."""

    topics = ("$aws/echo/+",)

    def __init__(self, once: Once) -> None:
        self._once = once

    def answer(self, request: Request) -> Reply:
        self._once()
        return Reply(f"{request.topic}/accepted", request.payload)

    def throttled(self, request: Request) -> Reply:
        self._once()
        return Reply(f"{request.topic}/rejected", b"later")


def a_request(payload: bytes) -> Request:
    return Request(HOME, 7, "client", "ab" * 32, "$aws/echo/json", payload)


def test_services_that_devices_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    plane, once = Plane(), Once()
    monkeypatch.setattr(requests, "THREADS", 2)
    running = Requests(cast(Gateway, plane), [Echo(once)])
    running.start()
    try:
        running.take(a_request(b"first"))
        eventually(lambda: once.calls == 1)
        for _ in range(8):
            running.take(a_request(b"next"))
        for _ in range(8):
            assert plane.replies.get(timeout=WITHIN)
        eventually(lambda: told_of("service-"))
    finally:
        running.stop()


class OnceBroken:
    """A store whose reading fails once, or once in each thread that reads."""

    def __init__(self, store: Store, once: Once) -> None:
        self._store = store
        self._once = once

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        self._once()
        with self._store.read() as tx:
            yield tx

    def write(self) -> AbstractContextManager[Transaction]:
        return self._store.write()


@pytest.fixture
def store() -> Iterator[Store]:
    with empty_store() as opened:
        yield opened


class Called:
    """Handlers that record their calls."""

    def __init__(self) -> None:
        self.calls: queue.Queue[Any] = queue.Queue()

    def invoke(self, _realm: Realm, _function: str, event: Mapping[str, Any], **_: object) -> None:
        self.calls.put(event)

    def for_certificate_registered(self, *_: object) -> list[str]:
        return []


def test_the_dispatcher(store: Store) -> None:
    clock, handlers, once = SetClock(), Called(), Once()
    running = Dispatcher(cast(Any, OnceBroken(store, once)), cast(Any, handlers), {"h": Lane(5)}, clock)
    running.start()
    try:
        eventually(lambda: once.calls > 1)
        with store.write() as tx:
            Enqueuing().enqueue_in(tx, clock.now, "h", Event(HOME, "t", json.dumps({"n": 1}).encode()), "subject")
        running.wake()
        assert handlers.calls.get(timeout=WITHIN) == {"n": 1}
        eventually(lambda: told_of("deliveries-h-"))
    finally:
        running.stop()


def test_bulk_registration(store: Store) -> None:
    clock, once = SetClock(), Once()
    content = b'{"ThingName": "kettle"}\n'

    class Source:
        size, version = len(content), "1"

        def __init__(self) -> None:
            self._rest = [content]

        def read(self, _size: int) -> bytes:
            return self._rest.pop() if self._rest else b""

    class Buckets:
        @contextmanager
        def open(self, *_: object) -> Iterator[Source]:
            yield Source()

    def provision(tx: Transaction, realm: Realm, now: datetime, resources: Resources) -> Provisioned:
        return Provisioned({"thing": f"arn of {tx} {realm} {now} {resources}"}, "kettle", None, {})

    running = BulkRegistration(cast(Any, OnceBroken(store, once)), clock, cast(Any, Buckets()), provision)
    tasks = RegistrationTasks(store, clock, lambda *_: None)
    task_id = tasks.start(HOME, TEMPLATE, "bucket", "key", "arn:aws:iam::123456789012:role/r").task_id
    try:
        running.begin(HOME, task_id)
        eventually(lambda: tasks.describe(HOME, task_id).status is RegistrationTaskStatus.COMPLETED)
        assert tasks.describe(HOME, task_id).success_count == 1
        assert once.calls > 1
    finally:
        running.stop()


def test_maintenance() -> None:
    once = Once()
    running = Maintenance({"forget": once}, interval=0.001)
    running.start()
    try:
        eventually(lambda: once.calls > 2)
        eventually(lambda: told_of("maintenance"))
    finally:
        running.stop()


def test_a_probe_of_health() -> None:
    once = Once()
    probe = Probe("part", once, interval=0.001)
    with pytest.raises(BrokenPipeError):
        probe.check_once()
    probe._thread.start()
    try:
        eventually(lambda: once.calls > 2 and probe.part.problem is None)
    finally:
        probe.stop(WITHIN)


def test_the_log_itself() -> None:
    written, once = bytearray(), Once()

    def write(data: bytes | memoryview) -> int:
        once()
        written.extend(data)
        return len(data)

    writer = LogWriter(write, lambda count: f"{count} dropped\n".encode())
    try:
        writer.put(b"first\n")
        eventually(lambda: once.calls == 1)
        writer.put(b"second\n")
        assert writer.flush(WITHIN)
        assert b"second\n" in written
        eventually(lambda: told_of("log-writer"))
    finally:
        writer.stop()


def test_what_a_python_function_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []

    class BreaksOnce(BrokenLog):
        def write(self, *_: object, **fields: object) -> None:
            if not lines:
                lines.append("")
                raise ArithmeticError("an unexpected error")
            lines.append(str(fields["text"]))

    monkeypatch.setattr(process, "log", BreaksOnce())
    (tmp_path / "prints.py").write_text("import sys\nfor n in range(3):\n    print(n, file=sys.stderr, flush=True)\n")
    target = PythonFunction(path=tmp_path, module="prints", function="absent", workers=1)
    made = Process("prints", HOME, target, {}, 10.0)
    try:
        eventually(lambda: lines[-2:] == ["1", "2"])
    finally:
        made.kill()


class Idle:
    """A process that was not called for long; the first look at it fails."""

    def __init__(self) -> None:
        self.look = Once()
        self.ended = threading.Event()

    @property
    def idle_for(self) -> float:
        self.look()
        return 3600.0

    def end(self) -> None:
        self.ended.set()


class Stubborn:
    """A process that was not called for long, and cannot be ended."""

    idle_for = 3600.0

    def end(self) -> None:
        raise OSError("it cannot be ended")


def test_an_idle_process_that_cannot_be_ended_does_not_prevent_the_end_of_others() -> None:
    others, owner = [Idle() for _ in range(2)], Owner("h", HOME)
    for other in others:
        other.look.calls = 1
    running = Processes(3, idle_seconds=0.01)
    running._idle += [(owner, cast(Process, each)) for each in (others[0], Stubborn(), others[1])]
    running._lane(owner, 1)
    try:
        assert all(other.ended.wait(WITHIN) for other in others)
    finally:
        running._idle.clear()
        running.close()


def test_what_ends_idle_processes() -> None:
    idle, owner = Idle(), Owner("h", HOME)
    running = Processes(2, idle_seconds=0.01)
    running._idle.append((owner, cast(Process, idle)))
    running._lane(owner, 1)
    try:
        assert idle.ended.wait(WITHIN)
        eventually(lambda: told_of("handler-processes-idle"))
    finally:
        running.close()
