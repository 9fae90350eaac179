"""Threads of the API: no account, and no unauthenticated peer, uses all of them; health waits for none."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from starlette.applications import Starlette

from sekisho.api import app as app_module
from sekisho.api import fair_threads
from sekisho.api.app import build
from sekisho.api.fair_threads import Busy, FairThreads, TooLate
from sekisho.api.operation import Call, Operations
from sekisho.api.sigv4 import SecretKey
from sekisho.realm import Realm
from sekisho.server.health import Part
from sekisho.server.services import Services
from tests.logs import captured_log, lines_of
from tests.wait import eventually_async

WAIT = 10.0
HOME = Realm("123456789012", "eu-central-1")
OTHER = SecretKey("210987654321", "arn:aws:iam::210987654321:root", "210987654321", "secret")
SCOPED = "AWS4-HMAC-SHA256 Credential={key}/20260101/eu-central-1/iot/aws4_request, SignedHeaders=host, Signature=0"


class Held:
    """A function that returns when it is released; counts its calls."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self._entered = threading.Condition()
        self.inside = 0

    def __call__(self, *_: object) -> str:
        with self._entered:
            self.inside += 1
            self._entered.notify_all()
        assert self.go.wait(WAIT)
        return "done"

    async def has(self, count: int) -> None:
        def wait() -> bool:
            with self._entered:
                return self._entered.wait_for(lambda: self.inside >= count, WAIT)

        assert await asyncio.to_thread(wait), self.inside


# The threads themselves


def test_a_place_that_a_thread_gives_back_goes_to_the_request_that_waits() -> None:
    async def scenario() -> None:
        threads, loop = FairThreads(2, (100, 50)), asyncio.get_running_loop()
        assert threads.try_take(("A",))
        waiting = asyncio.create_task(threads.run(("A",), lambda: "done"))
        await eventually_async(lambda: threads.statistics()["waiting"] == 1)
        await asyncio.to_thread(threads.give_back_from_thread, ("A",), loop)
        assert await waiting == "done"
        assert threads.statistics() == {"threads": 2, "busy": 0, "waiting": 0}

    asyncio.run(scenario())


def test_a_place_that_a_thread_gives_back_is_free_though_the_loop_was_not_woken() -> None:
    async def scenario() -> None:
        threads, loop = FairThreads(2, (100, 50)), asyncio.get_running_loop()
        for _ in range(5):
            assert threads.try_take(("A",))
            assert not threads.try_take(("A",))
            await asyncio.to_thread(threads.give_back_from_thread, ("A",), loop)
        assert await threads.run(("A",), lambda: "done") == "done"

    asyncio.run(scenario())


def test_a_single_owner_gets_half_of_the_threads_and_another_one_gets_its_turn() -> None:
    async def scenario() -> None:
        threads, held = FairThreads(4, (100, 50)), Held()
        mine = [asyncio.create_task(threads.run(("A",), held)) for _ in range(10)]
        await held.has(2)
        assert await threads.run(("B",), str, 7) == "7", "while A's others wait"
        assert threads.statistics() == {"threads": 4, "busy": 2, "waiting": 8}
        held.go.set()
        assert await asyncio.gather(*mine) == ["done"] * 10
        assert threads.statistics() == {"threads": 4, "busy": 0, "waiting": 0}

    asyncio.run(scenario())


def test_an_owner_beyond_its_bound_is_refused_at_once_and_beyond_the_wait_later() -> None:
    async def scenario() -> None:
        threads, held = FairThreads(2, (100, 3), wait_seconds=0.05), Held()
        busy = asyncio.create_task(threads.run(("A",), held))
        await held.has(1)
        waiting = [asyncio.create_task(threads.run(("A",), held)) for _ in range(3)]
        await eventually_async(lambda: threads.statistics()["waiting"] == 3)
        with pytest.raises(Busy):
            await threads.run(("A",), held)
        assert all(isinstance(each, TooLate) for each in await asyncio.gather(*waiting, return_exceptions=True))
        assert held.inside == 1, "what was refused was not called"
        held.go.set()
        assert await busy == "done"
        assert threads.statistics() == {"threads": 2, "busy": 0, "waiting": 0}

    asyncio.run(scenario())


