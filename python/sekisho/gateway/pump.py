"""The pump: the thread that handles events of the data plane in batches; and the thread that registers certificates.

Cached certificates do not depend on them: the pump handles certificates that are not cached, and certificates that
changed. It answers about registered certificates from one look-up per batch. All others wait in the registration queue
for the second thread, which examines them and registers some. So a registered certificate waits for one look-up only,
however many unregistered certificates come at once. The registration queue serves accounts in turn, so an account with
one new device does not wait for thousands of another account.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice, zip_longest
from typing import TYPE_CHECKING, Final, Protocol

from sekisho._sekisho import Gateway
from sekisho.admission.model import Identity
from sekisho.admission.rules import AdmissionRequest
from sekisho.fair_queue import FairQueue
from sekisho.gateway.identity import identity_dict
from sekisho.messaging.requests import Request
from sekisho.observe.event_log import log
from sekisho.observe.events import LogEvent
from sekisho.observe.tally import Tally
from sekisho.observe.threads import SupervisedThread, beat, record_failure
from sekisho.realm import Realm
from sekisho.refusal import RefusalReason, Refused
from sekisho.store.errors import StoreError

if TYPE_CHECKING:
    # Only the type stubs have these names; the built module has no such objects.
    from sekisho._sekisho import AdmitEvent, Answer, Event

BATCH: Final = 256
"""Maximum number of events in a batch, which one registry look-up answers."""

REGISTRATION_BATCH: Final = 64
"""Maximum number of unregistered certificates in a batch: all writers wait for the transaction that registers them."""

MAX_REGISTRATION_BYTES: Final = 64 * 1024 * 1024
"""Bytes of certificate chains in the registration queue, of all accounts; further certificates are refused for now."""

MAX_REGISTRATION_BYTES_PER_ACCOUNT: Final = MAX_REGISTRATION_BYTES // 2
"""The same of one account, or without SNI: about 15,000 certificates; further ones are refused for now."""

REGISTRATION_BYTES: Final = 1024
"""Bytes that a certificate in the registration queue counts in addition to its chain."""

POLL_SECONDS: Final = 1.0
"""Seconds that a thread waits for events, which is also the time in which it notices that it has to end."""

MAX_SILENT_SECONDS: Final = 60.0
"""Seconds in one batch after which the thread counts as stuck in the server's health."""

RETRY_SECONDS: Final = 10.0
"""Seconds between two attempts to record what the store did not accept: admissions wait for each attempt too."""

_REFUSED: Final = {
    "connect": LogEvent.CONNECTION_REFUSED,
    "publish": LogEvent.PUBLISH_REFUSED,
    "subscribe": LogEvent.SUBSCRIPTION_REFUSED,
    "unsubscribe": LogEvent.UNSUBSCRIBE_REFUSED,
    "receive": LogEvent.DELIVERY_REFUSED,
    "packet": LogEvent.PACKET_REFUSED,
    "connection": LogEvent.CONNECTION_ENDED_BY_ALERT,
}
"""Names of log events, by the operation that the gateway refused."""


class Admits(Protocol):
    """Answers admission requests from the registry (``provisioning.jitr.JustInTimeRegistration``)."""

    def known(self, requests: Sequence[AdmissionRequest]) -> Sequence[Identity | None]:
        """Return the identities of registered certificates; None for the others."""
        ...

    def answer(self, requests: Sequence[AdmissionRequest]) -> Sequence[Identity | Refused]:
        """Register the certificates that register automatically, and return an answer about each."""
        ...


Asked = Callable[[Request], None]
"""Accepts a device's request to a service, and returns at once (``gateway.requests.Requests.take``)."""

Connected = Callable[[Sequence[tuple[Realm, str]]], None]
"""Records which awaited certificates have connected, in a short time."""


def _ignore(*_: object) -> None:
    """Ignore a request that no service handles."""


