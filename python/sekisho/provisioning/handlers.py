"""The interface through which the features call handlers.

``sekisho.handlers`` implements it. ``sekisho.toml`` defines the handlers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from sekisho.realm import Realm

_NAME: Final = r"[A-Za-z0-9_-]{1,64}"
_FUNCTION: Final = re.compile(
    # AWS Lambda API Reference, Invoke: FunctionName, with the qualifier that an ARN may end with.
    r"(?:arn:aws[a-z-]*:lambda:[a-z0-9-]+:(?P<account>[0-9]{12}):function:)?"
    rf"(?P<name>{_NAME})(?P<qualifier>:[A-Za-z0-9$_-]{{1,128}})?"
)


class HandlerFailed(Exception):
    """A handler was not called, did not answer in time, or failed. The message is one line for the operator.

    Attributes:
        is_permanent: Whether the same call would fail again.
        is_busy: Whether it was not called because of other calls, which does not count as an attempt.
        trace: The traceback in the handler's code, several lines; None where that is not known.
    """

    def __init__(
        self, message: str, *, is_permanent: bool = False, is_busy: bool = False, trace: str | None = None
    ) -> None:
        super().__init__(message)
        self.is_permanent = is_permanent
        self.is_busy = is_busy
        self.trace = trace


class Handlers(Protocol):
    """Calls handlers. Methods may be called from any thread."""

    def invoke(
        self,
        realm: Realm,
        function: str,
        event: Mapping[str, Any],
        *,
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> Any:
        """Call a handler with an event, and return its answer.

        Args:
            realm: The realm of the event. A Python function gets an access key of its account. A handler of another
                account is not called.
            function: The ARN of a Lambda function, or a handler's name.
            event: A JSON object.
            timeout: Seconds in which it has to answer; None: those of the configuration.
            request_id: The request's id, the same for each attempt to deliver one event; None: a new one.

        Raises:
            HandlerFailed: It was not called, did not answer in time, or failed.
        """
        ...

    def for_certificate_registered(self, realm: Realm, ca_certificate_id: str) -> Sequence[str]:
        """Return the names of the handlers for certificates of this CA that just-in-time registration registers."""
        ...


def handler_name(function: str) -> str | None:
    """Return the handler's name in a function's ARN or name, without version or alias; None where it is neither."""
    found = _FUNCTION.fullmatch(function)
    return None if found is None else found["name"]


def function_account(function: str) -> str | None:
    """Return the account in a function's ARN; None for a name, and for text that is neither."""
    found = _FUNCTION.fullmatch(function)
    return None if found is None else found["account"]
