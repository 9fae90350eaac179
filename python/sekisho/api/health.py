"""The routes by which load balancers, orchestrators and ``sekisho status`` read the server's health.

They need no signature and answer 200 or 503 with the parts of `sekisho.server.health` as JSON. Only clients on the
server's own machine get reasons, which contain paths and messages of the operating system.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sekisho.observe.event_log import log
from sekisho.observe.events import LogEvent
from sekisho.server.health import Part, verdict
from sekisho.server.run_file import HEALTH_PATH, LIVE_PATH, READY_PATH


class ReportsHealth(Protocol):
    """The server's health (`sekisho.server.health.Health`). `live` and `ready` return at once."""

    def live(self) -> Sequence[Part]: ...
    def ready(self) -> Sequence[Part]: ...
    def report(self, *, is_detailed: bool) -> Mapping[str, Any]: ...


class HealthRoutes:
    """Answers the routes in the event loop, or in a separate thread, so that no other request delays them.

    Requests for the report that come while one is made get that one, so at most one thread makes reports.
    """

    def __init__(self, health: ReportsHealth) -> None:
        self._health = health
        self._limiter = CapacityLimiter(1)
        self._reports: dict[bool, asyncio.Task[Mapping[str, Any]]] = {}

    @property
    def routes(self) -> Sequence[Route]:
        """Return the routes for the application."""
        return [
            Route(LIVE_PATH, self._answer_live),
            Route(READY_PATH, self._answer_ready),
            Route(HEALTH_PATH, self._answer_report),
        ]

    async def _answer_live(self, request: Request) -> Response:
        return _response(verdict(self._health.live(), is_detailed=_is_local(request)))

    async def _answer_ready(self, request: Request) -> Response:
        return _response(verdict(self._health.ready(), is_detailed=_is_local(request)))

    async def _answer_report(self, request: Request) -> Response:
        is_detailed = _is_local(request)
        try:
            report = await self.report(is_detailed=is_detailed)
        except Exception as error:
            log.exception(LogEvent.HEALTH_REPORT_FAILED)
            report = verdict([Part("health", f"the report failed: {error}")], is_detailed=is_detailed)
        return _response(report)

    async def report(self, *, is_detailed: bool) -> Mapping[str, Any]:
        """Return the report, or the one that is being made."""
        task = self._reports.get(is_detailed)
        if task is None or task.done():
            task = asyncio.create_task(
                to_thread.run_sync(lambda: self._health.report(is_detailed=is_detailed), limiter=self._limiter)
            )
            self._reports[is_detailed] = task
        return await asyncio.shield(task)


def _response(report: Mapping[str, Any]) -> Response:
    return JSONResponse(
        dict(report), status_code=200 if report["status"] == "ok" else 503, headers={"Cache-Control": "no-store"}
    )


def _is_local(request: Request) -> bool:
    """Return whether the client is on this machine and not behind a proxy."""
    if request.client is None or "x-forwarded-for" in request.headers or "forwarded" in request.headers:
        return False
    server = request.scope.get("server")
    if server is not None and request.client.host == server[0]:
        return True
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
