"""What the features need of handlers, which are called where AWS IoT calls a Lambda function.

``sekisho.handlers`` calls them; ``sekisho.toml`` says who they are.
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
    """A handler was not called, did not answer in time, or answered with an error; one line for the operator.

    Attributes:
        is_permanent: The same call would fail again: trying again is of no use.
        is_busy: It was not called, since others are being called: that counts as no attempt.
        trace: Where in the handler's own code it happened, in several lines; None where that is not known.
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
        """What a handler answers to an event.

        Args:
            realm: For whom it acts: a Python function gets this account's access key. A handler that is not the
                account's is refused.
            function: The ARN of a Lambda function, or a handler's name.
            event: What JSON can say.
            timeout: Seconds, in place of those in the configuration.
            request_id: The same for each attempt to deliver one event; None: a new one.

        Raises HandlerFailed.
        """
        ...

    def for_certificate_registered(self, realm: Realm, ca_certificate_id: str) -> Sequence[str]:
        """Names of the handlers to call when just-in-time registration registers a certificate of this CA."""
        ...


def handler_name(function: str) -> str | None:
    """The handler's name in a Lambda ARN or a name, or None where it is neither. A version or alias says nothing."""
    found = _FUNCTION.fullmatch(function)
    return None if found is None else found["name"]


def function_account(function: str) -> str | None:
    """Return the account in a Lambda ARN; None for a plain name, and for text that is neither."""
    found = _FUNCTION.fullmatch(function)
    return None if found is None else found["account"]
