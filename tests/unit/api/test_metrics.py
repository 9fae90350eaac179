"""The route of the metrics: one answer at a time, in a thread, and what it answers when there is no report."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from typing import Any

import pytest
from starlette.applications import Starlette

from sekisho.api import metrics
from sekisho.api.metrics import MetricsRoute
from sekisho.server.run_file import METRICS_PATH
from tests.logs import captured_log
from tests.wait import eventually_async

WITHIN = 15.0
REPORT = {"version": "1.2.3", "parts": {"log": {"ok": True, "dropped": 4, "reason": "/data is full"}}, "mqtt": {}}


async def report(*, is_detailed: bool) -> Mapping[str, Any]:
    assert not is_detailed
    return REPORT


async def scrape(application: Starlette, *accept: bytes) -> tuple[int, str, Mapping[bytes, bytes]]:
    sent: list[Any] = []
    scope = {
        "type": "http", "method": "GET", "path": METRICS_PATH, "raw_path": METRICS_PATH.encode(), "query_string": b"",
        "headers": [(b"accept", value) for value in accept], "client": ("203.0.113.7", 1234),
        "server": ("127.0.0.1", 5883), "scheme": "http", "http_version": "1.1", "root_path": "",
    }  # fmt: skip

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await application(scope, receive, send)
    start, *bodies = sent
    return start["status"], b"".join(each["body"] for each in bodies).decode(), dict(start["headers"])


def test_the_reason_of_a_failing_part_is_not_answered() -> None:
    status, text, headers = asyncio.run(scrape(Starlette(routes=MetricsRoute(report).routes)))
    assert status == 200
    assert 'sekisho_part_ok{part="log"} 1.0' in text
    assert "sekisho_log_lines_dropped_total 4.0" in text
    assert 'sekisho_info{version="1.2.3"} 1.0' in text
    assert "/data" not in text
    assert headers[b"cache-control"] == b"no-store"


def test_several_accept_headers_are_read_as_one() -> None:
    application = Starlette(routes=MetricsRoute(report).routes)
    _, text, headers = asyncio.run(scrape(application, b"text/html", b"application/openmetrics-text; version=1.0.0"))
    assert headers[b"content-type"].startswith(b"application/openmetrics-text; version=1.0.0")
    assert text.endswith("# EOF\n")


def test_scrapes_are_answered_one_at_a_time_and_do_not_block_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    may_end = threading.Event()
    running: list[int] = []
    most: list[int] = []

    def slow(_report: Mapping[str, Any], _accept: str) -> tuple[bytes, str]:
        running.append(1)
        most.append(len(running))
        may_end.wait(WITHIN)
        running.pop()
        return b"", "text/plain"

    monkeypatch.setattr(metrics, "_exposition", slow)
    application = Starlette(routes=MetricsRoute(report).routes)

    async def ask() -> list[int]:
        scrapes = [asyncio.create_task(scrape(application)) for _ in range(5)]
        # The event loop runs while the first answer is made.
        await eventually_async(lambda: len(most) == 1, "no scrape has begun")
        may_end.set()
        return [status for status, *_ in await asyncio.gather(*scrapes)]

    assert asyncio.run(ask()) == [200] * 5
    assert most == [1] * 5


def test_a_report_that_fails_is_answered_with_500_and_logged() -> None:
    async def failing(*, is_detailed: bool) -> Mapping[str, Any]:
        raise RuntimeError(f"/data is lost ({is_detailed})")

    with captured_log() as lines:
        status, text, _ = asyncio.run(scrape(Starlette(routes=MetricsRoute(failing).routes)))
    assert status == 500
    assert "/data" not in text
    assert [line["code"] for line in lines] == ["metrics_failed"]
