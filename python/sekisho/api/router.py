"""Finds the operation of a request by service, method and raw path.

Paths are matched before they are unescaped and every label is unescaped once, so that a policy target's ARN
(`/target-policies/arn%3Aaws%3A…%2F…`) is one label.

On the data planes a label may also contain raw slashes: `/topics/a/b` and `/topics/a%2Fb` publish to one topic.
The longest route wins, so `/connections/x/subscriptions` lists subscriptions.

Source: AWS IoT Core developer guide, "HTTPS"; the `http` trait of the models.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from urllib.parse import unquote

from sekisho.api.echo import echo
from sekisho.api.errors import UnknownOperationException
from sekisho.api.model import ServiceModel
from sekisho.errors import InvalidRequestException, MethodNotAllowedException

_DATA_PLANES = ("iot-data", "iot-jobs-data")
_LABEL = re.compile(r"\{(?P<name>[^}+]+)(?P<greedy>\+?)\}")


@dataclass(frozen=True, slots=True)
class Route:
    """The operation of a request. `labels`: the values in the path by their name in the request URI, unescaped."""

    service: str
    operation: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Candidate:
    """An operation's method and path, with labels in braces."""

    operation: str
    method: str
    path: str
    rank: tuple[int, ...]


class Router:
    """The routes of the rest-json services among `models`."""

    def __init__(self, models: Mapping[str, ServiceModel]) -> None:
        self._routes = {
            service: _routes_of(model) for service, model in models.items() if model.protocol == "rest-json"
        }

    def route(self, services: Sequence[str], method: str, raw_path: str) -> Route:
        """Find the operation.

        Args:
            services: The services that may answer, in order of preference. Some routes exist in two services (`GET
                /things/{thingName}/jobs/{jobId}`); the signature's scope determines the service.
            raw_path: The path as sent. One trailing slash is ignored where it is not part of a label.

        Raises:
            UnknownOperationException: No operation has this path; or one has it with another method.
            MethodNotAllowedException: Another method, on a data plane.
            InvalidRequestException: A label is not UTF-8.
        """
        allowed: dict[str, list[str]] = {}
        for path in _spellings(raw_path):
            for service in services:
                for candidate in self._routes[service].get(_first_segment(path), ()):
                    match = _pattern(candidate.path, service in _DATA_PLANES).fullmatch(path)
                    if match is None:
                        continue
                    if candidate.method == method:
                        return Route(service, candidate.operation, _unescape(match.groupdict()))
                    allowed.setdefault(service, []).append(candidate.method)
        raise _unroutable(method, raw_path, allowed)


def _routes_of(model: ServiceModel) -> dict[str, list[_Candidate]]:
    """Return the routes by first path segment, the most specific first."""
    by_segment: dict[str, list[_Candidate]] = {}
    for operation, method, uri in model.routes():
        path = uri.partition("?")[0]
        segments = path.split("/")[1:]
        by_segment.setdefault(segments[0], []).append(_Candidate(operation, method, path, _rank(segments)))
    for candidates in by_segment.values():
        candidates.sort(key=lambda candidate: candidate.rank)
    return by_segment


@cache
def _pattern(path: str, spans_slashes: bool) -> re.Pattern[str]:
    # Compiled when first matched: most paths of the model are those of operations that are never called.
    pattern = ""
    position = 0
    for label in _LABEL.finditer(path):
        pattern += re.escape(path[position : label.start()])
        value = ".+" if spans_slashes or label["greedy"] else "[^/]+"
        pattern += f"(?P<{label['name']}>{value})"
        position = label.end()
    return re.compile(pattern + re.escape(path[position:]), re.DOTALL)


def _rank(segments: Sequence[str]) -> tuple[int, ...]:
    """Sort longer routes first, then segments that are fixed words, then labels, then greedy labels."""
    kinds = (0 if "{" not in segment else 2 if "+}" in segment else 1 for segment in segments)
    return (-len(segments), *kinds)


def _first_segment(path: str) -> str:
    return path.split("/", 2)[1] if path.startswith("/") else ""


def _spellings(raw_path: str) -> Sequence[str]:
    # The one fixed word of the models with a reserved character is `$next`, which some clients escape.
    raw_path = raw_path.replace("%24", "$")
    if len(raw_path) > 1 and raw_path.endswith("/"):
        return (raw_path, raw_path[:-1])
    return (raw_path,)


def _unescape(labels: Mapping[str, str]) -> dict[str, str]:
    try:
        return {name: unquote(value, errors="strict") for name, value in labels.items()}
    except UnicodeDecodeError:
        raise InvalidRequestException(
            "The request's path is not UTF-8 under its percent-encoding. Encode it as UTF-8 first."
        ) from None


def _unroutable(method: str, raw_path: str, allowed: Mapping[str, Sequence[str]]) -> Exception:
    shown = echo(raw_path)
    if not allowed:
        return UnknownOperationException(f"No AWS IoT operation has the path {shown}.")
    service, methods = next(iter(allowed.items()))
    message = f"{shown} takes {' and '.join(sorted(set(methods)))}, not {method}."
    return (MethodNotAllowedException if service in _DATA_PLANES else UnknownOperationException)(message)
