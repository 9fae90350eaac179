"""Deliveries: stores events for handlers in the transaction that causes them, and calls the handlers.

Delivery is at least once: a call that the server's end interrupts is made again. A call that fails is retried after 1
second, then 2, 4, and so on up to 5 minutes. Each delay is shortened by up to half at random, so that calls which
failed together are not retried together. After ``Lane.retries`` retries, or a permanent error, the delivery is FAILED,
and kept until an operator retries or discards it.

Accounts are served in turn: an account with a thousand events delays another account by one call. An account has at
most ``MAX_EVENTS_PER_ACCOUNT`` events for a handler.
"""

from __future__ import annotations

import json
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from sekisho.accounts.store import AccountRows
from sekisho.clock import Clock
from sekisho.fair_queue import Shares
from sekisho.observe.event_log import log
from sekisho.observe.events import LogEvent
from sekisho.observe.tally import Tally
from sekisho.observe.threads import SupervisedThread, record_failure
from sekisho.provisioning.deliveries.model import Delivery, DeliveryState
from sekisho.provisioning.deliveries.store import DeliveryRows
from sekisho.provisioning.handlers import HandlerFailed, Handlers
from sekisho.provisioning.outbox.model import Event
from sekisho.store.errors import StoreError
from sekisho.store.store import Store
from sekisho.store.transaction import Transaction

FIRST_DELAY: Final = timedelta(seconds=1)
LONGEST_DELAY: Final = timedelta(minutes=5)

BUSY_DELAY: Final = timedelta(seconds=1)
"""The time before the next attempt if the handler was busy. Such an attempt does not count."""

POLL_SECONDS: Final = 5.0
"""Seconds after which a lane reads the store without ``wake``: another process may have requested a retry."""

MAX_EVENTS_PER_ACCOUNT: Final = 10_000
"""Events that the store keeps for a handler and account, including FAILED ones."""

FAILED_REMOVED_AT_LIMIT: Final = 100
"""FAILED events that are removed together when an account is at its limit."""

MAX_ERROR_CHARACTERS: Final = 1000
"""Characters of an error that are stored."""

_IDS: Final = uuid.UUID("8a2c3ad6-3f1f-4cf4-9d0e-3f6c4f1b4a57")


class Enqueuing:
    """Stores events for handlers, up to a limit for each account. Can be used from any thread.

    Attributes:
        limit: The maximum of events of a handler and account.
    """

    def __init__(self, limit: int = MAX_EVENTS_PER_ACCOUNT) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        # How many events may be added before the store is counted again. Only other servers on the same database add
        # further ones in between.
        self._room: dict[tuple[str, str], int] = {}
        self._refused = Tally()
        self._forgotten = Tally()

    def enqueue_in(self, tx: Transaction, now: datetime, handler: str, event: Event, subject: str) -> bool:
        """Store a delivery of an event to a handler. Call ``Dispatcher.wake`` once ``tx`` is committed.

        A handler has one delivery per subject: the event replaces one that is pending or failed. If the account is at
        its limit, the FAILED events that failed first are removed; if it has none, the event is not stored. Both are
        logged.

        Args:
            tx: A write transaction.
            now: The current time.
            handler: The handler's name.
            event: The event; the handler gets its payload.
            subject: The subject of the event, such as a certificate id.

        Returns:
            Whether the event was stored.
        """
        account_id = event.realm.account_id
        if (
            not self._is_below_limit(tx, handler, account_id)
            and DeliveryRows(tx).get(event.realm, handler, subject) is None
        ):
            if untold := self._refused.add((handler, account_id)):
                log.write(
                    LogEvent.HANDLER_EVENT_NOT_KEPT,
                    handler=handler,
                    subject=subject,
                    account_id=account_id,
                    region=event.realm.region,
                    limit=self.limit,
                    count=untold,
                )
            return False
        DeliveryRows(tx).put(
            Delivery(
                realm=event.realm,
                handler=handler,
                subject=subject,
                payload=event.payload,
                attempts=0,
                next_attempt_at=now,
                last_error=None,
                state=DeliveryState.PENDING,
                created_at=now,
            )
        )
        return True

    def statistics(self) -> Mapping[str, int]:
        """Return the number of events that were not stored, and of FAILED events that were removed, since the start."""
        return {"handler_events_not_kept": self._refused.total, "handler_events_forgotten": self._forgotten.total}

    def _is_below_limit(self, tx: Transaction, handler: str, account_id: str) -> bool:
        key = (handler, account_id)
        with self._lock:
            room = self._room.get(key, 0)
            if room > 0:
                self._room[key] = room - 1
                return True
        room = self.limit - DeliveryRows(tx).count(handler, account_id)
        if room <= 0 and (forgotten := DeliveryRows(tx).remove_failed(handler, account_id, FAILED_REMOVED_AT_LIMIT)):
            room += forgotten
            if untold := self._forgotten.add(key, forgotten):
                log.write(
                    LogEvent.HANDLER_EVENTS_FORGOTTEN,
                    handler=handler,
                    account_id=account_id,
                    limit=self.limit,
                    count=untold,
                )
        with self._lock:
            self._room[key] = max(0, room - 1)
        return room > 0


