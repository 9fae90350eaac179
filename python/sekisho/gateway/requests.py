"""Carries what devices ask from the gate to the services, and the answers back.

One table leads from a topic to the service that listens there. Services may take their time (they issue keys, and ask
handlers), so they have threads of their own, and a queue with a bound before them: beyond it a request is dropped and
told of in the log, and its device asks again.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from typing import Final

import structlog

from sekisho._sekisho import Gateway, GatewayError
from sekisho.messaging.requests import Reply, Request, Service

log = structlog.get_logger(__name__)

THREADS: Final = 4
"""Requests answered at a time."""

WAITING: Final = 1000
"""Requests that may wait for a thread."""

_AT_LEAST_ONCE: Final = 1
_NO_PROPERTIES: Final = (None, None, None, None, None, list[tuple[str, str]]())


class Requests:
    """Answers requests in threads of its own. ``start`` once, ``stop`` once."""

    def __init__(self, gateway: Gateway, services: Sequence[Service]) -> None:
        self._gateway = gateway
        self._services = [(filter_.split("/"), service) for service in services for filter_ in service.topics]
        self._waiting: queue.Queue[Request | None] = queue.Queue(WAITING)
        self._threads = [
            threading.Thread(target=self._run, name=f"service-{number}", daemon=True) for number in range(THREADS)
        ]

    def start(self) -> None:
        """Begin to answer."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Answer no more; waits for the requests in hand, at most ``timeout`` seconds for each thread."""
        while True:
            try:
                self._waiting.get_nowait()
            except queue.Empty:
                break
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join(timeout)

    def take(self, request: Request) -> None:
        """Take one to be answered; returns at once."""
        try:
            self._waiting.put_nowait(request)
        except queue.Full:
            log.error("a request was dropped: too many wait", topic=request.topic, client_id=request.client_id)

    def _run(self) -> None:
        while (request := self._waiting.get()) is not None:
            try:
                self._answer(request)
            except Exception:
                # The thread must outlive any one request.
                log.exception("a request was not answered", topic=request.topic, client_id=request.client_id)

    def _answer(self, request: Request) -> None:
        service = self._listener(request.topic)
        reply = service.answer(request) if service is not None else None
        if reply is None:
            return
        try:
            unsent = self._gateway.reply([(request.connection, _publication(request, reply))])[0]
        except GatewayError as error:
            unsent = str(error)
        if unsent is not None:
            log.warning("an answer was not sent", topic=reply.topic, client_id=request.client_id, reason=unsent)

    def _listener(self, topic: str) -> Service | None:
        levels = topic.split("/")
        for filter_, service in self._services:
            if len(filter_) == len(levels) and all(
                want in ("+", level) for want, level in zip(filter_, levels, strict=True)
            ):
                return service
        return None


def _publication(
    request: Request, reply: Reply
) -> tuple[str, str, str, bytes, int, bool, tuple[None, None, None, None, None, list[tuple[str, str]]]]:
    realm = request.realm
    return (realm.account_id, realm.region, reply.topic, reply.payload, _AT_LEAST_ONCE, False, _NO_PROPERTIES)
