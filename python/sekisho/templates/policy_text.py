"""Inserts parameters into policy documents: a value changes only the string that contains it.

A document is a JSON object with functions in its strings, or JSON text that a function builds. In both a value is
escaped for JSON. A device's value is refused where it would widen the policy: a wildcard (``*``, ``?``), the beginning
of a policy variable (``$``), an MQTT wildcard (``+``, ``#``) in the ARN of a topic filter, or any value outside of the
quotes of JSON text. AWS IoT documents no escape for wildcards in policies.
"""

from __future__ import annotations

import json
import re
from collections.abc import Set
from typing import Final

from sekisho.templates.error import Place, TemplateError
from sekisho.templates.expressions import MAX_LENGTH, Traced

_POLICY_SYNTAX: Final = re.compile(r"[*?$]")
_MQTT_WILDCARD: Final = re.compile(r"[+#]")
_TOPIC_FILTER: Final = ":topicfilter/"
_HEX_DIGITS_OF_ESCAPE: Final = 4


def string_of(value: Traced, from_device: Set[str], place: Place) -> str:
    """Return a string of a document that is given as an object.

    Args:
        from_device: Parameters whose values a device chose.
        place: The position of the string in the template.

    Raises:
        TemplateError: A device's value has characters with a meaning in policies.
    """
    before = ""
    for content, name in value.parts:
        if name in from_device:
            _require_plain(content, str(name), before, place)
        before += content
    return before


def document_of(value: Traced, from_device: Set[str], place: Place) -> str:
    """Return a document that a function builds as JSON text, with the values of parameters escaped in its strings.

    Outside of strings the value of a parameter is inserted unchanged, unless it comes from a device.

    Args:
        from_device: Parameters whose values a device chose.
        place: The position of the function in the template.

    Raises:
        TemplateError: As ``string_of``; and a device's value outside of a string, or any value inside an escape.
    """
    if all(name is None for _, name in value.parts):
        return str(value)
    text = _JsonText()
    for content, name in value.parts:
        if name is None:
            text.read(content)
            continue
        if text.is_in_escape:
            raise TemplateError(
                f"the parameter {name!r} is after a backslash in the text of a policy document, within an escape of "
                "JSON. Give PolicyDocument as an object.",
                place,
            )
        if text.is_in_string:
            if name in from_device:
                _require_plain(content, name, text.string_so_far(), place)
            text.read(json.dumps(content, ensure_ascii=False)[1:-1])
        elif name in from_device:
            raise TemplateError(
                f"the parameter {name!r} is outside of quotes in the text of a policy document, where its value, which "
                "comes from a device, could add a statement. Put the parameter inside a string, or set it in "
                "parameterOverrides of the pre-provisioning hook.",
                place,
            )
        else:
            text.read(content)
    document = text.written
    if len(document) > MAX_LENGTH:
        raise TemplateError(f"the policy document would be longer than {MAX_LENGTH} characters.", place)
    return document


def _require_plain(content: str, name: str, before: str, place: Place) -> None:
    """Refuse a device's value that would widen the policy. ``before``: the text before it in the string."""
    found = _POLICY_SYNTAX.search(content)
    if found is None and _TOPIC_FILTER in before + content:
        found = _MQTT_WILDCARD.search(content)
    if found is not None:
        raise TemplateError(
            f"the value of the parameter {name!r} has {found[0]!r}, which is a wildcard or begins a policy variable in "
            "a policy document. A device must not widen its policy: send a value without that character, or set it in "
            "parameterOverrides of the pre-provisioning hook.",
            place,
        )


class _JsonText:
    """JSON text that is being built, and whether its end is inside a string or an escape."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._string: list[str] | None = None
        """Characters of the open string; None outside of strings."""
        self._is_after_backslash = False
        self._hex_digits = 0
        """Missing digits of a ``\\u`` escape."""

    @property
    def is_in_string(self) -> bool:
        return self._string is not None

    @property
    def is_in_escape(self) -> bool:
        return self._is_after_backslash or self._hex_digits > 0

    @property
    def written(self) -> str:
        return "".join(self._pieces)

    def string_so_far(self) -> str:
        """Return the open string, with its escapes decoded."""
        raw = "".join(self._string or ())
        try:
            return str(json.loads(f'"{raw}"'))
        except ValueError:
            # It is not JSON, and is refused later as a document.
            return raw

    def read(self, content: str) -> None:
        self._pieces.append(content)
        for character in content:
            if self._string is None:
                if character == '"':
                    self._string = []
                continue
            if self._is_after_backslash:
                self._is_after_backslash = False
                self._hex_digits = _HEX_DIGITS_OF_ESCAPE if character == "u" else 0
            elif self._hex_digits:
                self._hex_digits -= 1
            elif character == "\\":
                self._is_after_backslash = True
            elif character == '"':
                self._string = None
                continue
            self._string.append(character)
