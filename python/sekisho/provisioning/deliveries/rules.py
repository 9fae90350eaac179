"""Events that handlers are called with, until they have answered: kept with what they tell of, in one transaction.

At least once: what was in hand when the server ended is delivered again. A call that fails is tried again after 1
second, then 2, 4, and so on up to 5 minutes, each cut by up to half at random, so that many that failed together do
not come back together. After ``Lane.retries`` of those, or where trying again is of no use, the delivery is FAILED, and
kept until an operator has it tried again.

Accounts are served in turn: an account with a thousand events delays another's by one call. An account keeps at most
``MAX_EVENTS_PER_ACCOUNT`` events for one handler.
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
"""Before the next attempt where the handler was busy and not called; such an attempt does not count."""

LOOK: Final = 5.0
"""Seconds after which a lane looks into the store though nothing woke it: a retry is asked for in another process."""

MAX_EVENTS_PER_ACCOUNT: Final = 10_000
"""Events that the store keeps for one handler and account, those included that were given up."""

MAX_EVENTS_FORGOTTEN: Final = 100
"""Events that were given up and make room for new ones at once."""

MAX_ERROR: Final = 1000
"""Characters of an error that are kept."""

_IDS: Final = uuid.UUID("8a2c3ad6-3f1f-4cf4-9d0e-3f6c4f1b4a57")


class Enqueuing:
    """Keeps events for handlers, as many as an account may have. May be used from any thread.

    Attributes:
        limit: Events of one handler and account.
    """

    def __init__(self, limit: int = MAX_EVENTS_PER_ACCOUNT) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        # What may be added before the store is counted anew: others only remove, but for other servers on one database.
        self._room: dict[tuple[str, str], int] = {}
        self._refused = Tally()
        self._forgotten = Tally()

    def enqueue_in(self, tx: Transaction, now: datetime, handler: str, event: Event, subject: str) -> bool:
        """Have a handler called with an event once ``tx`` is committed; call ``Dispatcher.wake`` then.

        For each handler and subject there is one delivery: the event takes the place of one that still waits or was
        given up. Where the account has as many as it may, those that were given up first are forgotten, with a line in
        the log; where all of them wait, the event is not kept, also with a line.

        Args:
            tx: A write transaction.
            now: The present time.
            handler: Its name.
            event: Whose payload it is called with.
            subject: What the event tells of.

        Returns:
            Whether the event was kept.
        """
        account_id = event.realm.account_id
        if not self._has_room(tx, handler, account_id) and DeliveryRows(tx).get(event.realm, handler, subject) is None:
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
        """How many events were not kept, and how many that had been given up were forgotten, since the start."""
        return {"handler_events_not_kept": self._refused.total, "handler_events_forgotten": self._forgotten.total}

    def _has_room(self, tx: Transaction, handler: str, account_id: str) -> bool:
        key = (handler, account_id)
        with self._lock:
            room = self._room.get(key, 0)
            if room > 0:
                self._room[key] = room - 1
                return True
        room = self.limit - DeliveryRows(tx).count(handler, account_id)
        if room <= 0 and (forgotten := DeliveryRows(tx).remove_failed(handler, account_id, MAX_EVENTS_FORGOTTEN)):
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
    """How the deliveries of one handler are made; those of others do not wait for them."""

    retries: int
    """Attempts after the first."""
    concurrency: int = 4
    """Calls at once for one account, while no other has any; twice as many for all accounts together."""

    @property
    def threads(self) -> int:
        """Calls at once for all accounts, which share them (``fair_queue.Shares``)."""
        return 2 * self.concurrency


class Dispatcher:
    """Calls handlers with what waits for them, in threads of its own. ``start`` once, ``stop`` once.

    Args:
        lanes: By handler. Deliveries of other handlers stay where they are.
        chance: A number from 0 to 1, at random.
    """

    def __init__(
        self,
        store: Store,
        handlers: Handlers,
        lanes: Mapping[str, Lane],
        clock: Clock,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._stopping = threading.Event()
        self._left = threading.Event()
        self._lanes = [
            _LaneThreads(name, lane, store, handlers, clock, chance, self._stopping, self._left)
            for name, lane in lanes.items()
        ]

    def start(self) -> None:
        """Begin with what an earlier run left behind."""
        for lane in self._lanes:
            lane.start()

    def wake(self) -> None:
        """Something was enqueued, and committed."""
        for lane in self._lanes:
            lane.wake()

    def stop(self, timeout: float = 5.0) -> None:
        """Begin no more calls; waits for those in hand, at most ``timeout`` seconds. After it the store is left alone.

        A call that is cut off by the end is made again by the next run.
        """
        self._stopping.set()
        self.wake()
        deadline = time.monotonic() + timeout
        for lane in self._lanes:
            lane.join(deadline)
        self._left.set()


class _LaneThreads:
    """The threads of one lane: each takes what is due, calls, and writes down how it went."""

    def __init__(
        self,
        name: str,
        lane: Lane,
        store: Store,
        handlers: Handlers,
        clock: Clock,
        chance: Callable[[], float],
        stopping: threading.Event,
        left: threading.Event,
    ) -> None:
        self._name = name
        self._lane = lane
        self._store = store
        self._handlers = handlers
        self._clock = clock
        self._chance = chance
        self._stopping = stopping
        self._left = left
        self._changed = threading.Condition()
        self._wakes = 0
        # Held while the store is read, which ``wake`` must not wait for.
        self._taking = threading.Lock()
        self._in_hand: dict[int, str] = {}
        self._shares = Shares(lane.threads)
        self._last_account = ""
        self._threads = [
            SupervisedThread(self._run, f"deliveries-{name}-{number}", stopping=stopping)
            for number in range(lane.threads)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        with self._changed:
            self._wakes += 1
            self._changed.notify_all()

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
                        # Not while another looks for one to take: it may have read this one before it was removed.
                        with self._taking:
                            self._shares.give_back(self._in_hand.pop(number))
                    continue
            except StoreError as failure:
                log.write(LogEvent.HANDLER_EVENTS_WAIT_FOR_STORE, handler=self._name, reason=str(failure))
                wait = LOOK
            except Exception as error:
                # The thread must outlive any one delivery, which is tried again.
                record_failure(error)
                log.exception(LogEvent.HANDLER_DELIVERY_FAILED, handler=self._name)
                wait = LOOK
            with self._changed:
                self._changed.wait_for(lambda: self._wakes != wakes, wait)  # noqa: B023 - called before it changes

    def _take(self) -> tuple[tuple[int, Delivery] | None, float]:
        """Return the next due delivery that no thread is processing; or None, and the seconds until one is due.

        Accounts take turns in the order of their ids, beginning behind the one that was served last. An account whose
        share of the threads is taken is passed over.
        """
        with self._taking:
            with self._store.read() as tx:
                taken, wait = self._first_due(tx)
            # Once the transaction has ended: where that fails nothing is in hand.
            if taken is not None:
                number, account_id = taken[0], taken[1].realm.account_id
                self._shares.take(account_id)
                self._in_hand[number] = self._last_account = account_id
            return taken, wait

    def _first_due(self, tx: Transaction) -> tuple[tuple[int, Delivery] | None, float]:
        now = self._clock()
        wait = LOOK
        for number, delivery in self._heads(tx):
            until = (delivery.next_attempt_at - now).total_seconds()
            if until <= 0:
                return (number, delivery), 0.0
            wait = min(wait, until)
        return None, wait

    def _heads(self, tx: Transaction) -> Iterator[tuple[int, Delivery]]:
        """The delivery of each account that is due first, of those that no thread is processing."""
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
            if head[0] not in self._in_hand:
                yield head
                continue
            several = DeliveryRows(tx).upcoming(self._name, account_id, self._shares.held(account_id) + 1)
            yield from [each for each in several if each[0] not in self._in_hand][:1]

    def _deliver(self, number: int, delivery: Delivery) -> None:
        # As Lambda does for asynchronous calls, each attempt has the same id: by it a handler knows what it has seen.
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
            is_given_up = failure.is_permanent or attempts > self._lane.retries
            after = timedelta() if is_given_up else self._delay(attempts)
        with self._store.write() as tx:
            DeliveryRows(tx).update(
                number,
                replace(
                    delivery,
                    attempts=attempts,
                    next_attempt_at=now + after,
                    last_error=str(failure)[:MAX_ERROR],
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
        # The exponent is bounded before it is used: 2 to the 1000 is no number of seconds.
        longest = min(LONGEST_DELAY, FIRST_DELAY * (1 << min(attempts - 1, 20)))
        return longest * (0.5 + 0.5 * self._chance())


@dataclass(frozen=True, slots=True)
class Counts:
    """Events that wait, and events that were given up."""

    pending: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits for one handler."""

    handler: str
    pending: int
    failed: int
    last_error: str | None
    accounts: Mapping[str, Counts] = field(default_factory=dict)
    """Those that have something here, by account id."""


class Deliveries:
    """What an operator sees of deliveries, and does about them."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def backlogs(self, handlers: Sequence[str] = ()) -> Sequence[Backlog]:
        """Of these handlers, in their order, and then of all others for which something waits."""
        with self._store.read() as tx:
            counts = DeliveryRows(tx).counts()
            names = [*handlers, *sorted({name for name, *_ in counts} - set(handlers))]
            return [_backlog(name, counts, _last_error(tx, name)) for name in names]

    def are_accounts_several(self) -> bool:
        """Whether the server has more than one account, so that handlers without ``accounts`` are refused."""
        with self._store.read() as tx:
            return AccountRows(tx).are_several()

    def retry(self, handler: str | None = None) -> int:
        """Have everything tried again that was given up, of one handler or of all; how much it was."""
        with self._store.write() as tx:
            names = sorted({name for name, _, state in DeliveryRows(tx).counts() if state is DeliveryState.FAILED})
            now = self._clock()
            return sum(DeliveryRows(tx).retry(name, now) for name in names if handler in (None, name))

    def discard(self, handler: str, account_id: str | None = None) -> int:
        """Forget everything that was given up, of one account or of all; how much it was."""
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
