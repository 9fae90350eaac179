"""The handlers that ``sekisho.toml`` names (``provisioning.handlers.Handlers``)."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sekisho.handler_settings import CsrSigner, HandlerSettings, LambdaFunction, PythonFunction, Webhook
from sekisho.handlers.call import Call, Handler
from sekisho.provisioning.handlers import HandlerFailed, handler_name
from sekisho.realm import Realm
from sekisho.registry.model import AccessKey
from sekisho.registry.ports import Clock

HOW_TO_WRITE = (
    'write into sekisho.toml: [handlers.{name}] and below it function = "module:function", url = "https://...", '
    'lambda_arn = "arn:aws:lambda:..." or ca_certificate = "ca.crt" with ca_key; then start the server again'
)


class ConfiguredHandlers:
    """Handlers by name.

    Args:
        settings: By name.
        api: URL of this server's API.
        credentials: An access key of an account, or None where it has none.

    Raises ConfigError: a file that a handler needs is not there or not as it must be.
    """

    def __init__(
        self,
        settings: Mapping[str, HandlerSettings],
        *,
        api: str,
        credentials: Callable[[str], AccessKey | None],
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._handlers = {name: _make(each, api, credentials, clock) for name, each in settings.items()}

    def invoke(
        self,
        realm: Realm,
        function: str,
        event: Mapping[str, Any],
        *,
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> Any:
        """What the handler answers. Raises HandlerFailed."""
        name = handler_name(function)
        if name is None:
            raise HandlerFailed(
                f"{function[:200]!r} is neither the ARN of a Lambda function nor a handler's name", is_permanent=True
            )
        handler = self._handlers.get(name)
        if handler is None:
            raise HandlerFailed(
                f"there is no handler {name!r} to call for {function}: {HOW_TO_WRITE.format(name=name)}",
                is_permanent=True,
            )
        seconds = self._settings[name].timeout if timeout is None else timeout
        return handler.invoke(Call(realm, event, seconds, request_id or str(uuid.uuid4())))

    def for_certificate_registered(self, realm: Realm, ca_certificate_id: str) -> Sequence[str]:
        """Handlers with ``on_certificate_registered`` whose accounts and CAs these are."""
        return [
            name for name, each in self._settings.items() if each.wants_registered(realm.account_id, ca_certificate_id)
        ]

    def close(self) -> None:
        """End what they hold; calls under way fail."""
        for handler in self._handlers.values():
            handler.close()


def _make(settings: HandlerSettings, api: str, credentials: Callable[[str], AccessKey | None], clock: Clock) -> Handler:
    # Each kind is imported where it is used: most servers have one or none, and start the sooner.
    match settings.target:
        case PythonFunction() as target:
            from sekisho.handlers.python_function import PythonFunctions

            return PythonFunctions(settings, target, api=api, credentials=credentials)
        case Webhook() as target:
            from sekisho.handlers.webhook import WebhookHandler

            return WebhookHandler(settings, target, clock)
        case LambdaFunction() as target:
            from sekisho.handlers.aws_lambda import LambdaHandler

            return LambdaHandler(settings, target)
        case CsrSigner() as target:
            from sekisho.handlers.signer import SigningHandler

            return SigningHandler(settings, target, clock)
