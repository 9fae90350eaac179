"""The query protocol, as far as STS needs it: a form in the request, XML in the response.

Parameters of an operation arrive as form fields beside `Action` and `Version`. GetCallerIdentity takes none and
answers three strings, so only flat members are supported.

Source: the AWS Query protocol; botocore.parsers.QueryParser.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl
from xml.etree import ElementTree

from sekisho.api.echo import echo
from sekisho.api.errors import XML, SerializationException, UnknownOperationException
from sekisho.api.http import HttpRequest, HttpResponse
from sekisho.api.model import Operation, ServiceModel


def parse_form(request: HttpRequest) -> dict[str, str]:
    """Return the request's fields, from the query string or the body.

    Raises:
        SerializationException: The body is not a form in UTF-8, or a field is given twice.
    """
    try:
        body = parse_qsl(request.body.decode(), keep_blank_values=True, errors="strict")
    except ValueError:
        raise SerializationException("The body is not a form (application/x-www-form-urlencoded) in UTF-8.") from None
    pairs = [*request.query, *body]
    fields = dict(pairs)
    if len(fields) != len(pairs):
        # The signature covers a query in sorted order, so it does not say which of two was last.
        raise SerializationException("A parameter is given twice.")
    return fields


def action_of(model: ServiceModel, fields: Mapping[str, str]) -> str:
    """Return the name of the operation that `fields` ask for.

    Raises:
        UnknownOperationException: There is no `Action`, or the service does not have it.
    """
    action = fields.get("Action")
    if action is None:
        raise UnknownOperationException("The request names no Action, such as Action=GetCallerIdentity.")
    if action not in model.operation_names:
        raise UnknownOperationException(f"{model.service} has no operation {echo(action)}.")
    return action


def parse_parameters(operation: Operation, fields: Mapping[str, str]) -> dict[str, Any]:
    """Return the string members among `fields`; others are ignored, as for an operation without input."""
    members = operation.input.members if operation.input is not None else {}
    return {name: fields[name] for name, member in members.items() if name in fields and _flat(member.shape.type)}


def write_result(
    model: ServiceModel, operation: Operation, result: Mapping[str, Any] | None, request_id: str
) -> HttpResponse:
    """Return the XML with `result`, wrapped as the model's output shape requires."""
    root = ElementTree.Element(f"{operation.name}Response", {"xmlns": model.xml_namespace})
    output = operation.output
    wrapper = output.result_wrapper if output is not None else None
    parent = ElementTree.SubElement(root, wrapper) if wrapper is not None else root
    for name, value in (result or {}).items():
        if output is not None and value is not None:
            ElementTree.SubElement(parent, output.members[name].wire_name).text = str(value)
    metadata = ElementTree.SubElement(root, "ResponseMetadata")
    ElementTree.SubElement(metadata, "RequestId").text = request_id
    body = ElementTree.tostring(root, encoding="utf-8")
    return HttpResponse(operation.success_status, [("content-type", XML)], body)


def _flat(shape_type: str) -> bool:
    return shape_type == "string"