@dataclass(frozen=True, slots=True)
class Lane:
    """How events are delivered to a handler. Lanes of handlers are independent."""

    retries: int
    """Attempts after the first one."""
    concurrency: int = 4
    """Simultaneous calls for one account while no other has events; twice as many for all accounts together."""

    @property
    def threads(self) -> int:
        """Simultaneous calls for all accounts, which share them (``fair_queue.Shares``)."""
        return 2 * self.concurrency


class Dispatcher:
    """Delivers events to handlers in its own threads. Call ``start`` and ``stop`` once each.

    Args:
        lanes: Lanes by handler. Deliveries of other handlers are not attempted.
        chance: Returns a random number from 0 to 1.
    """

    def __init__(
        self,
        store: Store,
        handlers: Handlers,
        lanes: Mapping[str, Lane],
        clock: Clock,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._left = threading.Event()
        self._new_lane = partial(_LaneThreads, store=store, handlers=handlers, clock=clock, chance=chance)
        self._replacing = threading.Lock()
        self._lanes = {name: self._new_lane(name, lane, left=self._left) for name, lane in lanes.items()}
        self._replaced: list[_LaneThreads] = []

    def start(self) -> None:
        """Start the threads, which also deliver the events of an earlier run."""
        for lane in self._lanes.values():
            lane.start()

    def wake(self) -> None:
        """Deliver events that were committed."""
        for lane in tuple(self._lanes.values()):
            lane.wake()

    def replace(self, lanes: Mapping[str, Lane]) -> None:
        """Use other lanes from now on. Call it after ``start``.

        Threads of a lane that is the same go on. The others end after the call that runs, whose event the new lane of
        the handler leaves to them.
        """
        with self._replacing:
            kept = {name: each for name, each in self._lanes.items() if lanes.get(name) == each.lane}
            added = {
                name: self._new_lane(name, lane, left=self._left, former=self._lanes.get(name))
                for name, lane in lanes.items()
                if name not in kept
            }
            ended = [each for name, each in self._lanes.items() if name not in kept]
            self._lanes = kept | added
            self._replaced = [each for each in [*self._replaced, *ended] if each.is_alive()]
        for lane in ended:
            lane.stop()
        for lane in added.values():
            lane.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Begin no more calls, and wait at most ``timeout`` seconds for those that run. Then the store is not used.

        The next run repeats a call that did not end in time.
        """
        with self._replacing:
            lanes = [*self._lanes.values(), *self._replaced]
        for lane in lanes:
            lane.stop()
        deadline = time.monotonic() + timeout
        for lane in lanes:
            lane.join(deadline)
        self._left.set()


class _LaneThreads:
    """The threads of a lane. Each takes a due delivery, calls the handler and stores the result."""

    def __init__(
        self,
        name: str,
        lane: Lane,
        *,
        store: Store,
        handlers: Handlers,
        clock: Clock,
        chance: Callable[[], float],
        left: threading.Event,
        former: _LaneThreads | None = None,
    ) -> None:
        self._name = name
        self.lane = lane
        self._store = store
        self._handlers = handlers
        self._clock = clock
        self._chance = chance
        self._stopping = threading.Event()
        self._left = left
        self._changed = threading.Condition()
        self._wakes = 0
        # Held while the store is read, which ``wake`` must not wait for. A call of a former lane is not made again.
        self._taking: threading.Lock = threading.Lock() if former is None else former._taking
        self._running: dict[int, str] = {} if former is None else former._running
        self._shares = Shares(lane.threads)
        self._last_account = ""
        self._threads = [
            SupervisedThread(self._run, f"deliveries-{name}-{number}", stopping=self._stopping)
            for number in range(lane.threads)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        with self._changed:
            self._wakes += 1
            self._changed.notify_all()

    def stop(self) -> None:
        """Take no more deliveries."""
        self._stopping.set()
        self.wake()

    def is_alive(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def join(self, deadline: float) -> None:
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        while not self._stopping.is_set():
            with self._changed:
                wakes = self._wakes
            try:
                taken, wait = self._take()
                if taken is not None:
                    number, delivery = taken
                    try:
                        self._deliver(number, delivery)
                    finally:
                        # Under the lock: another thread may have read this delivery before it was removed.
                        with self._taking:
                            self._shares.give_back(self._running.pop(number))
                    continue
            except StoreError as failure:
                log.write(LogEvent.HANDLER_EVENTS_WAIT_FOR_STORE, handler=self._name, reason=str(failure))
                wait = POLL_SECONDS
            except Exception as error:
                # The delivery is retried, by this thread.
                record_failure(error)
                log.exception(LogEvent.HANDLER_DELIVERY_FAILED, handler=self._name)
                wait = POLL_SECONDS
            with self._changed:
                self._changed.wait_for(lambda: self._wakes != wakes, wait)  # noqa: B023 - called before it changes

    def _take(self) -> tuple[tuple[int, Delivery] | None, float]:
        """Return the next due delivery that no thread is processing; or None, and the seconds until one is due.

        Accounts are served in the order of their ids, beginning after the one that was served last. An account that
        uses its share of the threads is skipped.
        """
        with self._taking:
            with self._store.read() as tx:
                taken, wait = self._first_due(tx)
            # After the transaction: if its end fails, no delivery is taken.
            if taken is not None:
                number, account_id = taken[0], taken[1].realm.account_id
                self._shares.take(account_id)
                self._running[number] = self._last_account = account_id
            return taken, wait

    def _first_due(self, tx: Transaction) -> tuple[tuple[int, Delivery] | None, float]:
        now = self._clock()
        wait = POLL_SECONDS
        for number, delivery in self._heads(tx):
            until = (delivery.next_attempt_at - now).total_seconds()
            if until <= 0:
                return (number, delivery), 0.0
            wait = min(wait, until)
        return None, wait

    def _heads(self, tx: Transaction) -> Iterator[tuple[int, Delivery]]:
        """Yield the first due delivery of each account that no thread is processing."""
        begin = after = self._last_account
        has_wrapped = False
        while True:
            head = DeliveryRows(tx).next_account(self._name, after)
            if head is None or (has_wrapped and head[1].realm.account_id > begin):
                if has_wrapped or not begin:
                    return
                after, has_wrapped = "", True
                continue
            after = account_id = head[1].realm.account_id
            if not self._shares.may(account_id):
                continue
            if head[0] not in self._running:
                yield head
                continue
            running = sum(other == account_id for other in self._running.values())
            several = DeliveryRows(tx).upcoming(self._name, account_id, running + 1)
            yield from [each for each in several if each[0] not in self._running][:1]

    def _deliver(self, number: int, delivery: Delivery) -> None:
        # Each attempt has the same id, as with Lambda's asynchronous calls, so that a handler can recognise retries.
        name = f"{number} {delivery.realm} {delivery.handler} {delivery.subject} {delivery.created_at.isoformat()}"
        try:
            self._handlers.invoke(
                delivery.realm,
                delivery.handler,
                json.loads(delivery.payload),
                request_id=str(uuid.uuid5(_IDS, name)),
            )
        except HandlerFailed as failed:
            failure = failed
        except Exception as error:
            record_failure(error)
            log.exception(
                LogEvent.HANDLER_NOT_CALLED,
                handler=delivery.handler,
                account_id=delivery.realm.account_id,
                region=delivery.realm.region,
            )
            failure = HandlerFailed(f"handler {delivery.handler!r}: {type(error).__name__}: {error}")
        else:
            self._after_success(number, delivery)
            return
        if not self._stopping.is_set():
            self._after_failure(number, delivery, failure)

    def _after_success(self, number: int, delivery: Delivery) -> None:
        if not self._left.is_set():
            with self._store.write() as tx:
                DeliveryRows(tx).remove(number)
        log.write(
            LogEvent.HANDLER_EVENT_DELIVERED,
            handler=delivery.handler,
            subject=delivery.subject,
            account_id=delivery.realm.account_id,
            region=delivery.realm.region,
        )

    def _after_failure(self, number: int, delivery: Delivery, failure: HandlerFailed) -> None:
        now = self._clock()
        attempts, is_given_up, after = delivery.attempts, False, BUSY_DELAY
        if not failure.is_busy:
            attempts += 1
            is_given_up = failure.is_permanent or attempts > self.lane.retries
            after = timedelta() if is_given_up else self._delay(attempts)
        with self._store.write() as tx:
            DeliveryRows(tx).update(
                number,
                replace(
                    delivery,
                    attempts=attempts,
                    next_attempt_at=now + after,
                    last_error=str(failure)[:MAX_ERROR_CHARACTERS],
                    state=DeliveryState.FAILED if is_given_up else DeliveryState.PENDING,
                ),
            )
        facts = {
            "handler": delivery.handler,
            "subject": delivery.subject,
            "account_id": delivery.realm.account_id,
            "region": delivery.realm.region,
            "attempts": attempts,
            "reason": str(failure),
        }
        if is_given_up:
            remedy = "mend the handler, then type sekisho handlers retry"
            log.write(LogEvent.HANDLER_EVENT_GIVEN_UP, remedy=remedy, **facts)
        else:
            log.write(LogEvent.HANDLER_EVENT_DELAYED, seconds_to_next=round(after.total_seconds(), 1), **facts)

    def _delay(self, attempts: int) -> timedelta:
        # The exponent is bounded first, since a timedelta overflows.
        longest = min(LONGEST_DELAY, FIRST_DELAY * (1 << min(attempts - 1, 20)))
        return longest * (0.5 + 0.5 * self._chance())


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of PENDING and FAILED deliveries."""

    pending: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Backlog:
    """The deliveries of a handler, and its last error."""

    handler: str
    pending: int
    failed: int
    last_error: str | None
    accounts: Mapping[str, Counts] = field(default_factory=dict)
    """The counts of each account that has deliveries, by account id."""


class Deliveries:
    """Lists, retries and discards deliveries, for operators."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def backlogs(self, handlers: Sequence[str] = ()) -> Sequence[Backlog]:
        """Return the backlogs of these handlers in their order, then those of all others that have deliveries."""
        with self._store.read() as tx:
            counts = DeliveryRows(tx).counts()
            names = [*handlers, *sorted({name for name, *_ in counts} - set(handlers))]
            return [_backlog(name, counts, _last_error(tx, name)) for name in names]

    def are_accounts_several(self) -> bool:
        """Return whether the server has more than one account, so that handlers without ``accounts`` are refused."""
        with self._store.read() as tx:
            return AccountRows(tx).are_several()

    def retry(self, handler: str | None = None) -> int:
        """Make the FAILED deliveries of one handler or of all PENDING and due; return their number."""
        with self._store.write() as tx:
            names = sorted({name for name, _, state in DeliveryRows(tx).counts() if state is DeliveryState.FAILED})
            now = self._clock()
            return sum(DeliveryRows(tx).retry(name, now) for name in names if handler in (None, name))

    def discard(self, handler: str, account_id: str | None = None) -> int:
        """Remove the FAILED deliveries of a handler, of one account or of all; return their number."""
        with self._store.write() as tx:
            counts = DeliveryRows(tx).counts()
            return sum(
                DeliveryRows(tx).remove_failed(name, account, many)
                for (name, account, state), many in counts.items()
                if name == handler and account_id in (None, account) and state is DeliveryState.FAILED
            )


def _backlog(handler: str, counts: Mapping[tuple[str, str, DeliveryState], int], last_error: str | None) -> Backlog:
    def of(account_id: str) -> Counts:
        return Counts(*(counts.get((handler, account_id, state), 0) for state in _COUNTED))

    accounts = {account_id: of(account_id) for name, account_id, _ in sorted(counts) if name == handler}
    pending = sum(each.pending for each in accounts.values())
    failed = sum(each.failed for each in accounts.values())
    return Backlog(handler, pending, failed, last_error, accounts)


_COUNTED: Final = (DeliveryState.PENDING, DeliveryState.FAILED)


def _last_error(tx: Transaction, handler: str) -> str | None:
    latest = [DeliveryRows(tx).latest(handler, state) for state in (DeliveryState.FAILED, DeliveryState.PENDING)]
    return next((each.last_error for each in latest if each is not None and each.last_error is not None), None)
