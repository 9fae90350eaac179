"""Checks the constraints of the model: required members, lengths, ranges, sizes, patterns, enums.

botocore's client-side validator checks neither maximum nor pattern nor enum, and other clients check nothing, so the
server checks all of them. The text is that of AWS services: "1 validation error detected: Value '…' at
'thingName' failed to satisfy constraint: Member must have length less than or equal to 128".

Repeated values are shortened; a sensitive member or a private key is never repeated.

Source: the Smithy constraint traits; validation messages as AWS's own services print them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sekisho.api.echo import echo
from sekisho.api.model import Operation, Shape
from sekisho.api.pattern import whole_value
from sekisho.errors import AwsException, InvalidRequestException, ValidationException

MAX_FAILURES = 10
"""Maximum number of failures that a message lists. It also has their total number."""

_CONTROLS = ("Cc", "Zl", "Zp")
"""Unicode categories of characters that end or forge lines: controls, line and paragraph separators."""

_ANYTHING = (None, r"[\s\S]*")
"""Patterns that every text matches; documents and certificates have one, and are long."""

_NUMBERS = ("integer", "long", "float", "double")


def validate(operation: Operation, parameters: Mapping[str, Any]) -> None:
    """Check parameters, as `Codec.parse` returned them, against the operation's input shape.

    Raises:
        InvalidRequestException: Names each member that breaks a constraint, its value and the constraint.
        ValidationException: The same, for the operations that declare this one instead.
    """
    if operation.input is None:
        return
    failures = [
        *_label_failures(operation, operation.input, parameters),
        *_structure_failures(operation.input, parameters, "", hidden=False),
    ]
    if failures:
        raise _refusal(operation)(_message(failures))


def _label_failures(operation: Operation, shape: Shape, parameters: Mapping[str, Any]) -> Iterator[str]:
    """Yield failures for control characters in path labels without a pattern. The broker checks topics itself."""
    if operation.service != "iot":
        return
    for name, member in shape.members.items():
        value = parameters.get(name)
        if member.location != "uri" or member.shape.pattern is not None or not isinstance(value, str):
            continue
        if any(unicodedata.category(character) in _CONTROLS for character in value):
            yield _failure(value, name, "Member must not contain control characters", hidden=member.shape.sensitive)


def _refusal(operation: Operation) -> Callable[[str], AwsException]:
    declared = operation.errors
    if "ValidationException" in declared and "InvalidRequestException" not in declared:
        return ValidationException
    return InvalidRequestException


def _message(failures: list[str]) -> str:
    count = len(failures)
    listed = "; ".join(failures[:MAX_FAILURES])
    if count > MAX_FAILURES:
        listed += f"; and {count - MAX_FAILURES} more"
    return f"{count} validation error{'s' if count > 1 else ''} detected: {listed}"


def _failures(shape: Shape, value: Any, path: str, *, hidden: bool) -> Iterator[str]:
    hidden = hidden or shape.sensitive
    if value is None:
        yield _failure(value, path, "Member must not be null", hidden=hidden)
        return
    for constraint in _broken(shape, value):
        yield _failure(value, path, constraint, hidden=hidden)
    if shape.type == "structure":
        yield from _structure_failures(shape, value, path, hidden=hidden)
    elif shape.type == "list" and shape.member is not None:
        for number, item in enumerate(value, 1):
            yield from _failures(shape.member, item, f"{path}.{number}.member", hidden=hidden)
    elif shape.type == "map":
        yield from _map_failures(shape, value, path, hidden=hidden)


def _structure_failures(shape: Shape, value: Mapping[str, Any], path: str, *, hidden: bool) -> Iterator[str]:
    for name in shape.required:
        if name not in value:
            yield _failure(None, _join(path, name), "Member must not be null", hidden=False)
    for name, item in value.items():
        yield from _failures(shape.members[name].shape, item, _join(path, name), hidden=hidden)


def _map_failures(shape: Shape, value: Mapping[str, Any], path: str, *, hidden: bool) -> Iterator[str]:
    if shape.key is None or shape.value is None:
        return
    for key, item in value.items():
        broken = list(_broken(shape.key, key))
        if broken:
            constraint = f"Map keys must satisfy constraint: [{', '.join(broken)}]"
            yield _failure(key, path, constraint, hidden=hidden or shape.key.sensitive)
        yield from _failures(shape.value, item, f"{path}.{_echo(key)}.member", hidden=hidden)


def _broken(shape: Shape, value: Any) -> Iterator[str]:
    """Yield the constraints that the value itself breaks, in AWS's words."""
    subject = "value" if shape.type in _NUMBERS else "length"
    size = value if shape.type in _NUMBERS else len(value) if hasattr(value, "__len__") else 0
    if shape.minimum is not None and size < shape.minimum:
        yield f"Member must have {subject} greater than or equal to {shape.minimum}"
    if shape.maximum is not None and size > shape.maximum:
        yield f"Member must have {subject} less than or equal to {shape.maximum}"
    if shape.pattern not in _ANYTHING and whole_value(shape.pattern).fullmatch(value) is None:
        yield f"Member must satisfy regular expression pattern: {shape.pattern}"
    elif shape.type == "string" and "\0" in value:
        # No name, document or topic of AWS IoT contains it, and texts in PostgreSQL cannot.
        yield "Member must not contain the character U+0000"
    if shape.enum and value not in shape.enum:
        yield f"Member must satisfy enum value set: [{', '.join(shape.enum)}]"


def _failure(value: Any, path: str, constraint: str, *, hidden: bool) -> str:
    if value is None:
        shown = " null"
    elif hidden or (isinstance(value, str) and "PRIVATE KEY" in value):
        shown = ""
    else:
        shown = f" '{_echo(value)}'"
    return f"Value{shown} at '{path}' failed to satisfy constraint: {constraint}"


def _echo(value: Any) -> str:
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, list | dict):
        return f"<{len(value)} items>"
    return echo(str(value))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
