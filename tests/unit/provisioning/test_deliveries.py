"""Deliveries to handlers: the order of calls, the effects of failures, and that nothing is lost."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from sekisho.provisioning.deliveries import rules as deliveries
from sekisho.provisioning.deliveries.model import Delivery, DeliveryState
from sekisho.provisioning.deliveries.rules import Backlog, Counts, Deliveries, Dispatcher, Enqueuing, Lane
from sekisho.provisioning.deliveries.store import DeliveryRows
from sekisho.provisioning.handlers import HandlerFailed
from sekisho.provisioning.outbox.model import Event
from sekisho.realm import Realm
from sekisho.store.errors import StoreError
from sekisho.store.store import Store
from sekisho.store.transaction import Transaction
from tests.logs import captured_log
from tests.stores import empty_store
from tests.unit.features.arrange import HOME, OTHER_ACCOUNT, SetClock
from tests.wait import eventually

WITHIN = 15.0
"""Seconds for something immediate."""


@dataclass
class Recorder:
    """Handlers that record their calls, and fail or wait as the test says."""

    calls: list[tuple[Realm, str, Mapping[str, Any], str | None]] = field(default_factory=list)
    fails: Callable[[str], Exception | None] = lambda _: None
    gates: dict[str, threading.Event] = field(default_factory=dict)
    permits: threading.Semaphore | None = None

    def invoke(
        self,
        realm: Realm,
        function: str,
        event: Mapping[str, Any],
        *,
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> Any:
        assert timeout is None
        self.calls.append((realm, function, event, request_id))
        for admission in (function, f"{function} {realm.account_id}"):
            if admission in self.gates:
                assert self.gates[admission].wait(WITHIN)
        if self.permits is not None:
            assert self.permits.acquire(timeout=WITHIN)
        if (failure := self.fails(function)) is not None:
            raise failure

    def for_certificate_registered(self, realm: Realm, ca_certificate_id: str) -> list[str]:
        raise AssertionError(realm, ca_certificate_id)

    def events(self) -> list[Any]:
        return [event["n"] for _, _, event, _ in self.calls]


@dataclass
class World:
    """A store, a clock that a test sets, and handlers that record."""

    store: Store
    clock: SetClock
    handlers: Recorder
    enqueuing: Enqueuing = field(default_factory=Enqueuing)
    started: list[Dispatcher] = field(default_factory=list)

    def dispatcher(self, *, start: bool = True, **lanes: Lane) -> Dispatcher:
        made = Dispatcher(self.store, self.handlers, lanes or {"h": Lane(5)}, self.clock, chance=lambda: 1.0)
        if start:
            made.start()
            self.started.append(made)
        return made

    def enqueue(self, n: Any, handler: str = "h", realm: Realm = HOME, subject: str | None = None) -> None:
        event = Event(realm, "t", json.dumps({"n": n}).encode())
        with self.store.write() as tx:
            self.enqueuing.enqueue_in(tx, self.clock.now, handler, event, subject or f"subject {n}")

    def kept(self, handler: str = "h") -> list[Delivery]:
        with self.store.read() as tx:
            return [
                delivery
                for realm in (HOME, OTHER_ACCOUNT)
                for _, delivery in DeliveryRows(tx).upcoming(handler, realm.account_id, 1000)
            ]

    def given_up(self, handler: str = "h") -> Delivery | None:
        with self.store.read() as tx:
            return DeliveryRows(tx).latest(handler, DeliveryState.FAILED)

    def seconds_to_next(self) -> float:
        [delivery] = self.kept()
        return (delivery.next_attempt_at - self.clock.now).total_seconds()


@pytest.fixture
def world() -> Iterator[World]:
    with empty_store() as store:
        made = World(store, SetClock(), Recorder())
        yield made
        for admission in made.handlers.gates.values():
            admission.set()
        for each in made.started:
            each.stop(WITHIN)


def test_an_enqueued_event_is_delivered_and_removed(world: World) -> None:
    dispatcher = world.dispatcher()
    world.enqueue(1, realm=OTHER_ACCOUNT)
    dispatcher.wake()
    eventually(lambda: world.kept() == [] and len(world.handlers.calls) == 1)
    [(realm, function, event, request_id)] = world.handlers.calls
    assert (realm, function, event) == (OTHER_ACCOUNT, "h", {"n": 1})
    assert request_id


def test_lanes_are_replaced_while_a_delivery_is_in_hand(world: World) -> None:
    admission = world.handlers.gates["h"] = threading.Event()
    dispatcher = world.dispatcher(h=Lane(5), same=Lane(5), gone=Lane(5))
    [same] = [lane for name, lane in dispatcher._lanes.items() if name == "same"]
    world.enqueue(1)
    dispatcher.wake()
    eventually(lambda: world.handlers.events() == [1])
    dispatcher.replace({"h": Lane(1, 1), "same": Lane(5), "new": Lane(5)})
    assert dispatcher._lanes["same"] is same
    world.enqueue(2, "new")
    world.enqueue(3, "gone")
    world.enqueue(4)
    dispatcher.wake()
    # The new lane of h delivers the next event, and leaves the one in hand to the former lane.
    eventually(lambda: sorted(world.handlers.events()) == [1, 2, 4])
    admission.set()
    eventually(lambda: world.kept() == [] and world.kept("new") == [])
    assert sorted(world.handlers.events()) == [1, 2, 4]
    assert [json.loads(each.payload) for each in world.kept("gone")] == [{"n": 3}]


def test_an_event_that_was_rolled_back_is_not_delivered(world: World) -> None:
    dispatcher = world.dispatcher()

    def failing() -> None:
        with world.store.write() as tx:
            world.enqueuing.enqueue_in(tx, world.clock.now, "h", Event(HOME, "t", b'{"n": 1}'), "s")
            raise ArithmeticError

    with suppress(ArithmeticError):
        failing()
    world.enqueue(2)
    dispatcher.wake()
    eventually(lambda: world.handlers.events() == [2])


def test_events_of_an_earlier_run_are_delivered_at_the_start_in_order(world: World) -> None:
    for n in range(10):
        world.enqueue(n)
        world.clock.move(0.001)
    world.dispatcher(h=Lane(5, concurrency=1))
    eventually(lambda: world.kept() == [])
    assert world.handlers.events() == list(range(10))


def test_a_failed_call_is_repeated_after_a_delay_that_doubles_up_to_five_minutes(world: World) -> None:
    world.handlers.fails = lambda _: HandlerFailed("out of order")
    dispatcher = world.dispatcher(h=Lane(retries=1000))
    world.enqueue(1)
    delays = []
    for attempt in range(1, 13):
        dispatcher.wake()
        eventually(lambda: world.kept()[0].attempts == attempt)  # noqa: B023 - called before it changes
        delays.append(world.seconds_to_next())
        # Not earlier.
        world.clock.move(delays[-1] - 0.001)
        dispatcher.wake()
        assert world.kept()[0].attempts == attempt
        world.clock.move(0.001)
    assert delays == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    assert world.kept()[0].last_error == "out of order"
    # A handler recognises a repeated event by its id.
    assert len({request_id for *_, request_id in world.handlers.calls}) == 1


def test_a_delay_is_shortened_at_random_by_up_to_half(world: World) -> None:
    world.handlers.fails = lambda _: HandlerFailed("out of order")
    dispatcher = Dispatcher(world.store, world.handlers, {"h": Lane(5)}, world.clock, chance=lambda: 0.0)
    dispatcher.start()
    world.started.append(dispatcher)
    world.enqueue(1)
    dispatcher.wake()
    eventually(lambda: world.kept()[0].attempts == 1)
    assert world.seconds_to_next() == 0.5


def test_a_due_delivery_is_made_even_if_no_event_wakes_the_lane(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "POLL_SECONDS", 3600.0)
    answers: list[HandlerFailed | None] = [None, HandlerFailed("once")]
    world.handlers.fails = lambda _: answers.pop()
    began = time.monotonic()

    class RealTime(SetClock):
        def __call__(self) -> Any:
            return self.now + timedelta(seconds=time.monotonic() - began)

    world.clock = RealTime()
    world.enqueue(1)
    world.dispatcher()
    eventually(lambda: world.kept() == [])
    assert len(world.handlers.calls) == 2
    assert time.monotonic() - began >= 1.0


def test_after_its_retries_a_delivery_fails_is_kept_and_can_be_retried(world: World) -> None:
    world.handlers.fails = lambda _: HandlerFailed("out of order " + "x" * 5000)
    dispatcher = world.dispatcher(h=Lane(retries=2))
    world.enqueue(1)
    operator = Deliveries(world.store, world.clock)
    with captured_log() as logs:
        for attempt in range(1, 4):
            dispatcher.wake()
            eventually(lambda: len(logs) == attempt)  # noqa: B023 - called before it changes
            world.clock.move(3600)
    assert [line["log_level"] for line in logs] == ["warning", "warning", "error"]
    assert (logs[2]["handler"], logs[2]["subject"], logs[2]["attempts"]) == ("h", "subject 1", 3)
    assert world.kept() == []
    failed = world.given_up()
    assert failed is not None
    assert (failed.attempts, failed.payload) == (3, b'{"n": 1}')
    assert failed.last_error is not None
    assert len(failed.last_error) == deliveries.MAX_ERROR_CHARACTERS
    assert operator.backlogs(["h"]) == [Backlog("h", 0, 1, failed.last_error, {HOME.account_id: Counts(0, 1)})]

    dispatcher.wake()
    assert len(world.handlers.calls) == 3
    world.handlers.fails = lambda _: None
    assert operator.retry("another") == 0
    assert operator.retry("h") == 1
    dispatcher.wake()
    eventually(lambda: operator.backlogs() == [])
    assert len(world.handlers.calls) == 4


def test_a_permanent_failure_is_not_retried(world: World) -> None:
    world.handlers.fails = lambda _: HandlerFailed("there is no handler", is_permanent=True)
    dispatcher = world.dispatcher()
    world.enqueue(1)
    dispatcher.wake()
    eventually(lambda: world.given_up() is not None)
    assert world.kept() == []


def test_a_retry_by_another_process_is_noticed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "POLL_SECONDS", 0.05)
    world.handlers.fails = lambda _: HandlerFailed("no", is_permanent=True)
    world.enqueue(1)
    world.dispatcher()
    eventually(lambda: world.given_up() is not None)
    world.handlers.fails = lambda _: None
    assert Deliveries(world.store, world.clock).retry() == 1
    eventually(lambda: world.given_up() is None and world.kept() == [])


def test_an_unexpected_exception_is_a_failure(world: World) -> None:
    world.handlers.fails = lambda _: ZeroDivisionError("by zero")
    dispatcher = world.dispatcher()
    world.enqueue(1)
    with captured_log() as logs:
        dispatcher.wake()
        eventually(lambda: world.kept()[0].attempts == 1)
    assert world.kept()[0].last_error == "handler 'h': ZeroDivisionError: by zero"
    assert logs[0]["exc_info"]


def test_simultaneous_calls_are_bounded_and_a_slow_handler_does_not_delay_another(world: World) -> None:
    admission = world.handlers.gates["slow"] = threading.Event()
    dispatcher = world.dispatcher(slow=Lane(5, concurrency=2), quick=Lane(5))
    for n in range(5):
        world.enqueue(n, "slow")
        world.enqueue(n, "quick")
    dispatcher.wake()
    eventually(lambda: world.kept("quick") == [])
    eventually(lambda: sum(function == "slow" for _, function, *_ in world.handlers.calls) == 2)
    assert len(world.kept("slow")) == 5
    admission.set()
    eventually(lambda: world.kept("slow") == [])
    # Each once, though deliveries in progress were still in the store.
    assert len(world.handlers.calls) == 10


@pytest.mark.parametrize("concurrency", [1, 4])
def test_slow_calls_of_an_account_delay_no_other_account(world: World, concurrency: int) -> None:
    for n in range(150):
        world.enqueue(n)
    admission = world.handlers.gates[f"h {HOME.account_id}"] = threading.Event()
    dispatcher = world.dispatcher(h=Lane(5, concurrency=concurrency))
    eventually(lambda: len(world.handlers.calls) == concurrency)
    for n in range(20):
        world.enqueue(n, realm=OTHER_ACCOUNT)
    dispatcher.wake()

    def has_all() -> bool:
        with world.store.read() as tx:
            return not DeliveryRows(tx).upcoming("h", OTHER_ACCOUNT.account_id, 1)

    eventually(has_all)
    accounts = [realm.account_id for realm, *_ in world.handlers.calls]
    # The first account continues with its share only.
    assert accounts.count(HOME.account_id) == concurrency
    assert accounts.count(OTHER_ACCOUNT.account_id) == 20
    admission.set()


def test_accounts_are_served_in_turn_whatever_each_has_waiting(world: World) -> None:
    realms = [Realm(account_id, "us-east-1") for account_id in ("111111111111", "222222222222", "333333333333")]
    for many, realm in zip((40, 9, 5), realms, strict=True):
        for n in range(many):
            world.enqueue(n, realm=realm)
    permits = world.handlers.permits = threading.Semaphore(0)
    world.dispatcher(h=Lane(5, concurrency=1))
    for done in range(15):
        eventually(lambda: len(world.handlers.calls) == done + 2)  # noqa: B023 - called before it changes
        permits.release()
    accounts = [realm.account_id[0] for realm, *_ in world.handlers.calls]
    assert "".join(accounts[:15]) == "123" * 5
    # Within an account in the order of their arrival.
    assert [event["n"] for realm, _, event, _ in world.handlers.calls if realm == realms[0]][:5] == [0, 1, 2, 3, 4]
    permits.release(1000)


def test_the_events_of_an_account_for_a_handler_are_bounded(world: World) -> None:
    world.enqueuing = Enqueuing(limit=5)
    with captured_log() as logs:
        for n in range(7):
            world.enqueue(n)
            world.enqueue(n, "another")
        for n in range(3):
            world.enqueue(n, realm=OTHER_ACCOUNT)
    assert [json.loads(each.payload)["n"] for each in world.kept() if each.realm == HOME] == [0, 1, 2, 3, 4]
    assert len(world.kept()) == 5 + 3
    assert len(world.kept("another")) == 5
    assert [(line["handler"], line["account_id"], line["limit"]) for line in logs] == [
        ("h", HOME.account_id, 5),
        ("another", HOME.account_id, 5),
    ]
    assert world.enqueuing.statistics() == {"handler_events_not_kept": 4, "handler_events_forgotten": 0}
    # An event that replaces another needs no room.
    world.enqueue("anew", subject="subject 3")
    assert [json.loads(each.payload)["n"] for each in world.kept() if each.realm == HOME] == [0, 1, 2, 4, "anew"]


def test_failed_events_make_room_for_new_ones_beginning_with_the_first_failed(world: World) -> None:
    world.enqueuing = Enqueuing(limit=4)
    world.handlers.fails = lambda _: HandlerFailed("no", is_permanent=True)
    dispatcher = world.dispatcher(h=Lane(5, concurrency=1))
    for n in range(4):
        world.enqueue(n)
        dispatcher.wake()
        eventually(lambda: world.kept() == [])
        world.clock.move(1)
    dispatcher.stop(WITHIN)
    with captured_log() as logs:
        world.enqueue("new")
    [line] = logs
    assert (line["code"], line["count"]) == ("handler_events_forgotten", 4)
    assert [json.loads(each.payload)["n"] for each in world.kept()] == ["new"]
    assert world.enqueuing.statistics() == {"handler_events_not_kept": 0, "handler_events_forgotten": 4}


def test_failed_events_are_discarded_of_one_account_or_of_all(world: World) -> None:
    world.handlers.fails = lambda _: HandlerFailed("not yours", is_permanent=True)
    for n in range(3):
        world.enqueue(n)
        world.enqueue(n, realm=OTHER_ACCOUNT)
        world.enqueue(n, "another")
    dispatcher = world.dispatcher(h=Lane(5), another=Lane(5))
    eventually(lambda: world.kept() == [] and world.kept("another") == [])
    dispatcher.stop(WITHIN)
    world.enqueue("waits")
    operator = Deliveries(world.store, world.clock)
    assert operator.discard("h", OTHER_ACCOUNT.account_id) == 3
    assert operator.discard("h", OTHER_ACCOUNT.account_id) == 0
    assert [(each.pending, each.failed) for each in operator.backlogs(["h", "another"])] == [(1, 3), (0, 3)]
    assert operator.discard("h") == 3
    assert [(each.pending, each.failed) for each in operator.backlogs(["h", "another"])] == [(1, 0), (0, 3)]


def test_a_busy_handler_counts_as_no_attempt(world: World) -> None:
    world.handlers.fails = lambda _: HandlerFailed("all of its processes are in use", is_busy=True)
    dispatcher = world.dispatcher(h=Lane(retries=0))
    world.enqueue(1)
    for calls in range(1, 4):
        dispatcher.wake()
        eventually(lambda: len(world.handlers.calls) == calls)  # noqa: B023 - called before it changes
        eventually(lambda: world.seconds_to_next() == 1)
        [kept] = world.kept()
        assert (kept.attempts, kept.state, kept.last_error) == (
            0,
            DeliveryState.PENDING,
            "all of its processes are in use",
        )
        world.clock.move(1)
    world.handlers.fails = lambda _: None
    dispatcher.wake()
    eventually(lambda: world.kept() == [])


def test_an_event_that_replaces_a_delivery_in_progress_is_delivered_too(world: World) -> None:
    admission = world.handlers.gates["h"] = threading.Event()
    dispatcher = world.dispatcher(h=Lane(5, concurrency=1))
    world.enqueue("first", subject="s")
    dispatcher.wake()
    eventually(lambda: len(world.handlers.calls) == 1)
    world.enqueue("second", subject="s")
    dispatcher.wake()
    admission.set()
    eventually(lambda: world.kept() == [])
    assert world.handlers.events() == ["first", "second"]


def test_stopping_waits_for_calls_in_progress(world: World) -> None:
    admission = world.handlers.gates["h"] = threading.Event()
    dispatcher = world.dispatcher()
    world.enqueue(1)
    dispatcher.wake()
    eventually(lambda: len(world.handlers.calls) == 1)
    threading.Timer(0.05, admission.set).start()
    dispatcher.stop(WITHIN)
    assert world.kept() == []


@pytest.mark.parametrize("is_failure", [True, False])
def test_an_interrupted_call_is_repeated_by_the_next_run_and_counts_as_no_attempt(
    world: World, is_failure: bool
) -> None:
    admission = world.handlers.gates["h"] = threading.Event()
    world.handlers.fails = lambda _: HandlerFailed("its process was ended") if is_failure else None
    dispatcher = world.dispatcher()
    world.enqueue(1)
    dispatcher.wake()
    eventually(lambda: len(world.handlers.calls) == 1)
    dispatcher.stop(0.05)
    admission.set()
    for lane in dispatcher._lanes.values():
        lane.join(time.monotonic() + WITHIN)
    assert world.kept()[0].attempts == 0
    world.handlers.fails = lambda _: None
    world.dispatcher()
    eventually(lambda: world.kept() == [])
    assert world.handlers.events() == [1, 1]


def test_no_call_starts_after_stopping(world: World) -> None:
    dispatcher = world.dispatcher()
    dispatcher.stop(WITHIN)
    world.enqueue(1)
    dispatcher.wake()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("deliveries-")]
    assert world.handlers.calls == []


def test_an_unusable_store_delays_deliveries_and_loses_none(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "POLL_SECONDS", 0.02)
    is_full = threading.Event()
    is_full.set()
    write = Store.write

    @contextmanager
    def failing(store: Store) -> Iterator[Transaction]:
        if is_full.is_set():
            raise StoreError("the disk is full")
        with write(store) as tx:
            yield tx

    world.enqueue(1)
    monkeypatch.setattr(Store, "write", failing)
    with captured_log() as logs:
        world.dispatcher()
        eventually(lambda: len(world.handlers.calls) > 1)
        is_full.clear()
        eventually(lambda: world.kept() == [])
    assert logs[0]["reason"] == "the disk is full"


def test_a_look_that_fails_at_its_end_keeps_no_delivery_and_no_thread(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "POLL_SECONDS", 0.02)
    is_broken = threading.Event()
    is_broken.set()
    read = Store.read
    looks: list[int] = []

    @contextmanager
    def failing(store: Store) -> Iterator[Transaction]:
        with read(store) as tx:
            yield tx
        if is_broken.is_set():
            looks.append(1)
            raise StoreError("the connection is gone")

    for n in range(3):
        world.enqueue(n)
    monkeypatch.setattr(Store, "read", failing)
    world.dispatcher(h=Lane(5, concurrency=1))
    eventually(lambda: len(looks) > 6)
    assert world.handlers.calls == []
    is_broken.clear()
    eventually(lambda: world.kept() == [])
    assert sorted(world.handlers.events()) == [0, 1, 2]


def test_deliveries_of_an_unconfigured_handler_wait_and_are_listed(world: World) -> None:
    dispatcher = world.dispatcher(h=Lane(5))
    world.enqueue(1, "gone")
    world.enqueue(1, "gone", realm=OTHER_ACCOUNT)
    world.enqueue(2, "h")
    dispatcher.wake()
    eventually(lambda: world.handlers.events() == [2] and world.kept() == [])
    assert Deliveries(world.store, world.clock).backlogs(["h"]) == [
        Backlog("h", 0, 0, None),
        Backlog("gone", 2, 0, None, {HOME.account_id: Counts(1, 0), OTHER_ACCOUNT.account_id: Counts(1, 0)}),
    ]
