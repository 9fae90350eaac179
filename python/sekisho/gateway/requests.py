"""Passes requests of devices from the gateway to services, and answers back.

A table has the service of each topic. Services may be slow (they generate keys, and call handlers), so they have
separate threads. Accounts share the threads and their queue: no account can use all threads, and accounts,
certificates and connections are served in turn (``fair_queue``). The service answers at once a request that does not
fit: the device should try again later.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sekisho._sekisho import Gateway, GatewayError
from sekisho.fair_queue import FairQueue, Shares
from sekisho.messaging.requests import Reply, Request, Service
from sekisho.observe.event_log import log
from sekisho.observe.events import LogEvent
from sekisho.observe.tally import LOG_INTERVAL_SECONDS, Tally
from sekisho.observe.threads import SupervisedThread, record_failure

if TYPE_CHECKING:
    # Only the type stubs have this name; the built module has no such object.
    from sekisho._sekisho import ReplyDict

THREADS: Final = 8
"""Requests of all accounts that are answered at a time; one account gets at most half of them."""

REQUEST_BYTES: Final = 1024
"""Bytes that a waiting request counts in addition to its payload."""

MAX_WAITING_BYTES: Final = 16 * 1024 * 1024
"""Bytes of requests that wait for a thread, of all accounts: about 16,000 requests, with their payloads."""

MAX_WAITING_BYTES_PER_ACCOUNT: Final = MAX_WAITING_BYTES // 2
"""The same of one account."""

MAX_WAITING_BYTES_PER_CERTIFICATE: Final = MAX_WAITING_BYTES // 4
"""The same of one certificate, which may be the claim certificate of a whole fleet."""

MAX_WAITING_BYTES_PER_CONNECTION: Final = 256 * 1024
"""The same of one connection: about 250 requests. A device waits for one answer before its next request."""

MAX_WAIT_SECONDS: Final = 60.0
"""A request that has waited longer is throttled and not executed, because its device no longer waits for the answer."""

MAX_REJECTIONS: Final = (10_000, 5_000, 5_000, 2_500)
"""Throttled requests that wait for their answer: in all, per account, certificate, connection. More get no answer."""

_REJECTIONS_AT_ONCE: Final = 64

_AT_LEAST_ONCE: Final = 1


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A request and the time at which it came, in seconds of the monotonic clock."""

    request: Request
    since: float


