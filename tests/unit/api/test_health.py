"""The health routes: statuses, and which clients get reasons."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from starlette.applications import Starlette

from sekisho.api.health import HealthRoutes
from sekisho.server.health import Part, verdict
from sekisho.server.run_file import HEALTH_PATH, LIVE_PATH, READY_PATH
from tests.wait import eventually_async

WITHIN = 15.0


class Health:
    """A health that a test sets."""

    def __init__(self) -> None:
        self.parts = [Part("store", "/data/sekisho.db: the disk is full.")]
        self.reports = 0
        self.may_end = threading.Event()
        self.may_end.set()

    def live(self) -> Sequence[Part]:
        return []

    def ready(self) -> Sequence[Part]:
        return self.parts

    def report(self, *, is_detailed: bool) -> Mapping[str, Any]:
        self.reports += 1
        self.may_end.wait(WITHIN)
        return verdict(self.parts, is_detailed=is_detailed)


@pytest.fixture
def health() -> Health:
    return Health()


async def get(
    application: Starlette, path: str, client: str = "127.0.0.1", server: str = "127.0.0.1", **headers: str
) -> tuple[int, Any]:
    sent: list[Any] = []
    scope = {
        "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        "client": (client, 1234), "server": (server, 5883), "scheme": "http", "http_version": "1.1", "root_path": "",
    }  # fmt: skip

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await application(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], json.loads(body)


def application(health: Health) -> Starlette:
    return Starlette(routes=[*HealthRoutes(health).routes])


def test_live_and_ready_are_separate_and_name_what_fails(health: Health) -> None:
    served = application(health)
    assert asyncio.run(get(served, LIVE_PATH)) == (200, {"status": "ok", "failing": [], "parts": {}})
    for path in (READY_PATH, HEALTH_PATH):
        status, body = asyncio.run(get(application(health), path))
        assert (status, body["status"], body["failing"]) == (503, "failing", ["store"])
    health.parts = [Part("store", None)]
    assert asyncio.run(get(served, READY_PATH))[0] == 200


@pytest.mark.parametrize("path", [READY_PATH, HEALTH_PATH])
@pytest.mark.parametrize(
    ("client", "server", "headers", "is_local"),
    [
        ("127.0.0.1", "127.0.0.1", {}, True),
        ("::1", "::1", {}, True),
        ("192.0.2.1", "192.0.2.1", {}, True),
        ("192.0.2.7", "192.0.2.1", {}, False),
        ("127.0.0.1", "127.0.0.1", {"x_forwarded_for": "192.0.2.7"}, False),
        ("127.0.0.1", "127.0.0.1", {"forwarded": "for=192.0.2.7"}, False),
        ("testclient", "127.0.0.1", {}, False),
    ],
)
def test_only_a_client_on_this_machine_gets_reasons(
    health: Health, path: str, client: str, server: str, headers: dict[str, str], is_local: bool
) -> None:
    _, body = asyncio.run(get(application(health), path, client, server, **headers))
    assert ("reason" in body["parts"]["store"]) == is_local
    assert ("/data" in json.dumps(body)) == is_local


def test_a_report_that_hangs_uses_one_thread_and_delays_no_other_route(health: Health) -> None:
    health.may_end.clear()

    async def ask() -> None:
        served = application(health)
        asked = [asyncio.create_task(get(served, HEALTH_PATH)) for _ in range(20)]
        await eventually_async(lambda: health.reports)
        assert (await asyncio.wait_for(get(served, LIVE_PATH), WITHIN))[0] == 200
        assert (await asyncio.wait_for(get(served, READY_PATH), WITHIN))[0] == 503
        health.may_end.set()
        assert {status for status, _ in await asyncio.wait_for(asyncio.gather(*asked), WITHIN)} == {503}

    asyncio.run(ask())
    assert health.reports == 1
