"""JSON documents in text members, policies and provisioning templates, as editors and shells write them.

A byte-order mark at the beginning is removed. A file name in place of the document has an error of its own, because the
AWS CLI reads a file only where its name begins with `file://`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from sekisho.api.echo import echo
from sekisho.errors import AwsException, InvalidRequestException, MalformedPolicyException

BYTE_ORDER_MARK: Final = "\ufeff"

DOCUMENT_MEMBERS: Final[Mapping[str, type[AwsException]]] = {
    "policyDocument": MalformedPolicyException,
    "templateBody": InvalidRequestException,
}
"""The members of all operations that contain a JSON document, and the exception for an invalid one."""

_MAX_FILE_NAME: Final = 1024
_FILE_NAME: Final = re.compile(
    r"@?(?:"
    r"(?:fileb?|https?|s3):\S.*"  # a URL, with as many slashes as were typed
    r"|(?:\.{1,2}|~)?[/\\].*"  # an absolute path, or one from here or from home
    r"|[A-Za-z]:[/\\].*"  # a drive of Windows
    r"|[^\s{}\[\]\"]+\.(?:json|txt|template|ya?ml)"  # a plain name
    r")"
)


def take_documents(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of an operation with each document without its byte-order mark.

    Raises:
        MalformedPolicyException, InvalidRequestException: A document is a file name.
    """
    return {name: _taken(name, value) for name, value in parameters.items()}


def without_mark(text: str) -> str:
    """Return the text without its byte-order mark."""
    return text.removeprefix(BYTE_ORDER_MARK)


def _taken(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return take_documents(value)
    error = DOCUMENT_MEMBERS.get(name)
    if error is None or not isinstance(value, str):
        return value
    document = without_mark(value)
    trimmed = document.strip()
    if len(trimmed) <= _MAX_FILE_NAME and _FILE_NAME.fullmatch(trimmed) is not None:
        # The path alone, without the prefix.
        path = re.sub(r"^@?(?:fileb?:/{0,2})?", "", trimmed)
        raise error(
            f"{name}: '{echo(trimmed)}' is a file name, not a document. The AWS CLI reads a file with "
            f"file://{echo(path)}; in a program, pass the content of the file."
        )
    return document
