"""Reports of bulk registrations over plain HTTP: as with S3's presigned URLs, the link gives the permission."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from sekisho.api.fair_threads import Busy
from sekisho.provisioning.bulk.rules import ReportFile

PATH: Final = "/_sekisho/reports"


def link(base_url: str, file: ReportFile) -> str:
    """Return the URL of a report; ``base_url`` is that of the API as its client wrote it."""
    return f"{base_url}{PATH}/{file.task_id}/{file.token}/{file.name}"


Parts = Sequence[str] | None


def route(find: Callable[[ReportFile], Parts], run: Callable[[str, Callable[[], Parts]], Awaitable[Parts]]) -> Route:
    """Return the route of all links.

    Args:
        find: Returns the parts of a report.
        run: Calls a function in a thread, for a client's address. Raises Busy.
    """

    async def answer(request: Request) -> Response:
        file = ReportFile(**request.path_params)
        # Reports contain certificates and values of templates, which no cache may keep.
        headers = {"Cache-Control": "no-store"}
        try:
            parts = await run(request.client.host if request.client else "", lambda: find(file))
        except Busy:
            return PlainTextResponse("Too many requests at a time. Try again later.\n", 429, headers)
        if parts is None:
            text = "There is no such report. Ask ListThingRegistrationTaskReports for a new link.\n"
            return PlainTextResponse(text, 404, headers)
        return StreamingResponse(iter(parts), headers=headers, media_type="application/x-ndjson")

    return Route(f"{PATH}/{{task_id}}/{{token}}/{{name}}", answer, methods=["GET"])
