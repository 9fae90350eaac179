"""Requests of devices: the service that answers each, and that one request does not cost others their answers."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from sekisho._sekisho import Gateway, GatewayError
from sekisho.gateway import requests as requests_module
from sekisho.gateway.requests import MAX_WAIT_SECONDS, THREADS, Requests
from sekisho.messaging.requests import Reply, Request
from sekisho.realm import Realm
from tests.logs import captured_log, lines_of
from tests.wait import eventually

if TYPE_CHECKING:
    from sekisho._sekisho import ReplyDict, UnpublishedDict

WAIT = 10.0
REALM = Realm("123456789012", "us-east-1")
OTHER = Realm("210987654321", "us-east-1")


class FakeGateway:
    """Records the replies; or is stopped."""

    def __init__(self, *, stopped: bool = False, unsent: str | None = None) -> None:
        self.replies: queue.Queue[ReplyDict] = queue.Queue()
        self._stopped = stopped
        self._unsent = unsent

    def reply(self, replies: Sequence[ReplyDict]) -> list[UnpublishedDict | None]:
        for reply in replies:
            self.replies.put(reply)
        if self._stopped:
            raise GatewayError("the gateway was stopped")
        unsent = self._unsent
        return [None if unsent is None else {"reason": "RECEIVE_NOT_AUTHORIZED", "detail": unsent}] * len(replies)


class Echo:
    """Answers with the request."""

    topics = ("$aws/echo/+", "$aws/templates/+/echo")

    def answer(self, request: Request) -> Reply | None:
        if request.payload == b"raise":
            raise ArithmeticError("an unexpected error")
        return None if request.payload == b"silence" else Reply(f"{request.topic}/accepted", request.payload)

    def throttled(self, request: Request) -> Reply | None:
        return Reply(f"{request.topic}/rejected", b"later")


def request(
    payload: bytes,
    topic: str = "$aws/echo/json",
    *,
    realm: Realm = REALM,
    certificate_id: str = "ab" * 32,
    connection: int = 7,
) -> Request:
    return Request(realm, connection, "client", certificate_id, topic, payload)


@contextmanager
def running(gateway: FakeGateway, service: Any, **options: Any) -> Iterator[Requests]:
    requests = Requests(cast(Gateway, gateway), [service], **options)
    requests.start()
    try:
        yield requests
    finally:
        requests.stop()


def test_a_reply_goes_to_the_connection_of_the_request() -> None:
    gateway = FakeGateway()
    with running(gateway, Echo()) as requests:
        requests.take(request(b"hello"))
        reply = gateway.replies.get(timeout=WAIT)
        requests.take(request(b"there", "$aws/templates/t/echo"))
        assert gateway.replies.get(timeout=WAIT)["message"]["topic"] == "$aws/templates/t/echo/accepted"
    assert reply == {
        "connection": 7,
        "message": {
            "account_id": REALM.account_id,
            "region": REALM.region,
            "topic": "$aws/echo/json/accepted",
            "payload": b"hello",
            "qos": 1,
            "retain": False,
        },
    }


def test_requests_without_a_service_and_without_an_answer_are_ignored() -> None:
    gateway = FakeGateway()
    with running(gateway, Echo()) as requests:
        for topic in ("$aws/echo", "$aws/echo/a/b", "$aws/templates/t/u", "other/t"):
            requests.take(request(b"x", topic))
        requests.take(request(b"silence"))
        requests.take(request(b"last"))
        assert gateway.replies.get(timeout=WAIT)["message"]["payload"] == b"last"
    assert gateway.replies.empty()


def test_after_a_service_raised_the_next_request_is_answered() -> None:
    gateway = FakeGateway()
    with captured_log() as logs, running(gateway, Echo()) as requests:
        for _ in range(THREADS * 2):
            requests.take(request(b"raise"))
        requests.take(request(b"next"))
        assert gateway.replies.get(timeout=WAIT)["message"]["payload"] == b"next"
    assert {line["code"] for line in logs} == {"device_request_not_answered"}
    assert len(logs) == THREADS * 2


def test_an_answer_that_cannot_be_sent_is_logged() -> None:
    ended = FakeGateway(unsent="the connection has ended")
    for gateway, reason in (
        (ended, "NOT_AUTHORIZED: the connection has ended"),
        (FakeGateway(stopped=True), "stopped"),
    ):
        with captured_log() as logs, running(gateway, Echo()) as requests:
            requests.take(request(b"x"))
            gateway.replies.get(timeout=WAIT)
        assert [line["code"] for line in logs] == ["reply_not_sent"]
        assert reason in logs[0]["reason"]


class Slow(Echo):
    """Answers when it is released; counts the waiting calls."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self._entered = threading.Condition()
        self.inside = 0

    def answer(self, request: Request) -> Reply | None:
        with self._entered:
            self.inside += 1
            self._entered.notify_all()
        if request.payload != b"quick":
            assert self.go.wait(WAIT), request
        return super().answer(request)

    def has(self, count: int) -> None:
        with self._entered:
            assert self._entered.wait_for(lambda: self.inside >= count, WAIT), self.inside


