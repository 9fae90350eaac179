"""Converts requests to parameters and results to responses, for the rest-json protocol.

Parameters carry the model's member names and Python's own types: str, int, float, bool, bytes, aware datetime, list,
dict. Null members are dropped, unknown ones ignored. `tests/contract/test_codec.py` compares this module with
botocore's serializer and parser, for every operation of the models.

Source: the AWS restJson1 protocol; botocore.serialize and botocore.parsers.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from functools import cache
from typing import Any, NoReturn
from urllib.parse import unquote_to_bytes

from sekisho.api.documents import without_mark
from sekisho.api.echo import echo
from sekisho.api.errors import JSON, SerializationException
from sekisho.api.http import HttpRequest, HttpResponse
from sekisho.api.model import Member, Operation, Shape

_INTEGER_BITS = {"integer": 32, "long": 64}


class ResultError(Exception):
    """An operation returned a member that its output shape does not have: a bug of the operation."""


class Codec:
    """The codec of one operation. Get it from `codec_of`, which makes one per operation.

    Args:
        operation: Its shapes say where each member is sent.

    Raises:
        ValueError: The model puts a member into a location that this codec does not support.
    """

    def __init__(self, operation: Operation) -> None:
        self._operation = operation
        self._labels = _located(operation.input, "uri")
        self._query = _located(operation.input, "querystring")
        self._headers = _located(operation.input, "header")
        self._body = _located(operation.input, None)
        _refuse_other_locations(operation.input, ("uri", "querystring", "header", None))
        _refuse_other_locations(operation.output, ("statusCode", None))

    @property
    def header_names(self) -> Sequence[str]:
        """The headers that contain parameters, in lower case."""
        return [member.wire_name.lower() for member in self._headers]

    def parse(self, request: HttpRequest, labels: Mapping[str, str]) -> dict[str, Any]:
        """Return the operation's parameters.

        Args:
            labels: The values in the path, unescaped, from the router.

        Raises:
            SerializationException: A value or the body cannot be read as its type. `sekisho.api.validate` checks
                constraints after that.
        """
        parameters: dict[str, Any] = {}
        for member in self._labels:
            parameters[member.name] = _from_text(member.shape, labels[member.wire_name], member.name)
        self._parse_query(request, parameters)
        for member in self._headers:
            text = request.header(member.wire_name.lower())
            if text is not None:
                read = _from_json_header if member.is_json_value else _from_text
                parameters[member.name] = read(member.shape, text, member.name)
        self._parse_body(request.body, parameters)
        return parameters

    def write(self, result: Mapping[str, Any] | None) -> HttpResponse:
        """Return the response with `result`, without the headers that every response has.

        Raises:
            ResultError: `result` has a member that the output does not have.
        """
        operation = self._operation
        status = operation.success_status
        if operation.output is None:
            body = b"" if result is None else _dump(result)
            return HttpResponse(status, [("content-type", JSON)], body)
        content = {name: value for name, value in (result or {}).items() if value is not None}
        for member in _located(operation.output, "statusCode"):
            status = int(content.pop(member.name, status))
        payload = operation.output.payload
        if payload is None:
            body = _dump(_write_structure(operation.output, content, operation.name))
        elif operation.output.members[payload].shape.type in ("blob", "string"):
            value = content.get(payload, b"")
            body = value.encode() if isinstance(value, str) else value
        else:
            shape = operation.output.members[payload].shape
            body = _dump(_write(shape, content.get(payload, {}), payload))
        # The only blobs that are a whole response are shadow documents, which are JSON too.
        return HttpResponse(status, [("content-type", JSON)], body)

    def _parse_query(self, request: HttpRequest, parameters: dict[str, Any]) -> None:
        if not self._query:
            return
        _refuse_other_encodings(request)
        sent: dict[str, list[str]] = {}
        for name, value in request.query:
            sent.setdefault(name, []).append(value)
        for member in self._query:
            values = sent.get(member.wire_name)
            if values is None:
                continue
            if member.shape.type == "list":
                item = _inner(member.shape.member)
                parameters[member.name] = [_from_text(item, value, member.name) for value in values]
            elif len(values) > 1:
                # The signature covers the parameters in sorted order, so it does not say which of them was last.
                raise SerializationException(f"The query parameter '{member.wire_name}' is given {len(values)} times.")
            else:
                parameters[member.name] = _from_text(member.shape, values[0], member.name)

    def _parse_body(self, body: bytes, parameters: dict[str, Any]) -> None:
        shape = self._operation.input
        if shape is None:
            return
        if shape.payload is not None:
            payload = shape.members[shape.payload]
            if payload.shape.type == "blob":
                # HTTP has no difference between an empty payload and none; MQTT has only the empty one.
                parameters[payload.name] = body
            elif body:
                parameters[payload.name] = _read(payload.shape, load_json(body), payload.name)
        elif self._body and body:
            content = load_json(body)
            if not isinstance(content, dict):
                raise SerializationException(f"The body must be a JSON object, not {_json_type(content)}.")
            _read_members(self._body, content, "", parameters)


@cache
def codec_of(operation: Operation) -> Codec:
    """Return the codec of `operation`, which is made at the first call."""
    return Codec(operation)


def _located(shape: Shape | None, location: str | None) -> list[Member]:
    members = shape.members.values() if shape is not None else ()
    return [member for member in members if member.location == location]


def _refuse_other_locations(shape: Shape | None, known: tuple[str | None, ...]) -> None:
    for member in shape.members.values() if shape is not None else ():
        if member.location not in known:
            raise ValueError(f"{member.name} travels in {member.location!r}, which the codec does not know.")


# Reading: JSON values and texts to parameters.


def load_json(body: bytes) -> Any:
    """Return the JSON value in a body. Raises SerializationException."""
    try:
        text = without_mark(body.decode())
    except UnicodeDecodeError as error:
        raise SerializationException(
            f"The body is not UTF-8 (byte {error.start} of {len(body)}). Send JSON in UTF-8."
        ) from None
    try:
        content = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise SerializationException(
            f"The body is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from None
    except RecursionError:
        raise SerializationException("The body is not acceptable JSON: it is nested too deeply.") from None
    except ValueError:
        raise SerializationException("The body is not acceptable JSON: a number has too many digits.") from None
    if "\\ud" in text or "\\uD" in text:
        _refuse_lone_surrogates(content)
    return content


def _refuse_other_encodings(request: HttpRequest) -> None:
    # Unescaping replaces bytes that are not UTF-8 with U+FFFD. A client may also have sent U+FFFD itself.
    if any("\ufffd" in value for _, value in request.query):
        try:
            unquote_to_bytes(request.query_string).decode()
        except UnicodeDecodeError:
            raise SerializationException(
                "The query string is not UTF-8 under its percent-encoding. Encode it as UTF-8 first."
            ) from None


def _refuse_constant(constant: str) -> NoReturn:
    raise SerializationException(f"The body is not valid JSON: {constant} is not a JSON value.")


def _refuse_lone_surrogates(content: Any) -> None:
    # JSON can escape half a surrogate pair. Such a string has no UTF-8 form, so it cannot be stored or repeated.
    try:
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise SerializationException(
            "The body holds half of a surrogate pair (\\ud800 to \\udfff), which is not a character."
        ) from None


def _json_type(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _mismatch(value: Any, path: str, wanted: str) -> NoReturn:
    raise SerializationException(f"'{path}' must be {wanted}, not {_json_type(value)}.")


def _inner(shape: Shape | None) -> Shape:
    if shape is None:
        raise ValueError("The model has a list or map without the shape of its items.")
    return shape


def _read(shape: Shape, value: Any, path: str) -> Any:
    return _READERS[shape.type](shape, value, path)


def _read_members(members: list[Member], value: dict[str, Any], path: str, into: dict[str, Any]) -> None:
    for member in members:
        sent = value.get(member.wire_name)
        if sent is not None:
            into[member.name] = _read(member.shape, sent, f"{path}.{member.name}" if path else member.name)


def _read_structure(shape: Shape, value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        _mismatch(value, path, "an object")
    structure: dict[str, Any] = {}
    _read_members(list(shape.members.values()), value, path, structure)
    return structure


def _read_list(shape: Shape, value: Any, path: str) -> list[Any]:
    if not isinstance(value, list):
        _mismatch(value, path, "a list")
    item = _inner(shape.member)
    return [_read(item, sent, f"{path}.{number}") for number, sent in enumerate(value, 1)]


def _read_map(shape: Shape, value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        _mismatch(value, path, "an object")
    item = _inner(shape.value)
    return {key: _read(item, sent, f"{path}.{echo(key)}") for key, sent in value.items() if sent is not None}


def _read_string(_shape: Shape, value: Any, path: str) -> str:
    if not isinstance(value, str):
        _mismatch(value, path, "a string")
    return value


def _read_boolean(_shape: Shape, value: Any, path: str) -> bool:
    if not isinstance(value, bool):
        _mismatch(value, path, "true or false")
    return value


def _read_integer(shape: Shape, value: Any, path: str) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, float):
        raise SerializationException(f"'{path}' must be a whole number.")
    if isinstance(value, bool) or not isinstance(value, int):
        _mismatch(value, path, "a whole number")
    return _bounded(shape, value, path)


def _bounded(shape: Shape, value: int, path: str) -> int:
    bits = _INTEGER_BITS[shape.type]
    if not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
        raise SerializationException(f"'{path}' does not fit into {bits} bits.")
    return value


def _read_number(_shape: Shape, value: Any, path: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        _mismatch(value, path, "a number")
    return _finite(value, path)


def _finite(value: float | str, path: str) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise SerializationException(f"'{path}' must be a finite number.")
    return number


def _read_blob(_shape: Shape, value: Any, path: str) -> bytes:
    if not isinstance(value, str):
        _mismatch(value, path, "a string in base64")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise SerializationException(f"'{path}' is not valid base64.") from None


def _read_timestamp(_shape: Shape, value: Any, path: str) -> datetime:
    if isinstance(value, str):
        return _timestamp_from_text(value, path)
    if isinstance(value, bool) or not isinstance(value, int | float):
        _mismatch(value, path, "a timestamp: seconds since 1970")
    return _timestamp_from_epoch(value, path)


def _timestamp_from_epoch(seconds: float, path: str) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        raise SerializationException(f"'{path}' is not a time between the years 1 and 9999.") from None


def _timestamp_from_text(text: str, path: str) -> datetime:
    """Read a timestamp in any of the protocol's three forms: seconds since 1970, ISO 8601, RFC 822."""
    try:
        return _timestamp_from_epoch(_finite(text, path), path)
    except ValueError:
        pass
    for form in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = form(text)
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except (ValueError, OverflowError):
            continue
    raise SerializationException(
        f"'{path}' is not a timestamp. Send ISO 8601, such as 2026-01-31T12:00:00Z, or seconds since 1970."
    )


