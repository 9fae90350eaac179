"""`/_sekisho/rotations`: Sekisho's own operations. AWS IoT has no equivalent.

    POST   /_sekisho/rotations             start: oldCertificateId, newCertificatePem, caCertificatePem → rotation
    GET    /_sekisho/rotations             list: state (PENDING), caCertificateId, pageSize, marker
                                           → rotations, nextMarker
    GET    /_sekisho/rotations/progress    count: caCertificateId → pending, done, cancelled
    DELETE /_sekisho/rotations/{oldCertificateId}
                                           cancel the pending one → rotation

Requests are signed for the service `iot`, as those of the AWS operations are; scope and access key determine the
realm. Bodies and answers are JSON, times seconds since 1970, errors those of AWS with their AWS names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from sekisho import pages
from sekisho.api.codec import load_json
from sekisho.api.echo import echo
from sekisho.api.errors import JSON, SerializationException, UnknownOperationException
from sekisho.api.http import HttpRequest, HttpResponse
from sekisho.api.operation import Call
from sekisho.errors import InvalidRequestException, MethodNotAllowedException
from sekisho.rotation.model import Rotation, RotationState

PATH: Final = "/_sekisho/rotations"
SERVICE: Final = "iot"
"""The service that requests are signed for and that errors belong to."""

_CERTIFICATE_ID: Final = re.compile(r"(0x)?[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class Beginning:
    """The body of a request to start a rotation."""

    old_certificate_id: str
    new_certificate_pem: str
    ca_certificate_pem: str | None


def is_meant(request: HttpRequest) -> bool:
    """Return whether the request is for this module."""
    return request.raw_path == PATH or request.raw_path.startswith(f"{PATH}/")


def answer(call: Call, request: HttpRequest) -> HttpResponse:
    """Answer an authenticated request. Raises an exception of ``sekisho.errors`` or ``sekisho.api.errors``."""
    rest = unquote(request.raw_path.removeprefix(PATH)).strip("/")
    match rest, request.method:
        case "", "POST":
            return _begin(call, request)
        case "", "GET":
            return _list(call, request)
        case "progress", "GET":
            return _progress(call, request)
        case certificate_id, "DELETE" if _CERTIFICATE_ID.fullmatch(certificate_id):
            return _json(described(call.services.rotations.cancel(call.realm, certificate_id)))
    if rest in ("", "progress") or _CERTIFICATE_ID.fullmatch(rest):
        allowed = {"": "GET and POST", "progress": "GET"}.get(rest, "DELETE")
        raise MethodNotAllowedException(
            f"{echo(request.method)} is not possible on {echo(request.raw_path)}; {allowed} is."
        )
    raise UnknownOperationException(f"There is nothing at {echo(request.raw_path)}. A certificateId has 64 hex digits.")


def read_beginning(body: bytes) -> Beginning:
    """Read the body of a request to start a rotation.

    Raises:
        SerializationException: It is not JSON, or a member has the wrong type.
        InvalidRequestException: A member is missing, unknown, or not a certificate id.
    """
    content = load_json(body)
    if not isinstance(content, dict):
        raise SerializationException("The body must be a JSON object.")
    members = ("oldCertificateId", "newCertificatePem", "caCertificatePem")
    _refuse_unknown(list(content), members)
    for name, value in content.items():
        if value is not None and not isinstance(value, str):
            raise SerializationException(f"'{name}' must be a string.")
    old, new, ca = (content.get(name) for name in members)
    if not old or not new:
        raise InvalidRequestException("oldCertificateId and newCertificatePem are required.")
    return Beginning(_certificate_id("oldCertificateId", old), new, ca or None)


def described(rotation: Rotation) -> dict[str, Any]:
    """Return a rotation as clients get it. Members without a value are left out."""
    members = {
        "oldCertificateId": rotation.old_certificate_id,
        "newCertificateId": rotation.new_certificate_id,
        "caCertificateId": rotation.ca_certificate_id,
        "state": rotation.state.value,
        "startedAt": rotation.started_at.timestamp(),
        "finishedAt": None if rotation.finished_at is None else rotation.finished_at.timestamp(),
    }
    return {name: value for name, value in members.items() if value is not None}


def _begin(call: Call, request: HttpRequest) -> HttpResponse:
    asked = read_beginning(request.body)
    rotation = call.services.rotations.begin(
        call.realm, asked.old_certificate_id, asked.new_certificate_pem, ca_certificate_pem=asked.ca_certificate_pem
    )
    return _json(described(rotation))


def _list(call: Call, request: HttpRequest) -> HttpResponse:
    asked = _query(request, "state", "caCertificateId", "pageSize", "marker")
    state = asked.get("state", RotationState.PENDING.value)
    if state not in list(RotationState):
        raise InvalidRequestException(f"state is one of {', '.join(RotationState)}, not '{echo(state)}'.")
    size = asked.get("pageSize")
    # Longer numbers are out of range, and very long ones cannot be converted.
    if size is not None and re.fullmatch(r"[0-9]{1,9}", size) is None:
        raise InvalidRequestException(f"pageSize is a number, not '{echo(size)}'.")
    window = pages.window(asked.get("marker"), None if size is None else int(size))
    found = call.services.rotations.list(call.realm, window, RotationState(state), _ca_certificate_id(asked))
    content: dict[str, Any] = {"rotations": [described(each) for each in found.items]}
    marker = pages.next_marker(found.next_after)
    return _json(content if marker is None else content | {"nextMarker": marker})


def _progress(call: Call, request: HttpRequest) -> HttpResponse:
    asked = _query(request, "caCertificateId")
    progress = call.services.rotations.progress(call.realm, _ca_certificate_id(asked))
    return _json({"pending": progress.pending, "done": progress.done, "cancelled": progress.cancelled})


def _query(request: HttpRequest, *allowed: str) -> Mapping[str, str]:
    # A presigned request has its signature here.
    given = [(name, value) for name, value in request.query if not name.lower().startswith("x-amz-")]
    _refuse_unknown([name for name, _ in given], allowed)
    if len(given) != len(dict(given)):
        raise InvalidRequestException("A query parameter is given twice.")
    return dict(given)


def _refuse_unknown(given: Sequence[str], allowed: Sequence[str]) -> None:
    for name in given:
        if name not in allowed:
            raise InvalidRequestException(f"'{echo(name)}' is not known here; known are {', '.join(allowed)}.")


def _ca_certificate_id(asked: Mapping[str, str]) -> str | None:
    value = asked.get("caCertificateId")
    return None if value is None else _certificate_id("caCertificateId", value)


def _certificate_id(name: str, value: str) -> str:
    if _CERTIFICATE_ID.fullmatch(value) is None:
        raise InvalidRequestException(f"{name} is a certificateId, 64 hexadecimal digits, not '{echo(value)}'.")
    return value


def _json(content: Mapping[str, Any]) -> HttpResponse:
    return HttpResponse(200, [("content-type", JSON)], json.dumps(content, separators=(",", ":")).encode())
