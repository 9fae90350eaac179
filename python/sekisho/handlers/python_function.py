"""Calls the operator's Python functions, ``f(event, context)`` as in AWS Lambda, in separate processes.

A process can be ended when its time is over, does not use the server's interpreter lock, and cannot end the server. In
its environment ``boto3.client("iot")`` calls this server as the account of the event. It inherits only the variables
that are named, and those in ``INHERITED``, because the server's environment may contain passwords. Each account and
region has separate processes, because each account has its own access key. The first call starts a process, which stays
for further calls (``processes``).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

from sekisho.accounts.model import AccessKey
from sekisho.files import WritableByOthers, refuse_writable_by_others
from sekisho.handlers.call import Call
from sekisho.handlers.process import Process, in_one_line
from sekisho.handlers.processes import Owner, Processes
from sekisho.observe.event_log import log
from sekisho.observe.events import LogEvent
from sekisho.provisioning.handlers import HandlerFailed
from sekisho.realm import Realm
from sekisho.server.handler_settings import HandlerSettings, PythonFunction
from sekisho.server.settings import ConfigError

LOADING_SECONDS: Final = 10.0
"""Time for the import of the module, as in AWS Lambda; it does not count for the timeout of the call."""

INHERITED: Final = re.compile(
    r"PATH|HOME|LANG|LANGUAGE|LC_[A-Z]+|TZ|TMPDIR"
    # Without these the interpreter may not find its library.
    r"|PYTHONPATH|PYTHONHOME|LD_LIBRARY_PATH"
)
"""Environment variables of the server that every function inherits. Others may be secrets."""


class PythonFunctions:
    """A handler that is a Python function.

    Args:
        processes: The pool that all handlers share.
        api: URL of this server's API.
        credentials: An access key of an account, or None where it has none.
    """

    def __init__(
        self,
        settings: HandlerSettings,
        target: PythonFunction,
        processes: Processes,
        *,
        api: str,
        credentials: Callable[[str], AccessKey | None],
        loading: float = LOADING_SECONDS,
    ) -> None:
        if not target.path.is_dir():
            raise ConfigError(f"{settings.source}: path {target.path} is not a folder")
        try:
            # Its files run as the server's user.
            refuse_writable_by_others(target.path)
        except WritableByOthers as refusal:
            raise ConfigError(f"{settings.source}: path {refusal}") from None
        if target.workers > processes.share:
            raise ConfigError(
                f"{settings.source}: workers is {target.workers}, and handler_processes {processes.limit}, of which "
                f"one account gets {processes.share}: write handler_processes = {2 * target.workers}, or fewer workers"
            )
        self._name = settings.name
        self._target = target
        self._processes = processes
        self._own_environment = _own_environment(settings, target)
        self._api = api
        self._api_host = urlsplit(api).hostname
        self._credentials = credentials
        self._loading = loading

    def invoke(self, call: Call) -> Any:
        """Return what the function returns. Raises HandlerFailed: it raised, took too long, or ended its process."""
        owner = Owner(self._name, call.realm)
        start = partial(self._start, call.realm)
        with self._processes.lend(owner, self._target.workers, call.timeout, start) as process:
            answer = process.call(call, self._arn(call.realm))
        error = answer.get("error")
        if error is None:
            return answer.get("result")
        log.write(
            LogEvent.HANDLER_RAISED,
            handler=self._name,
            account_id=call.realm.account_id,
            region=call.realm.region,
            error_type=error["type"],
            error_message=error["message"],
            stack_trace=error["trace"],
        )
        raise HandlerFailed(
            f"handler {self._name!r} ({self._target.module}:{self._target.function}) raised {in_one_line(error)}",
            trace=error["trace"],
        )

    def close(self) -> None:
        """Do nothing: the pool ends the processes."""

    def _start(self, realm: Realm) -> Process:
        key = self._credentials(realm.account_id)
        if key is None:
            raise HandlerFailed(
                f"handler {self._name!r}: account {realm.account_id} has no access key to act with: "
                "'sekisho account list' shows those there are"
            )
        return Process(self._name, realm, self._target, self._environment(realm, key), self._loading)

    def _environment(self, realm: Realm, key: AccessKey) -> Mapping[str, str]:
        # A proxy that the environment names cannot reach this machine's loopback.
        unproxied = ",".join(filter(None, (os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), self._api_host)))
        return self._own_environment | {
            "no_proxy": unproxied,
            "NO_PROXY": unproxied,
            "AWS_ENDPOINT_URL": self._api,
            "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false",
            "AWS_REGION": realm.region,
            "AWS_DEFAULT_REGION": realm.region,
            "AWS_ACCESS_KEY_ID": key.access_key_id,
            "AWS_SECRET_ACCESS_KEY": key.secret_access_key,
            "AWS_LAMBDA_FUNCTION_NAME": self._name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            # Lambda's default; memory is not limited.
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{self._name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": f"{realm}/[$LATEST]",
            "LAMBDA_TASK_ROOT": str(self._target.path),
            "_HANDLER": f"{self._target.module}.{self._target.function}",
        }

    def _arn(self, realm: Realm) -> str:
        return f"arn:aws:lambda:{realm.region}:{realm.account_id}:function:{self._name}"


def _own_environment(settings: HandlerSettings, target: PythonFunction) -> dict[str, str]:
    """Return the variables that are the same in all processes of a handler. Raises ConfigError: one is not set."""
    named = {name: os.environ.get(name) for name in target.environment}
    if missing := [name for name, value in named.items() if value is None]:
        raise ConfigError(
            f"{settings.source}: environment names {', '.join(missing)}, which the server's environment does not have: "
            "set it before the start, or leave it out"
        )
    inherited = {name: value for name, value in os.environ.items() if INHERITED.fullmatch(name)}
    return inherited | {name: value for name, value in named.items() if value is not None} | dict(target.variables)
