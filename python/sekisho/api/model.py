"""The AWS service models of the installed botocore, for the rest of the API.

A model file is plain JSON. It is read directly from botocore's data folder: importing `botocore.model` takes five
times as long as reading all four models, and delays the server's start. Names of operations and routes are available
at once; an operation's shapes are resolved at their first use.

Source: the C2J ("service-2.json") model format as botocore's `botocore.model` documents it.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

SERVICES = ("iot", "iot-data", "iot-jobs-data", "sts")
"""The services whose models are read, by botocore's folder names."""


class ModelError(Exception):
    """The installed botocore has no usable model of a service."""


@dataclass(eq=False, slots=True)
class Shape:
    """A type of the model. Compared by identity, because shapes may refer to themselves.

    Attributes:
        type: `structure`, `list`, `map`, `string`, `integer`, `long`, `double`, `float`, `boolean`, `blob` or
            `timestamp`.
        members: A structure's members by model name.
        required: Names of the members that a request must carry.
        member, key, value: The shapes within a list or a map.
        minimum, maximum: Bounds of the value (numbers), the length (strings, blobs) or the size (lists, maps).
        payload: Name of the member that is the whole body, if one is.
    """

    name: str
    type: str
    members: dict[str, Member] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    member: Shape | None = None
    key: Shape | None = None
    value: Shape | None = None
    minimum: float | None = None
    maximum: float | None = None
    pattern: str | None = None
    enum: tuple[str, ...] = ()
    sensitive: bool = False
    payload: str | None = None
    result_wrapper: str | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Member:
    """One member of a structure.

    Attributes:
        location: `uri`, `querystring`, `header`, `statusCode`, or None for the body.
        wire_name: Its name in the request or response.
        timestamp_format: `iso8601`, `rfc822` or `unixTimestamp`, where the model overrides the location's own.
        is_json_value: A header that carries base64 of JSON.
    """

    name: str
    shape: Shape
    location: str | None
    wire_name: str
    timestamp_format: str | None
    is_json_value: bool


@dataclass(frozen=True, eq=False, slots=True)
class Operation:
    """One operation of a service, with its shapes resolved.

    Attributes:
        errors: HTTP status of each exception that the operation declares, by exception name.
    """

    service: str
    name: str
    method: str
    success_status: int
    input: Shape | None
    output: Shape | None
    errors: Mapping[str, int]


