"""Reports of bulk registrations over plain HTTP: as with S3's presigned URLs, the link is the permission."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from sekisho.provisioning.registration_tasks import ReportFile

PATH: Final = "/_sekisho/reports"


def link(base_url: str, file: ReportFile) -> str:
    """Where a report is fetched from; ``base_url`` is that of the API as its client wrote it."""
    return f"{base_url}{PATH}/{file.task_id}/{file.token}/{file.name}"


def route(find: Callable[[ReportFile], Sequence[str] | None]) -> Route:
    """The route of all links. ``find`` gives the parts of a report, and is called in a worker thread."""

    async def answer(request: Request) -> Response:
        parts = await run_in_threadpool(find, ReportFile(**request.path_params))
        # Certificates, and whatever else a template names: not for a cache on the way.
        headers = {"Cache-Control": "no-store"}
        if parts is None:
            text = "There is no such report. Ask ListThingRegistrationTaskReports for a new link.\n"
            return PlainTextResponse(text, 404, headers)
        return StreamingResponse(iter(parts), headers=headers, media_type="application/x-ndjson")

    return Route(f"{PATH}/{{task_id}}/{{token}}/{{name}}", answer, methods=["GET"])
