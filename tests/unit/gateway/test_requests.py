"""Requests of devices: which service answers, and that nothing one of them does costs the others their answers."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

from structlog.testing import capture_logs

from sekisho._sekisho import Gateway, GatewayError
from sekisho.gateway.requests import THREADS, WAITING, Requests
from sekisho.messaging.requests import Reply, Request
from sekisho.realm import Realm

WAIT = 10.0
REALM = Realm("123456789012", "us-east-1")


class Gate:
    """Keeps the replies; or is stopped."""

    def __init__(self, *, stopped: bool = False, unsent: str | None = None) -> None:
        self.replies: queue.Queue[tuple[int, Any]] = queue.Queue()
        self._stopped = stopped
        self._unsent = unsent

    def reply(self, replies: Sequence[tuple[int, Any]]) -> list[str | None]:
        for reply in replies:
            self.replies.put(reply)
        if self._stopped:
            raise GatewayError("the gateway was stopped")
        return [self._unsent] * len(replies)


class Echo:
    """Says what it was asked."""

    topics = ("$aws/echo/+", "$aws/templates/+/echo")

    def answer(self, request: Request) -> Reply | None:
        if request.payload == b"raise":
            raise ArithmeticError("nobody foresaw this")
        return None if request.payload == b"silence" else Reply(f"{request.topic}/accepted", request.payload)


def request(payload: bytes, topic: str = "$aws/echo/json") -> Request:
    return Request(REALM, 7, "client", "ab" * 32, topic, payload)


@contextmanager
def running(gate: Gate, service: Any) -> Iterator[Requests]:
    requests = Requests(cast(Gateway, gate), [service])
    requests.start()
    try:
        yield requests
    finally:
        requests.stop()


def test_a_reply_goes_to_the_connection_that_asked() -> None:
    gate = Gate()
    with running(gate, Echo()) as requests:
        requests.take(request(b"hello"))
        connection, publication = gate.replies.get(timeout=WAIT)
        requests.take(request(b"there", "$aws/templates/t/echo"))
        assert gate.replies.get(timeout=WAIT)[1][2] == "$aws/templates/t/echo/accepted"
    assert connection == 7
    assert publication[:6] == (REALM.account_id, REALM.region, "$aws/echo/json/accepted", b"hello", 1, False)


def test_what_nobody_listens_to_and_what_is_not_answered_is_passed_over() -> None:
    gate = Gate()
    with running(gate, Echo()) as requests:
        for topic in ("$aws/echo", "$aws/echo/a/b", "$aws/templates/t/u", "other/t"):
            requests.take(request(b"x", topic))
        requests.take(request(b"silence"))
        requests.take(request(b"last"))
        assert gate.replies.get(timeout=WAIT)[1][3] == b"last"
    assert gate.replies.empty()


def test_a_service_that_raises_goes_on_with_the_next() -> None:
    gate = Gate()
    with capture_logs() as logs, running(gate, Echo()) as requests:
        for _ in range(THREADS * 2):
            requests.take(request(b"raise"))
        requests.take(request(b"next"))
        assert gate.replies.get(timeout=WAIT)[1][3] == b"next"
    assert {line["event"] for line in logs} == {"a request was not answered"}
    assert len(logs) == THREADS * 2


def test_an_answer_that_cannot_be_sent_is_in_the_log() -> None:
    for gate, reason in ((Gate(unsent="the connection has ended"), "has ended"), (Gate(stopped=True), "stopped")):
        with capture_logs() as logs, running(gate, Echo()) as requests:
            requests.take(request(b"x"))
            gate.replies.get(timeout=WAIT)
        assert [line["event"] for line in logs] == ["an answer was not sent"]
        assert reason in logs[0]["reason"]


def test_more_requests_than_may_wait_are_dropped_and_told_of() -> None:
    gate = Gate()
    hold = threading.Event()
    busy = threading.Semaphore(0)

    class Slow(Echo):
        def answer(self, request: Request) -> Reply | None:
            busy.release()
            assert hold.wait(WAIT), request
            return None

    with capture_logs() as logs, running(gate, Slow()) as requests:
        for _ in range(THREADS):
            requests.take(request(b""))
        for _ in range(THREADS):
            assert busy.acquire(timeout=WAIT)
        for _ in range(WAITING + 3):
            requests.take(request(b""))
        hold.set()
    assert [line["event"] for line in logs] == ["a request was dropped: too many wait"] * 3