class ServiceModel:
    """One service: its operations by name, and the statuses of its exceptions.

    Args:
        service: One of `SERVICES`.
        document: The parsed `service-2.json`.
    """

    def __init__(self, service: str, document: Mapping[str, Any]) -> None:
        self.service = service
        metadata = document["metadata"]
        self.protocol: str = metadata["protocol"]
        self.signing_name: str = metadata.get("signingName", metadata["endpointPrefix"])
        self.xml_namespace: str = metadata.get("xmlNamespace", "")
        self._operations: Mapping[str, Any] = document["operations"]
        self._shapes: Mapping[str, Any] = document["shapes"]
        self._resolved_shapes: dict[str, Shape] = {}
        self._resolved_operations: dict[str, Operation] = {}
        # While shapes are resolved, some are known by name but lack members, so only one thread may read at a time.
        self._resolving = Lock()

    @property
    def operation_names(self) -> tuple[str, ...]:
        """Return every operation of the service, in the model's order."""
        return tuple(self._operations)

    def routes(self) -> Iterator[tuple[str, str, str]]:
        """Return (operation name, method, request URI) of every operation, without resolving shapes."""
        for name, raw in self._operations.items():
            yield name, raw["http"]["method"], raw["http"]["requestUri"]

    def operation(self, name: str) -> Operation:
        """Return the operation called `name`.

        Raises:
            KeyError: The service has no such operation.
        """
        if name not in self._resolved_operations:
            with self._resolving:
                if name not in self._resolved_operations:
                    self._resolved_operations[name] = self._resolve_operation(self._operations[name])
        return self._resolved_operations[name]

    def exceptions(self) -> Iterator[str]:
        """Return the names of all exceptions of the service."""
        return (name for name, raw in self._shapes.items() if raw.get("exception"))

    def exception_status(self, name: str) -> int | None:
        """Return the HTTP status of the exception `name`, or None where the service does not have it."""
        raw = self._shapes.get(name)
        if raw is None or not raw.get("exception"):
            return None
        default = 500 if raw.get("fault") else 400
        return int(raw.get("error", {}).get("httpStatusCode", default))

    def exception_members(self, name: str) -> frozenset[str]:
        """Return the members of the exception `name`; empty where the service does not have it."""
        raw = self._shapes.get(name, {})
        return frozenset(raw["members"]) if raw.get("exception") else frozenset()

    def _resolve_operation(self, raw: Mapping[str, Any]) -> Operation:
        names = [error["shape"] for error in raw.get("errors", [])]
        return Operation(
            service=self.service,
            name=raw["name"],
            method=raw["http"]["method"],
            success_status=raw["http"].get("responseCode", 200),
            input=self._shape_of(raw.get("input")),
            output=self._shape_of(raw.get("output")),
            errors={name: self.exception_status(name) or 400 for name in names},
        )

    def _shape_of(self, reference: Mapping[str, Any] | None) -> Shape | None:
        if reference is None:
            return None
        shape = self._shape(reference["shape"])
        # A query-protocol output has its wrapper's name in the reference, not in the shape.
        shape.result_wrapper = reference.get("resultWrapper", shape.result_wrapper)
        return shape

    def _shape(self, name: str) -> Shape:
        if name in self._resolved_shapes:
            return self._resolved_shapes[name]
        raw = self._shapes[name]
        shape = Shape(
            name=name,
            type=raw["type"],
            required=tuple(raw.get("required", ())),
            minimum=raw.get("min"),
            maximum=raw.get("max"),
            pattern=raw.get("pattern"),
            enum=tuple(raw.get("enum", ())),
            sensitive=raw.get("sensitive", False),
            payload=raw.get("payload"),
        )
        # Registered before its members are resolved, so that a shape may contain itself.
        self._resolved_shapes[name] = shape
        for part in ("member", "key", "value"):
            if part in raw:
                setattr(shape, part, self._shape(raw[part]["shape"]))
        for member_name, reference in raw.get("members", {}).items():
            shape.members[member_name] = self._member(member_name, reference)
        return shape

    def _member(self, name: str, reference: Mapping[str, Any]) -> Member:
        target = self._shapes[reference["shape"]]
        return Member(
            name=name,
            shape=self._shape(reference["shape"]),
            location=reference.get("location"),
            wire_name=reference.get("locationName", name),
            timestamp_format=reference.get("timestampFormat", target.get("timestampFormat")),
            is_json_value=reference.get("jsonvalue", False),
        )


@cache
def service_model(service: str) -> ServiceModel:
    """Return the newest model of `service` in the installed botocore, read once per process.

    Args:
        service: One of `SERVICES`.

    Raises:
        ModelError: botocore is not installed, or has no such service.
    """
    spec = importlib.util.find_spec("botocore")
    if spec is None or not spec.submodule_search_locations:
        raise ModelError("botocore is not installed; it carries the AWS service models. Install it with pip.")
    folder = Path(spec.submodule_search_locations[0]) / "data" / service
    # A folder per API version, named by date: the last one in order is the newest.
    files = sorted(folder.glob("*/service-2.json*"))
    if not files:
        raise ModelError(f"botocore has no model of the service {service!r} in {folder}.")
    content = files[-1].read_bytes()
    return ServiceModel(service, json.loads(gzip.decompress(content) if files[-1].suffix == ".gz" else content))


def service_models() -> Mapping[str, ServiceModel]:
    """Return every model of `SERVICES`, by service."""
    return {service: service_model(service) for service in SERVICES}