class Pump:
    """Passes events of the gateway to the domain, and answers to the gateway. ``start`` once, ``stop`` once."""

    def __init__(
        self, gateway: Gateway, admission: Admits, *, asked: Asked = _ignore, connected: Connected = _ignore
    ) -> None:
        self._gateway = gateway
        self._admission = admission
        self._asked = asked
        self._connected = connected
        self._connected_later: dict[str, dict[tuple[Realm, str], None]] = {}
        self._retry_at = 0.0
        self._stopping = threading.Event()
        self._arrived = threading.Condition()
        self._registrations: FairQueue[AdmitEvent] = FairQueue(
            MAX_REGISTRATION_BYTES, MAX_REGISTRATION_BYTES_PER_ACCOUNT, MAX_REGISTRATION_BYTES_PER_ACCOUNT
        )
        self._refused = Tally()
        self._dropped = Tally()
        self._threads = [
            SupervisedThread(function, name, stopping=self._stopping, max_silent_seconds=MAX_SILENT_SECONDS)
            for function, name in ((self._run, "gateway-pump"), (self._run_registrations, "gateway-registrations"))
        ]

    def start(self) -> None:
        """Start to handle events."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Handle no more events; wait for the current batches, at most ``timeout`` seconds for each thread."""
        self._stopping.set()
        with self._arrived:
            self._arrived.notify_all()
        for thread in self._threads:
            thread.join(timeout)

    def statistics(self) -> Mapping[str, int]:
        """Return the length of the registration queue, and how many certificates were refused because it was full."""
        with self._arrived:
            return {
                "registrations_waiting": len(self._registrations),
                "registrations_refused": self._refused.total,
            }

    def _run(self) -> None:
        while not self._stopping.is_set():
            beat()
            events = self._gateway.next_batch(BATCH, POLL_SECONDS)
            try:
                self._handle(events)
            except StoreError as failure:
                log.write(LogEvent.CERTIFICATES_NOT_LOOKED_UP, reason=str(failure), events=len(events))
            except Exception as error:
                # The thread must survive any batch; the requests of a failed batch time out and are refused.
                record_failure(error)
                log.exception(LogEvent.GATEWAY_EVENTS_NOT_HANDLED, events=len(events))

    def _handle(self, events: Sequence[Event]) -> None:
        admissions: list[AdmitEvent] = []
        for event in events:
            match event["kind"]:
                case "admit":
                    admissions.append(event)
                case "request":
                    self._asked(
                        Request(
                            realm=Realm(event["account_id"], event["region"]),
                            connection=event["connection"],
                            client_id=event["client_id"],
                            certificate_id=event["certificate_id"],
                            topic=event["topic"],
                            payload=event["payload"],
                        )
                    )
                case "connected":
                    self._connected_later.setdefault(event["account_id"], {})[
                        Realm(event["account_id"], event["region"]), event["certificate_id"]
                    ] = None
                case "refused":
                    log.write(
                        _REFUSED[event["operation"]],
                        reason=event["reason"],
                        detail=event["detail"],
                        account_id=event["account_id"],
                        region=event["region"],
                        certificate_id=event["certificate_id"],
                        client_id=event["client_id"],
                        peer=event["peer"],
                        server_name=event["server_name"],
                    )
                case "accept_failed":
                    log.write(LogEvent.MQTT_ACCEPT_FAILED, reason=event["cause"], count=event["count"])
                case "dropped":
                    if count := self._dropped.add((event["queue"], event["account_id"]), event["count"]):
                        log.write(
                            LogEvent.GATEWAY_EVENTS_DROPPED,
                            queue=event["queue"],
                            account_id=event["account_id"],
                            count=count,
                        )
        try:
            if admissions:
                self._admit(admissions, self._answer_known)
        finally:
            self._tell_of_connected()

    def _tell_of_connected(self) -> None:
        """Record one batch at a time, so that admissions are answered between two."""
        batch = self._next_connected()
        if not batch or time.monotonic() < self._retry_at:
            return
        try:
            self._connected(batch)
        except StoreError as failure:
            # The gateway reports each cached certificate once; it does not report an open connection again.
            self._retry_at = time.monotonic() + RETRY_SECONDS
            log.write(
                LogEvent.CONNECTED_NOT_RECORDED,
                reason=str(failure),
                certificates=sum(map(len, self._connected_later.values())),
            )
            return
        except Exception as error:
            record_failure(error)
            log.exception(LogEvent.CONNECTED_NOT_HANDLED, certificates=len(batch))
        for each in batch:
            of_account = self._connected_later.pop(each[0].account_id)
            del of_account[each]
            if of_account:
                # At the end, so that the next batch begins with another account.
                self._connected_later[each[0].account_id] = of_account

    def _next_connected(self) -> Sequence[tuple[Realm, str]]:
        """Return connected certificates, of each account in turn."""
        rounds = zip_longest(*(islice(of_account, BATCH) for of_account in self._connected_later.values()))
        in_turn = (each for round_ in rounds for each in round_ if each is not None)
        return list(islice(in_turn, BATCH))

    def _run_registrations(self) -> None:
        while not self._stopping.is_set():
            beat()
            # They are few if they come one by one, and a full batch if many come at once.
            batch = self._next_registrations()
            try:
                if batch:
                    self._admit(batch, self._register)
            except StoreError as failure:
                log.write(LogEvent.CERTIFICATES_NOT_LOOKED_UP, reason=str(failure), events=len(batch))
            except Exception as error:
                record_failure(error)
                log.exception(LogEvent.GATEWAY_EVENTS_NOT_HANDLED, events=len(batch))

    def _next_registrations(self) -> Sequence[AdmitEvent]:
        """Return the next batch, of each account in turn; empty where none comes within ``POLL_SECONDS``."""
        batch: list[AdmitEvent] = []
        with self._arrived:
            if not self._registrations and not self._stopping.is_set():
                self._arrived.wait(POLL_SECONDS)
            while len(batch) < REGISTRATION_BATCH and (taken := self._registrations.take()) is not None:
                batch.append(taken[1])
        return batch

    def _admit(self, admissions: Sequence[AdmitEvent], answer: Callable[[Sequence[AdmitEvent]], None]) -> None:
        try:
            answer(admissions)
        except StoreError:
            raise
        except Exception:
            if len(admissions) == 1:
                raise
            # An unexpected error with one certificate must not refuse the others.
            for admission in admissions:
                try:
                    self._admit([admission], answer)
                except Exception as error:
                    record_failure(error)
                    log.exception(LogEvent.CERTIFICATE_NOT_EXAMINED, certificate_id=admission["certificate_id"])

    def _answer_known(self, admissions: Sequence[AdmitEvent]) -> None:
        found = self._admission.known([_request(event) for event in admissions])
        answers: list[Answer] = []
        unregistered: list[AdmitEvent] = []
        for event, identity in zip(admissions, found, strict=True):
            if identity is not None:
                answers.append(_answer(event, identity))
            else:
                unregistered.append(event)
        if unregistered:
            full = Refused(RefusalReason.ADMISSION_QUEUE_FULL)
            answers += [_answer(event, full) for event in self._queue(unregistered)]
        if answers:
            self._gateway.complete(answers)

    def _queue(self, events: Sequence[AdmitEvent]) -> Sequence[AdmitEvent]:
        """Put certificates into the registration queue. Returns those that do not fit."""
        with self._arrived:
            overflow = [
                each
                for event in events
                for each in self._registrations.put(_owner(event), event, _registration_bytes(event))
            ]
            self._arrived.notify()
        for each in overflow:
            if count := self._refused.add(each.path[0]):
                log.write(
                    LogEvent.REGISTRATION_QUEUE_FULL,
                    count=count,
                    account_id=each.item["account_id"],
                    region=each.item["region"],
                )
        return [each.item for each in overflow]

    def _register(self, admissions: Sequence[AdmitEvent]) -> None:
        results = self._admission.answer([_request(event) for event in admissions])
        self._gateway.complete([_answer(event, result) for event, result in zip(admissions, results, strict=True)])


def _answer(event: AdmitEvent, result: Identity | Refused) -> Answer:
    if isinstance(result, Refused):
        return {"id": event["id"], "reason": result.reason, "detail": result.detail}
    return {"id": event["id"], "identity": identity_dict(result)}


def _owner(event: AdmitEvent) -> tuple[str, str]:
    # Any peer may name any account's endpoint, so the networks within an account's share are served in turn.
    return event["account_id"] or "", event["network"]


def _registration_bytes(event: AdmitEvent) -> int:
    return REGISTRATION_BYTES + len(event["leaf"]) + sum(map(len, event["chain"]))


def _request(event: AdmitEvent) -> AdmissionRequest:
    account_id, region = event["account_id"], event["region"]
    return AdmissionRequest(
        realm=Realm(account_id, region) if account_id is not None and region is not None else None,
        certificate_id=event["certificate_id"],
        leaf=event["leaf"],
        chain=tuple(event["chain"]),
        client_id=event["client_id"],
        at_connect=not event["is_reexamination"],
    )