class Requests:
    """Answers requests in separate threads. ``start`` once, ``stop`` once.

    Args:
        gateway: Sends the answers.
        services: The services, each with its topics.
        clock: A monotonic clock, in seconds.
    """

    def __init__(
        self, gateway: Gateway, services: Sequence[Service], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._gateway = gateway
        self._services = [(filter_.split("/"), service) for service in services for filter_ in service.topics]
        self._clock = clock
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._rejects = threading.Condition(self._lock)
        self._waiting: FairQueue[_Waiting] = FairQueue(
            MAX_WAITING_BYTES,
            MAX_WAITING_BYTES_PER_ACCOUNT,
            MAX_WAITING_BYTES_PER_CERTIFICATE,
            MAX_WAITING_BYTES_PER_CONNECTION,
        )
        self._shares = Shares(THREADS)
        self._rejected: FairQueue[Request] = FairQueue(*MAX_REJECTIONS)
        self._unanswered = 0
        self._throttled = Tally()
        self._unsent = Tally()
        self._stopping = threading.Event()
        self._threads = [
            *(SupervisedThread(self._run, f"service-{number}", stopping=self._stopping) for number in range(THREADS)),
            SupervisedThread(self._run_rejections, "service-rejections", stopping=self._stopping),
        ]

    def start(self) -> None:
        """Start to answer."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Answer no more; wait for the current requests, at most ``timeout`` seconds for each thread."""
        with self._lock:
            self._stopping.set()
            self._waiting.clear()
            self._rejected.clear()
            self._work.notify_all()
            self._rejects.notify_all()
        for thread in self._threads:
            thread.join(timeout)

    def take(self, request: Request) -> None:
        """Queue a request; returns at once."""
        size = REQUEST_BYTES + len(request.payload)
        with self._lock:
            if self._stopping.is_set():
                return
            for overflow in self._waiting.put(_path(request), _Waiting(request, self._clock()), size):
                self._reject(overflow.item.request)
            self._work.notify()

    def statistics(self) -> Mapping[str, int]:
        """Return the numbers of waiting, current, throttled and unanswered requests, the last two since the start."""
        with self._lock:
            return {
                "requests_waiting": len(self._waiting),
                "requests_in_hand": THREADS - self._shares.free,
                "requests_throttled": self._throttled.total,
                "requests_throttled_unanswered": self._unanswered,
            }

    def _reject(self, request: Request) -> None:
        """Queue the answer to a request that is not executed. The caller holds the lock."""
        # The answer needs only the topic.
        overflow = self._rejected.put(_path(request), replace(request, payload=b""))
        self._unanswered += len(overflow)
        if count := self._throttled.add(request.realm.account_id):
            log.write(
                LogEvent.DEVICE_REQUESTS_THROTTLED,
                count=count,
                account_id=request.realm.account_id,
                region=request.realm.region,
                topic=request.topic,
                client_id=request.client_id,
                certificate_id=request.certificate_id,
            )
        self._rejects.notify()

    def _run(self) -> None:
        while (request := self._next()) is not None:
            try:
                self._answer(request)
            except Exception as error:
                # The thread must survive any request.
                record_failure(error)
                log.exception(LogEvent.DEVICE_REQUEST_NOT_ANSWERED, topic=request.topic, client_id=request.client_id)
            finally:
                with self._lock:
                    self._shares.give_back(request.realm.account_id)

    def _next(self) -> Request | None:
        """Return the next request when its account may use a thread; None when the threads have to end."""
        with self._lock:
            while not self._stopping.is_set():
                taken = self._waiting.take(self._shares.may)
                if taken is None:
                    self._work.wait()
                    continue
                _, waiting = taken
                if self._clock() - waiting.since > MAX_WAIT_SECONDS:
                    self._reject(waiting.request)
                    continue
                self._shares.take(waiting.request.realm.account_id)
                return waiting.request
        return None

    def _answer(self, request: Request) -> None:
        service = self._listener(request.topic)
        reply = service.answer(request) if service is not None else None
        if reply is not None:
            self._send([(request, reply)])

    def _run_rejections(self) -> None:
        while (batch := self._next_rejections()) is not None:
            try:
                self._send([(request, reply) for request in batch if (reply := self._rejection(request)) is not None])
                for account_id, count in self._throttled.due():
                    log.write(LogEvent.DEVICE_REQUESTS_THROTTLED, count=count, account_id=account_id)
            except Exception as error:
                record_failure(error)
                log.exception(LogEvent.THROTTLED_REQUESTS_NOT_ANSWERED, requests=len(batch))

    def _next_rejections(self) -> Sequence[Request] | None:
        with self._lock:
            if not self._rejected and not self._stopping.is_set():
                # Requests that were throttled after the last line are logged when the interval is over.
                self._rejects.wait(LOG_INTERVAL_SECONDS)
            if self._stopping.is_set():
                return None
            batch: list[Request] = []
            while len(batch) < _REJECTIONS_AT_ONCE and (taken := self._rejected.take()) is not None:
                batch.append(taken[1])
            return batch

    def _rejection(self, request: Request) -> Reply | None:
        service = self._listener(request.topic)
        return service.throttled(request) if service is not None else None

    def _send(self, replies: Sequence[tuple[Request, Reply]]) -> None:
        if not replies:
            return
        try:
            outcomes = self._gateway.reply([_reply(request, reply) for request, reply in replies])
        except GatewayError as error:
            outcomes = [{"reason": None, "detail": str(error)}] * len(replies)
        for (request, reply), unsent in zip(replies, outcomes, strict=True):
            if unsent is not None and (count := self._unsent.add(request.realm.account_id)):
                log.write(
                    LogEvent.REPLY_NOT_SENT,
                    count=count,
                    topic=reply.topic,
                    account_id=request.realm.account_id,
                    client_id=request.client_id,
                    reason=unsent["detail"] if unsent["reason"] is None else f"{unsent['reason']}: {unsent['detail']}",
                )

    def _listener(self, topic: str) -> Service | None:
        levels = topic.split("/")
        for filter_, service in self._services:
            if len(filter_) == len(levels) and all(
                want in ("+", level) for want, level in zip(filter_, levels, strict=True)
            ):
                return service
        return None


def _path(request: Request) -> tuple[Hashable, ...]:
    # A connection's number is unique only within its realm.
    return (request.realm.account_id, request.certificate_id, (request.realm.region, request.connection))


def _reply(request: Request, reply: Reply) -> ReplyDict:
    return {
        "connection": request.connection,
        "message": {
            "account_id": request.realm.account_id,
            "region": request.realm.region,
            "topic": reply.topic,
            "payload": reply.payload,
            "qos": _AT_LEAST_ONCE,
            "retain": False,
        },
    }