_READERS: Mapping[str, Callable[[Shape, Any, str], Any]] = {
    "structure": _read_structure,
    "list": _read_list,
    "map": _read_map,
    "string": _read_string,
    "boolean": _read_boolean,
    "integer": _read_integer,
    "long": _read_integer,
    "float": _read_number,
    "double": _read_number,
    "blob": _read_blob,
    "timestamp": _read_timestamp,
}


def _from_text(shape: Shape, text: str, path: str) -> Any:
    """Read a value of a path, query string or header."""
    if shape.type == "string":
        return text
    if shape.type == "boolean":
        # Java clients send True, the developer guide TRUE.
        if text.lower() not in ("true", "false"):
            raise SerializationException(f"'{path}' must be true or false.")
        return text.lower() == "true"
    if shape.type in _INTEGER_BITS:
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
            raise SerializationException(f"'{path}' must be a whole number.")
        return _bounded(shape, int(text), path)
    if shape.type in ("float", "double"):
        try:
            return _finite(text, path)
        except ValueError:
            raise SerializationException(f"'{path}' must be a number.") from None
    return _READERS[shape.type](shape, text, path)


def _from_json_header(_shape: Shape, text: str, path: str) -> str:
    """Return the JSON text in a header in base64.

    boto3 and the CLI get JSON as a string from their users, so they send a JSON string with JSON in it; other clients
    send the base64 of the JSON itself. In both cases the parameter is the JSON text, as boto3's users write it.
    """
    try:
        content = json.loads(without_mark(base64.b64decode(text, validate=True).decode()))
        if isinstance(content, str):
            content = without_mark(content)
            json.loads(content)
            return content
    except (ValueError, RecursionError):
        raise SerializationException(f"'{path}' must be JSON text in base64.") from None
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