def test_the_owner_with_the_most_requests_loses_one_where_the_queue_is_full() -> None:
    async def scenario() -> None:
        threads, held = FairThreads(2, (4, 4)), Held()
        first = [asyncio.create_task(threads.run(("A",), held)) for _ in range(5)]
        await held.has(1)
        await eventually_async(lambda: threads.statistics()["waiting"] == 4)
        others = [asyncio.create_task(threads.run(("B",), held)) for _ in range(2)]
        await held.has(2)
        await eventually_async(lambda: first[4].done())
        with pytest.raises(Busy):
            await first[4]
        held.go.set()
        assert await asyncio.gather(*first[:4], *others) == ["done"] * 6

    asyncio.run(scenario())


def test_a_function_that_raises_and_a_cancelled_request_release_their_places() -> None:
    async def scenario() -> None:
        threads, held = FairThreads(2, (10, 10)), Held()
        with pytest.raises(ZeroDivisionError):
            await threads.run(("A",), lambda: 1 // 0)
        busy = asyncio.create_task(threads.run(("A",), held))
        await held.has(1)
        waiting = asyncio.create_task(threads.run(("A",), held))
        await eventually_async(lambda: threads.statistics()["waiting"] == 1)
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting
        assert threads.statistics() == {"threads": 2, "busy": 1, "waiting": 0}
        held.go.set()
        await busy
        assert threads.statistics() == {"threads": 2, "busy": 0, "waiting": 0}

    asyncio.run(scenario())


def test_a_place_taken_at_once_is_released_when_its_function_ends() -> None:
    async def scenario() -> None:
        threads, held = FairThreads(4, (100, 50)), Held()
        assert threads.try_take(("A",))
        first = threads.run_in_place(("A",), held)
        await held.has(1)
        second = asyncio.create_task(threads.run(("A",), held))
        await held.has(2)
        assert not threads.try_take(("A",)), "A has its half"
        waiting = asyncio.create_task(threads.run(("A",), held))
        await eventually_async(lambda: threads.statistics()["waiting"] == 1)
        assert not threads.try_take(("B",)), "no owner passes one that waits"
        held.go.set()
        assert list(await asyncio.gather(first, second, waiting)) == ["done"] * 3
        assert threads.statistics() == {"threads": 4, "busy": 0, "waiting": 0}

    asyncio.run(scenario())


def test_a_cancelled_request_keeps_its_place_while_its_function_runs() -> None:
    async def scenario() -> None:
        threads, held = FairThreads(2, (10, 10)), Held()
        running = asyncio.create_task(threads.run(("A",), held))
        await held.has(1)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        assert threads.statistics() == {"threads": 2, "busy": 1, "waiting": 0}
        held.go.set()
        await eventually_async(lambda: threads.statistics()["busy"] == 0)

    asyncio.run(scenario())


def test_threads_are_started_when_needed_and_end_with_their_owner() -> None:
    async def scenario() -> list[threading.Thread]:
        threads, held = FairThreads(8, (10, 10)), Held()
        for _ in range(3):
            await threads.run(("A",), str, 1)
        assert len(threads._threads._threads) == 1
        calls = [asyncio.create_task(threads.run((owner,), held)) for owner in "ABCD"]
        await held.has(4)
        held.go.set()
        await asyncio.gather(*calls)
        return list(threads._threads._threads)

    begun = asyncio.run(scenario())
    gc.collect()
    assert len(begun) == 4
    assert all(each.daemon for each in begun), "a call that hangs must not keep the process"
    for each in begun:
        each.join(WAIT)
    assert not any(each.is_alive() for each in begun)


# The application


def operations(slow: Callable[[], object]) -> Operations:
    registered = Operations()

    @registered.operation("iot", "CreateCertificateFromCsr")
    def create(_call: Call, _request: Mapping[str, Any]) -> Mapping[str, Any]:
        slow()
        return {}

    @registered.operation("iot", "DescribeEndpoint")
    def describe(call: Call, _request: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"endpointAddress": call.realm.account_id}

    return registered


class SetHealth:
    """A health whose report comes from a function."""

    def __init__(self, report: Callable[[], Mapping[str, Any]] = lambda: {"status": "ok"}) -> None:
        self._report = report

    def live(self) -> list[Part]:
        return []

    def ready(self) -> list[Part]:
        return []

    def report(self, *, is_detailed: bool) -> Mapping[str, Any]:
        assert is_detailed in (True, False)
        return self._report()


def application(slow: Callable[[], object], **options: Any) -> Starlette:
    options["health"] = SetHealth(*([options["health"]] if "health" in options else []))
    return build(
        cast(Services, None),
        options.pop("credentials", {"AKIAOTHER": OTHER}.get),
        lambda: datetime(2026, 1, 1, tzinfo=UTC),
        default_realm=HOME,
        any_credentials=options.pop("any_credentials", True),
        operations=operations(slow),
        **options,
    )


async def ask(
    app: Starlette, method: str, path: str, *, key: str | None = None, peer: str = "127.0.0.1"
) -> tuple[int, str, Any]:
    """Send one request without a socket; returns (status, error type, body)."""
    sent: list[Any] = []
    headers = [(b"host", b"localhost"), (b"x-amz-date", b"20260101T000000Z")]
    if key is not None:
        headers.append((b"authorization", SCOPED.format(key=key).encode()))
    body = b'{"certificateSigningRequest": "csr"}' if method == "POST" else b""
    messages = iter([{"type": "http.request", "body": body}])

    async def receive() -> Any:
        message = next(messages, None)
        return message if message is not None else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "headers": headers,
        "client": (peer, 1),
    }
    await app(scope, receive, send)
    answered = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    content = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], answered.get("x-amzn-errortype", "").rstrip(":"), json.loads(content)


