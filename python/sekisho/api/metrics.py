"""``GET /metrics``, which Prometheus scrapes.

It needs no signature, as the health routes, and answers every client the same: numbers, none of which is
about one account or one device. It does not use the store, so it answers while the store is down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from sekisho.observe.event_log import log
from sekisho.observe.events import LogEvent
from sekisho.server.run_file import METRICS_PATH


class MakesReport(Protocol):
    """Returns the health report, without what only an operator on this machine may read."""

    async def __call__(self, *, is_detailed: bool) -> Mapping[str, Any]: ...


class MetricsRoute:
    """Answers the route in a separate thread, one request at a time."""

    def __init__(self, report: MakesReport) -> None:
        self._report = report
        self._limiter = CapacityLimiter(1)

    @property
    def routes(self) -> Sequence[Route]:
        """Return the route for the application."""
        return [Route(METRICS_PATH, self._answer)]

    async def _answer(self, request: Request) -> Response:
        accept = ",".join(request.headers.getlist("accept"))
        try:
            report = await self._report(is_detailed=False)
            content, content_type = await to_thread.run_sync(_exposition, report, accept, limiter=self._limiter)
        except Exception:
            log.exception(LogEvent.METRICS_FAILED)
            return PlainTextResponse("The metrics cannot be read. The log has the reason.\n", status_code=500)
        return Response(content, headers={"content-type": content_type, "cache-control": "no-store"})


def _exposition(report: Mapping[str, Any], accept: str) -> tuple[bytes, str]:
    # Not at the start of the server, which it would delay.
    from sekisho.observe.exposition import exposition

    return exposition(report, accept)
