"""The handlers that ``sekisho.toml`` names (``provisioning.handlers.Handlers``)."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from sekisho.accounts.model import AccessKey
from sekisho.clock import Clock
from sekisho.handlers.call import MAX_CALLS, Call, Handler
from sekisho.handlers.turns import Turns
from sekisho.observe.event_log import log
from sekisho.observe.events import LogEvent
from sekisho.observe.tally import Tally
from sekisho.provisioning.handlers import HandlerFailed, function_account, handler_name
from sekisho.realm import Realm
from sekisho.server.handler_settings import (
    HOW_TO_RESTRICT,
    CsrSigner,
    HandlerSettings,
    LambdaFunction,
    PythonFunction,
    Webhook,
)
from sekisho.store.errors import StoreError

if TYPE_CHECKING:
    from sekisho.handlers.processes import Processes

HOW_TO_WRITE = (
    'write into sekisho.toml: [handlers.{name}] and below it function = "module:function", url = "https://...", '
    'lambda_arn = "arn:aws:lambda:..." or ca_certificate = "ca.crt" with ca_key; then start the server again'
)


class AccountDirectory(Protocol):
    """The accounts of this server. Methods raise StoreError."""

    def exists(self, account_id: str) -> bool:
        """Return whether there is such an account."""
        ...

    def are_several(self) -> bool:
        """Return whether there is more than one account."""
        ...


class ConfiguredHandlers:
    """The handlers, by name. A handler is called only for the accounts in its ``accounts``.

    Args:
        settings: Settings by the name of the handler.
        api: URL of this server's API.
        credentials: An access key of an account, or None where it has none.
        accounts: The accounts of this server; read at each call of a handler without ``accounts``.
        processes: Maximum number of processes of all Python functions together.

    Raises ConfigError: a file that a handler needs is missing or not valid.
    """

    def __init__(
        self,
        settings: Mapping[str, HandlerSettings],
        *,
        api: str,
        credentials: Callable[[str], AccessKey | None],
        accounts: AccountDirectory,
        clock: Clock,
        processes: int,
    ) -> None:
        self._settings = settings
        self._accounts = accounts
        self._refusals = Tally()
        self._processes: Processes | None = None
        if any(isinstance(each.target, PythonFunction) for each in settings.values()):
            from sekisho.handlers.processes import Processes

            self._processes = Processes(processes)
        self._handlers = {
            name: _make(each, api, credentials, clock, self._processes) for name, each in settings.items()
        }
        self._turns = {
            name: Turns(MAX_CALLS, f"calls of {name!r} at once")
            for name, each in settings.items()
            if isinstance(each.target, Webhook | LambdaFunction)
        }

    def invoke(
        self,
        realm: Realm,
        function: str,
        event: Mapping[str, Any],
        *,
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> Any:
        """Call a handler, and return its answer. Raises HandlerFailed."""
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
        self._check_account(self._settings[name], realm, function)
        seconds = self._settings[name].timeout if timeout is None else timeout
        call = Call(realm, event, seconds, request_id or str(uuid.uuid4()))
        if name not in self._turns:
            return handler.invoke(call)
        with self._turns[name].place(name, realm.account_id, seconds):
            return handler.invoke(call)

    def statistics(self) -> Mapping[str, int]:
        """Return ``Turns.statistics`` of the pool of processes, and of webhooks and Lambda functions together.

        ``handler_refusals`` counts the calls that were refused because the handler is not for the account.
        """
        pool = {} if self._processes is None else self._processes.statistics()
        calls: Counter[str] = Counter()
        for turns in self._turns.values():
            calls.update(turns.statistics())
        return {
            "handler_refusals": self._refusals.total,
            **{f"handler_processes_{name}": value for name, value in pool.items()},
            **{f"handler_calls_{name}": value for name, value in calls.items()},
        }

    def for_certificate_registered(self, realm: Realm, ca_certificate_id: str) -> Sequence[str]:
        """Return the handlers with ``on_certificate_registered`` for this account and CA."""
        return [
            name for name, each in self._settings.items() if each.wants_registered(realm.account_id, ca_certificate_id)
        ]

    def warn_of_accounts(self) -> None:
        """Log the handlers that are called for no account, and accounts of handlers that do not exist.

        Raises StoreError.
        """
        are_several = self._accounts.are_several()
        for name, each in self._settings.items():
            if are_several and not each.accounts:
                log.write(LogEvent.HANDLER_WITHOUT_ACCOUNT, handler=name, reason=HOW_TO_RESTRICT.format(name=name))
            for account_id in each.accounts:
                if not self._accounts.exists(account_id):
                    log.write(LogEvent.HANDLER_ACCOUNT_UNKNOWN, handler=name, account_id=account_id)

    def _check_account(self, settings: HandlerSettings, realm: Realm, function: str) -> None:
        """Raise HandlerFailed where the handler is not for this account. Every kind of call is checked here."""
        try:
            refusal = self._refusal(settings, realm.account_id, function_account(function))
        except StoreError as failure:
            raise HandlerFailed(f"handler {settings.name!r} was not called: {failure}") from None
        if refusal is not None:
            if untold := self._refusals.add((settings.name, realm.account_id)):
                log.write(
                    LogEvent.HANDLER_REFUSED_TO_ACCOUNT,
                    handler=settings.name,
                    account_id=realm.account_id,
                    region=realm.region,
                    reason=refusal,
                    count=untold,
                )
            raise HandlerFailed(refusal, is_permanent=True)

    def _refusal(self, settings: HandlerSettings, account_id: str, named: str | None) -> str | None:
        # AWS also calls only functions of the caller's own account (Developer Guide, pre-provisioning-hook). An account
        # that this server does not have comes from an ARN copied from AWS: only the function name has a meaning then.
        if named is not None and named != account_id and self._accounts.exists(named):
            return (
                f"handler {settings.name!r} was not called: the ARN names a function of account {named}, and the call "
                f"is for account {account_id}: write {account_id} into the ARN"
            )
        if settings.accounts:
            if account_id in settings.accounts:
                return None
            return (
                f"handler {settings.name!r} is not for account {account_id}: "
                "its accounts in sekisho.toml do not have it"
            )
        if self._accounts.are_several():
            return f"handler {settings.name!r} was not called: {HOW_TO_RESTRICT.format(name=settings.name)}"
        return None

    def close(self) -> None:
        """Release the resources of all handlers; running calls fail."""
        for handler in self._handlers.values():
            handler.close()
        if self._processes is not None:
            self._processes.close()


def _make(
    settings: HandlerSettings,
    api: str,
    credentials: Callable[[str], AccessKey | None],
    clock: Clock,
    processes: Processes | None,
) -> Handler:
    # Each kind is imported where it is used, because most servers have one or none, and start faster.
    match settings.target:
        case PythonFunction() as target:
            from sekisho.handlers.python_function import PythonFunctions

            assert processes is not None  # noqa: S101 - there is a pool where there is a Python function
            return PythonFunctions(settings, target, processes, api=api, credentials=credentials)
        case Webhook() as target:
            from sekisho.handlers.webhook import WebhookHandler

            return WebhookHandler(settings, target, clock)
        case LambdaFunction() as target:
            from sekisho.handlers.aws_lambda import LambdaHandler

            return LambdaHandler(settings, target)
        case CsrSigner() as target:
            from sekisho.handlers.signer import SigningHandler

            return SigningHandler(settings, target, clock)