def tasks(count: int, make: Callable[[], Awaitable[Any]]) -> list[asyncio.Future[Any]]:
    return [asyncio.ensure_future(make()) for _ in range(count)]


def test_slow_calls_of_one_account_delay_neither_another_account_nor_health() -> None:
    async def scenario() -> None:
        held = Held()
        app = application(held)
        count = app_module.OPERATION_THREADS + 10
        slow = tasks(count, lambda: ask(app, "POST", "/certificates"))
        await held.has(app_module.OPERATION_THREADS // 2)
        assert await ask(app, "GET", "/endpoint", key="AKIAOTHER") == (200, "", {"endpointAddress": OTHER.account_id})
        assert await ask(app, "GET", "/_sekisho/health") == (200, "", {"status": "ok"})
        assert held.inside == app_module.OPERATION_THREADS // 2
        assert not any(each.done() for each in slow), "they were all asked before, and still wait"
        held.go.set()
        assert {status for status, *_ in await asyncio.gather(*slow)} == {200}

    asyncio.run(asyncio.wait_for(scenario(), WAIT))


def test_calls_beyond_the_bound_of_an_account_are_throttled_and_logged_once() -> None:
    async def scenario() -> list[Any]:
        held = Held()
        app = application(held)
        slow = tasks(app_module.OPERATION_THREADS // 2, lambda: ask(app, "POST", "/certificates"))
        await held.has(app_module.OPERATION_THREADS // 2)
        waiting = tasks(app_module.OPERATIONS_WAITING[1] + 3, lambda: ask(app, "POST", "/certificates"))
        await eventually_async(lambda: sum(each.done() for each in waiting) == 3)
        throttled = [each.result() for each in waiting if each.done()]
        counted = app.state.statistics()
        assert (counted["requests_in_hand"], counted["requests_waiting"], counted["requests_throttled"]) == (
            app_module.OPERATION_THREADS // 2,
            app_module.OPERATIONS_WAITING[1],
            3,
        )
        assert await ask(app, "GET", "/endpoint", key="AKIAOTHER") == (200, "", {"endpointAddress": OTHER.account_id})
        held.go.set()
        await asyncio.gather(*slow, *waiting)
        return throttled

    with captured_log() as logs:
        throttled = asyncio.run(asyncio.wait_for(scenario(), WAIT))
    assert {(status, error) for status, error, _ in throttled} == {(400, "ThrottlingException")}
    assert f"Account {HOME.account_id}" in throttled[0][2]["message"]
    lines = lines_of(logs, "api_requests_throttled")
    assert [(line["account_id"], line["count"]) for line in lines] == [(HOME.account_id, 1)]


def test_a_call_that_finds_no_free_thread_in_time_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a database that hangs: 503, which clients retry."""
    monkeypatch.setattr(fair_threads, "WAIT_SECONDS", 0.05)

    async def scenario() -> Any:
        held = Held()
        app = application(held)
        slow = tasks(app_module.OPERATION_THREADS // 2, lambda: ask(app, "POST", "/certificates"))
        await held.has(app_module.OPERATION_THREADS // 2)
        late = await ask(app, "POST", "/certificates")
        assert app.state.statistics()["requests_timed_out"] == 1
        held.go.set()
        await asyncio.gather(*slow)
        return late

    with captured_log() as logs:
        status, error, _ = asyncio.run(asyncio.wait_for(scenario(), WAIT))
    assert (status, error) == (503, "ServiceUnavailableException")
    assert len(lines_of(logs, "api_requests_timed_out")) == 1


def test_unauthenticated_requests_use_neither_all_threads_nor_those_of_accounts() -> None:
    async def scenario() -> None:
        held = Held()

        def credentials(access_key_id: str) -> SecretKey | None:
            if access_key_id.startswith("AKIAUNKNOWN"):
                held()
            return {"AKIAOTHER": OTHER}.get(access_key_id)

        app = application(lambda: None, credentials=credentials)
        flood = [
            asyncio.ensure_future(ask(app, "GET", "/endpoint", key=f"AKIAUNKNOWN{number}", peer="192.0.2.1"))
            for number in range(100)
        ]
        await held.has(app_module.AUTHENTICATION_THREADS // 2)
        answered = await ask(app, "GET", "/endpoint", key="AKIAOTHER", peer="192.0.2.2")
        assert answered == (200, "", {"endpointAddress": OTHER.account_id})
        assert await ask(app, "GET", "/_sekisho/health", peer="192.0.2.1") == (200, "", {"status": "ok"})
        assert held.inside == app_module.AUTHENTICATION_THREADS // 2
        assert not any(each.done() for each in flood)
        held.go.set()
        await asyncio.gather(*flood)

    asyncio.run(asyncio.wait_for(scenario(), WAIT))


def test_wrongly_signed_requests_with_a_known_key_never_wait_in_its_accounts_queue() -> None:
    """The key's account is cached, so each request is verified in a thread of the account."""

    async def scenario() -> None:
        app = application(lambda: None, credentials={"AKIAOTHER": OTHER}.get, any_credentials=False)
        host = cast(Any, app)._host
        await ask(app, "GET", "/endpoint", key="AKIAOTHER", peer="192.0.2.2")
        assert host._api.cached_account("AKIAOTHER") == OTHER.account_id
        assert host._api.cached_account("AKIAUNKNOWN") is None
        held = Held()
        verify, host._api.authenticate = host._api.authenticate, lambda *given: (held(), verify(*given))[1]
        flood = [
            asyncio.ensure_future(ask(app, "GET", "/endpoint", key="AKIAOTHER", peer=f"192.0.2.{number}"))
            for number in range(100)
        ]
        await held.has(app_module.AUTHENTICATION_THREADS)
        counted = app.state.statistics()
        assert counted["requests_in_hand"] <= app_module.AUTHENTICATION_THREADS
        assert counted["requests_waiting"] == 0
        assert counted["authentications_in_hand"] == app_module.AUTHENTICATION_THREADS
        held.go.set()
        answers = await asyncio.gather(*flood)
        assert {(status, error) for status, error, _ in answers} == {(403, "InvalidSignatureException")}
        await eventually_async(lambda: not any(app.state.statistics().values()))

    asyncio.run(asyncio.wait_for(scenario(), WAIT))


def test_health_is_made_in_one_thread_however_many_requests_there_are() -> None:
    async def scenario() -> int:
        held = Held()

        def health() -> Mapping[str, Any]:
            held()
            return {"status": "ok"}

        app = application(lambda: None, health=health)
        first = asyncio.ensure_future(ask(app, "GET", "/_sekisho/health"))
        await held.has(1)
        others = tasks(200, lambda: ask(app, "GET", "/_sekisho/health"))
        assert await ask(app, "GET", "/endpoint") == (200, "", {"endpointAddress": HOME.account_id})
        held.go.set()
        assert {status for status, *_ in await asyncio.gather(first, *others)} == {200}
        return held.inside

    assert asyncio.run(asyncio.wait_for(scenario(), WAIT)) <= 2


def test_a_health_report_that_raises_is_failing_and_is_made_again_for_the_next_request() -> None:
    async def scenario() -> None:
        fails = iter([True, False])

        def health() -> Mapping[str, Any]:
            if next(fails):
                raise RuntimeError("once")
            return {"status": "ok"}

        app = application(lambda: None, health=health)
        status, _, body = await ask(app, "GET", "/_sekisho/health")
        assert (status, body["status"]) == (503, "failing")
        assert await ask(app, "GET", "/_sekisho/health") == (200, "", {"status": "ok"})

    asyncio.run(asyncio.wait_for(scenario(), WAIT))
