"""Converts exceptions to status, headers and body.

Statuses and extra members come from the service model. Exceptions that no model declares, which AWS's front end
returns, are in one table here. botocore takes the exception's class from the header
`x-amzn-ErrorType`, so it is always sent.

Source: the `errors` of the service models; "Common Errors" in the AWS IoT and STS API references.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

from sekisho.api.http import HttpResponse
from sekisho.api.model import ServiceModel
from sekisho.errors import (
    AwsException,
    InvalidRequestException,
    RequestEntityTooLargeException,
    ServiceUnavailableException,
)

JSON = "application/json"
XML = "text/xml"


class AccessDeniedException(AwsException):
    """The caller's account is not allowed to do this."""


class MissingAuthenticationTokenException(AwsException):
    """The request is not signed."""


class IncompleteSignatureException(AwsException):
    """A part of the signature is missing or malformed."""


class UnrecognizedClientException(AwsException):
    """The access key or its session token is unknown."""


class InvalidSignatureException(AwsException):
    """The signature does not match, is not valid at this time, or is for another scope."""


class SerializationException(AwsException):
    """The request cannot be read: not JSON, not UTF-8, or a value of the wrong type."""


class UnknownOperationException(AwsException):
    """No operation has this method and path."""


class RequestTimeoutException(AwsException):
    """The request did not arrive in time."""


class RequestHeaderFieldsTooLargeException(AwsException):
    """The request has too many headers, or they are too large."""


class NotImplementedException(AwsException):
    """An operation of AWS IoT that Sekisho does not have."""


@dataclass(frozen=True)
class _FrontEnd:
    """Status and name of an exception that no model declares; some have another name in the query protocol."""

    status: int
    query_code: str


_FRONT_END: Mapping[type[AwsException], _FrontEnd] = {
    AccessDeniedException: _FrontEnd(403, "AccessDenied"),
    MissingAuthenticationTokenException: _FrontEnd(403, "MissingAuthenticationToken"),
    IncompleteSignatureException: _FrontEnd(403, "IncompleteSignature"),
    UnrecognizedClientException: _FrontEnd(403, "InvalidClientTokenId"),
    InvalidSignatureException: _FrontEnd(403, "SignatureDoesNotMatch"),
    SerializationException: _FrontEnd(400, "MalformedInput"),
    InvalidRequestException: _FrontEnd(400, "ValidationError"),
    UnknownOperationException: _FrontEnd(404, "InvalidAction"),
    RequestTimeoutException: _FrontEnd(408, "RequestTimeout"),
    RequestEntityTooLargeException: _FrontEnd(413, "RequestEntityTooLarge"),
    RequestHeaderFieldsTooLargeException: _FrontEnd(431, "RequestHeaderFieldsTooLarge"),
    ServiceUnavailableException: _FrontEnd(503, "ServiceUnavailableException"),
    # The AWS SDKs do not retry 501, as they do 500, 502, 503 and 504.
    NotImplementedException: _FrontEnd(501, "NotImplemented"),
}


def status_of(error: AwsException, models: Mapping[str, ServiceModel], service: str | None) -> int:
    """Return the HTTP status of `error` in an answer of `service`.

    An exception that the service does not declare (AWS answers ForbiddenException to Publish, undeclared) has the
    status of the front end, else that of another service, else 400.
    """
    if service is not None:
        status = models[service].exception_status(error.code)
        if status is not None:
            return status
    if type(error) in _FRONT_END:
        return _FRONT_END[type(error)].status
    statuses = (model.exception_status(error.code) for model in models.values())
    return next((status for status in statuses if status is not None), 400)


def error_response(
    error: AwsException, models: Mapping[str, ServiceModel], service: str | None, request_id: str
) -> HttpResponse:
    """Return the response for `error`.

    Args:
        service: The service that was asked; None where the request was refused before that was known.
        request_id: Also given as `traceId` by the data planes, as AWS does.
    """
    status = status_of(error, models, service)
    if service is not None and models[service].protocol == "query":
        return _query_error(error, status, models[service], request_id)
    content: dict[str, str] = {"message": error.message}
    declared = models[service].exception_members(error.code) if service is not None else frozenset()
    content |= {name: value for name, value in error.members.items() if not declared or name in declared}
    if service not in (None, "iot"):
        content["traceId"] = request_id
    return HttpResponse(
        status,
        # AWS sends the trailing colon too; SDKs cut the name at it.
        [("content-type", JSON), ("x-amzn-errortype", f"{error.code}:"), ("x-amzn-requestid", request_id)],
        json.dumps(content, ensure_ascii=False).encode("utf-8", "replace"),
    )


def _query_error(error: AwsException, status: int, model: ServiceModel, request_id: str) -> HttpResponse:
    front_end = _FRONT_END.get(type(error))
    root = ElementTree.Element("ErrorResponse", {"xmlns": model.xml_namespace})
    detail = ElementTree.SubElement(root, "Error")
    for name, text in (
        ("Type", "Receiver" if status >= 500 else "Sender"),
        ("Code", front_end.query_code if front_end else error.code),
        ("Message", error.message),
    ):
        ElementTree.SubElement(detail, name).text = text
    ElementTree.SubElement(root, "RequestId").text = request_id
    return HttpResponse(
        status,
        [("content-type", XML), ("x-amzn-requestid", request_id)],
        ElementTree.tostring(root, encoding="utf-8"),
    )
