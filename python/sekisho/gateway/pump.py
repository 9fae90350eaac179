"""The thread that takes the data plane's events and answers them, batch by batch; and the one behind it.

Nothing of a known certificate's traffic waits for them: they are asked only about papers never seen before, and about
papers that changed. The first answers about those who are registered, from one look-up for a batch. All others, who are
examined and perhaps registered, are for the second: however many strangers come at once, who is registered waits for a
look-up and no more.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from sekisho._sekisho import Gateway
from sekisho.gateway.identity import identity_tuple
from sekisho.messaging.requests import Request
from sekisho.realm import Realm
from sekisho.registry.admission import Ticket
from sekisho.registry.model import Identity
from sekisho.registry.ports import StoreFailure

if TYPE_CHECKING:
    # The contract's names for its tuples; the built module has no such objects.
    from sekisho._sekisho import AdmitEvent, Answer, Event

log = structlog.get_logger(__name__)

BATCH: Final = 256
"""Most events taken at once: one registry look-up answers them all."""

STRANGERS: Final = 64
"""Most strangers examined at once: the transaction that registers them keeps every other writer waiting."""

WAITING: Final = 10_000
"""Strangers that may wait to be examined; more are refused for now."""

ADMISSION_QUEUE_FULL: Final = "ADMISSION_QUEUE_FULL"

PATIENCE: Final = 1.0
"""Seconds that a take waits; how soon the thread notices that it is to end."""


AGAIN: Final = 10.0
"""Seconds between two attempts to record what a store did not take: each makes admissions wait as well."""

_REFUSED: Final = {
    "connect": "connection refused",
    "publish": "publish refused",
    "subscribe": "subscription refused",
    "unsubscribe": "unsubscribe refused",
    "receive": "delivery refused",
    "packet": "packet refused",
}
"""Log events by the operation that the gateway refused."""


class Admits(Protocol):
    """Whoever answers for the registry (``provisioning.jitr.JustInTimeRegistration``)."""

    def known(self, tickets: Sequence[Ticket]) -> Sequence[Identity | None]:
        """Those about whom there is nothing to do; None for the others."""
        ...

    def answer(self, tickets: Sequence[Ticket]) -> Sequence[Identity | str]:
        """All of them, and what is to be done is done."""
        ...


Asked = Callable[[Request], None]
"""Takes what a client asks of a service, and returns at once (``gateway.requests.Requests.take``)."""

Connected = Callable[[Sequence[tuple[Realm, str]]], None]
"""Is told which awaited certificates have connected, and returns soon."""


def _nobody(*_: object) -> None:
    """There is no such service."""


class Pump:
    """Carries events from the gateway to the domain and answers back. ``start`` once, ``stop`` once."""

    def __init__(
        self, gateway: Gateway, admission: Admits, *, asked: Asked = _nobody, connected: Connected = _nobody
    ) -> None:
        self._gateway = gateway
        self._admission = admission
        self._asked = asked
        self._connected = connected
        self._untold: dict[tuple[Realm, str], None] = {}
        self._not_before = 0.0
        self._stopping = threading.Event()
        self._strangers: queue.Queue[AdmitEvent | None] = queue.Queue()
        self._threads = [
            threading.Thread(target=self._run, name="gateway-pump", daemon=True),
            threading.Thread(target=self._run_for_strangers, name="gateway-strangers", daemon=True),
        ]

    def start(self) -> None:
        """Begin to take events."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Take no more events; waits for the batches in hand, at most ``timeout`` seconds for each thread."""
        self._stopping.set()
        self._strangers.put(None)
        for thread in self._threads:
            thread.join(timeout)

    def _run(self) -> None:
        while not self._stopping.is_set():
            events = self._gateway.next_batch(BATCH, PATIENCE)
            try:
                self._handle(events)
            except StoreFailure as failure:
                log.error("certificates cannot be looked up", reason=str(failure), events=len(events))
            except Exception:
                # The thread must outlive any one batch; its tickets run into their deadline and are refused.
                log.exception("gateway events were not handled", events=len(events))

    def _handle(self, events: Sequence[Event]) -> None:
        admissions: list[AdmitEvent] = []
        for event in events:
            match event[0]:
                case "admit":
                    admissions.append(event)
                case "request":
                    self._asked(Request(Realm(event[1], event[2]), *event[3:]))
                case "connected":
                    self._untold[Realm(event[1], event[2]), event[3]] = None
                case "refused":
                    (
                        _,
                        _,
                        account_id,
                        region,
                        certificate_id,
                        client_id,
                        peer,
                        server_name,
                        reason,
                        detail,
                        operation,
                    ) = event
                    log.warning(
                        _REFUSED[operation],
                        reason=reason,
                        detail=detail,
                        account_id=account_id,
                        region=region,
                        certificate_id=certificate_id,
                        client_id=client_id,
                        peer=peer,
                        server_name=server_name,
                    )
                case "dropped":
                    log.error("events were dropped because they were not taken in time", queue=event[1], count=event[2])
        try:
            if admissions:
                self._admit(admissions, self._answer_known)
        finally:
            self._tell_of_connected()

    def _tell_of_connected(self) -> None:
        """One batch at a time, so that admissions come between two."""
        batch = list(islice(self._untold, BATCH))
        if not batch or time.monotonic() < self._not_before:
            return
        try:
            self._connected(batch)
        except StoreFailure as failure:
            # The gate says it once per look-up: with a connection that stays, nobody would say it again.
            self._not_before = time.monotonic() + AGAIN
            log.error(
                "awaited certificates have connected, which cannot be recorded yet",
                reason=str(failure),
                certificates=len(self._untold),
            )
            return
        except Exception:
            log.exception("it was not handled that awaited certificates have connected", certificates=len(batch))
        for each in batch:
            del self._untold[each]

    def _run_for_strangers(self) -> None:
        while not self._stopping.is_set():
            # They are few where they come one by one, and a batch where they come in a storm.
            batch = self._next_strangers()
            try:
                if batch:
                    self._admit(batch, self._answer_strangers)
            except StoreFailure as failure:
                log.error("certificates cannot be looked up", reason=str(failure), events=len(batch))
            except Exception:
                log.exception("gateway events were not handled", events=len(batch))

    def _next_strangers(self) -> Sequence[AdmitEvent]:
        batch: list[AdmitEvent] = []
        event = self._strangers.get()
        while event is not None:
            batch.append(event)
            if len(batch) == STRANGERS:
                break
            try:
                event = self._strangers.get_nowait()
            except queue.Empty:
                break
        return batch

    def _admit(self, admissions: Sequence[AdmitEvent], answer: Callable[[Sequence[AdmitEvent]], None]) -> None:
        try:
            answer(admissions)
        except StoreFailure:
            raise
        except Exception:
            if len(admissions) == 1:
                raise
            # One certificate that nobody foresaw must cost nobody else the connection.
            for admission in admissions:
                try:
                    self._admit([admission], answer)
                except Exception:
                    log.exception("a certificate was not examined", certificate_id=admission[4])

    def _answer_known(self, admissions: Sequence[AdmitEvent]) -> None:
        found = self._admission.known([_ticket(event) for event in admissions])
        answers: list[Answer] = []
        for event, identity in zip(admissions, found, strict=True):
            if identity is not None:
                answers.append((event[1], identity_tuple(identity)))
            elif self._strangers.qsize() < WAITING:
                self._strangers.put(event)
            else:
                answers.append((event[1], ADMISSION_QUEUE_FULL))
        if answers:
            self._gateway.complete(answers)

    def _answer_strangers(self, admissions: Sequence[AdmitEvent]) -> None:
        verdicts = self._admission.answer([_ticket(event) for event in admissions])
        self._gateway.complete(
            [
                (event[1], identity_tuple(verdict) if isinstance(verdict, Identity) else verdict)
                for event, verdict in zip(admissions, verdicts, strict=True)
            ]
        )


def _ticket(event: AdmitEvent) -> Ticket:
    _, _, account_id, region, certificate_id, leaf, chain, client_id, live = event
    return Ticket(
        realm=Realm(account_id, region) if account_id is not None and region is not None else None,
        certificate_id=certificate_id,
        leaf=leaf,
        chain=tuple(chain),
        client_id=client_id,
        at_connect=not live,
    )