# Writing: results to JSON values.


def _dump(content: Any) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def _write(shape: Shape, value: Any, path: str, timestamp_format: str | None = None) -> Any:
    if shape.type == "structure":
        return _write_structure(shape, value, path)
    if shape.type == "list":
        item = _inner(shape.member)
        return [_write(item, entry, path) for entry in value]
    if shape.type == "map":
        item = _inner(shape.value)
        return {key: _write(item, entry, path) for key, entry in value.items() if entry is not None}
    if shape.type == "blob":
        return base64.b64encode(value).decode()
    if shape.type == "timestamp":
        return _write_timestamp(value, timestamp_format)
    return value


def _write_structure(shape: Shape, value: Mapping[str, Any], path: str) -> dict[str, Any]:
    written: dict[str, Any] = {}
    for name, entry in value.items():
        member = shape.members.get(name)
        if member is None:
            raise ResultError(f"{path} has no member {name!r}; it has {', '.join(shape.members) or 'none'}.")
        if entry is not None:
            written[member.wire_name] = _write(member.shape, entry, f"{path}.{name}", member.timestamp_format)
    return written


def _write_timestamp(moment: datetime, form: str | None) -> str | int | float:
    if form == "iso8601":
        return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if form == "rfc822":
        return format_datetime(moment.astimezone(UTC), usegmt=True)
    # Seconds since 1970, to the millisecond, as AWS returns them.
    milliseconds = round(moment.timestamp() * 1000)
    return milliseconds // 1000 if milliseconds % 1000 == 0 else milliseconds / 1000