def answered(gateway: FakeGateway) -> tuple[int, str, bytes]:
    """Return (connection, topic, payload) of the next reply."""
    reply = gateway.replies.get(timeout=WAIT)
    return reply["connection"], reply["message"]["topic"], reply["message"]["payload"]


def test_an_account_is_answered_while_thousands_of_requests_of_another_wait() -> None:
    gateway, service = FakeGateway(), Slow()
    with running(gateway, service) as requests:
        for number in range(3000):
            requests.take(request(b"slow", connection=number))
        service.has(THREADS // 2)
        requests.take(request(b"quick", realm=OTHER))
        assert answered(gateway) == (7, "$aws/echo/json/accepted", b"quick")
        assert service.inside == THREADS // 2 + 1
        assert requests.statistics()["requests_waiting"] == 3000 - THREADS // 2
        service.go.set()
        eventually(lambda: requests.statistics()["requests_waiting"] == 0)
        assert sorted(answered(gateway)[0] for _ in range(3000)) == list(range(3000)), "each once"


def test_within_an_account_certificates_and_connections_are_served_in_turn() -> None:
    gateway, service = FakeGateway(), Slow()
    with running(gateway, service) as requests:
        for _ in range(THREADS // 2):
            requests.take(request(b"slow", connection=0))
        service.has(THREADS // 2)
        for number in range(100):
            requests.take(request(f"mine {number}".encode(), connection=1))
        requests.take(request(b"same certificate", connection=2))
        requests.take(request(b"other certificate", certificate_id="cd" * 32, connection=3))
        service.go.set()
        order = [answered(gateway)[2] for _ in range(THREADS // 2 + 102)]
    assert max(order.index(b"same certificate"), order.index(b"other certificate")) < 20


def test_requests_without_a_place_are_answered_counted_and_logged_once() -> None:
    gateway, service = FakeGateway(), Slow()
    with captured_log() as logs, running(gateway, service) as requests:
        for _ in range(THREADS // 2):
            requests.take(request(b"slow"))
        service.has(THREADS // 2)
        fit = requests_module.MAX_WAITING_BYTES_PER_CONNECTION // requests_module.REQUEST_BYTES
        for _ in range(fit + 300):
            requests.take(request(b""))
        rejections = [answered(gateway) for _ in range(300)]
        statistics = requests.statistics()
        requests.take(request(b"quick", connection=8))
        requests.take(request(b"quick", realm=OTHER))
        assert answered(gateway)[2] == b"quick", "of the other account; this one's turn comes"
        service.go.set()
    assert set(rejections) == {(7, "$aws/echo/json/rejected", b"later")}
    assert (statistics["requests_waiting"], statistics["requests_throttled"]) == (fit, 300)
    assert statistics["requests_throttled_unanswered"] == 0
    lines = lines_of(logs, "device_requests_throttled")
    assert [(line["count"], line["account_id"]) for line in lines] == [(1, REALM.account_id)]


def test_large_payloads_are_bounded_by_their_bytes() -> None:
    gateway, service = FakeGateway(), Slow()
    with running(gateway, service) as requests:
        for _ in range(THREADS // 2):
            requests.take(request(b"slow"))
        service.has(THREADS // 2)
        for number in range(1000):
            requests.take(request(bytes(128 * 1024), connection=number))
        waiting = requests.statistics()["requests_waiting"]
        assert waiting * 128 * 1024 <= requests_module.MAX_WAITING_BYTES_PER_CERTIFICATE
        assert requests.statistics()["requests_throttled"] == 1000 - waiting
        service.go.set()


def test_a_request_whose_device_no_longer_waits_is_not_executed() -> None:
    gateway, service, now = FakeGateway(), Slow(), [0.0]
    with running(gateway, service, clock=lambda: now[0]) as requests:
        for _ in range(THREADS // 2):
            requests.take(request(b"slow"))
        service.has(THREADS // 2)
        requests.take(request(b"late", connection=8))
        now[0] = MAX_WAIT_SECONDS + 1
        requests.take(request(b"in time", connection=9))
        service.go.set()
        others = {answered(gateway) for _ in range(THREADS // 2 + 2)} - {(7, "$aws/echo/json/accepted", b"slow")}
    assert others == {(8, "$aws/echo/json/rejected", b"later"), (9, "$aws/echo/json/accepted", b"in time")}
    assert service.inside == THREADS // 2 + 1
