"""The program of a process that runs a Python function: ``python -m sekisho.handlers.worker module:function [path]``.

It reads calls from standard input and writes answers to standard output, one line of JSON each. The function has
neither pipe: its standard input is empty, and its standard output is the standard error, which the server logs.

    <- {"id": ..., "event": ..., "arn": ..., "timeout": ...}
    -> {"ready": true} or {"error": {...}}, once
    -> {"id": ..., "result": ...} or {"id": ..., "error": {"type": ..., "message": ..., "trace": ...}}

It ends when its standard input ends, so that it does not outlive a killed server. Error types that begin with
``Runtime.`` are those of AWS Lambda's runtime.
"""

from __future__ import annotations

import contextlib
import decimal
import importlib
import json
import os
import queue
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from typing import Any, BinaryIO


@dataclass(frozen=True)
class Identity:
    """``context.identity``, which is empty: Cognito identities are not supported."""

    cognito_identity_id: str | None = None
    cognito_identity_pool_id: str | None = None


class Context:
    """The second argument of the function, with the attributes that it has in AWS Lambda.

    Source: AWS Lambda Developer Guide, python-context.
    """

    def __init__(self, aws_request_id: str, invoked_function_arn: str, seconds: float) -> None:
        self.aws_request_id = aws_request_id
        self.invoked_function_arn = invoked_function_arn
        self.function_name = os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
        self.function_version = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION")
        # A text, as in Lambda.
        self.memory_limit_in_mb = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.log_group_name = os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME")
        self.identity = Identity()
        self.client_context = None
        self._deadline = time.monotonic() + seconds

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until the process is ended."""
        return max(0, int((self._deadline - time.monotonic()) * 1000))


def main() -> None:
    """Load the function, then answer calls until standard input ends."""
    target = sys.argv[1]
    calls, answers = _take_pipes()
    waiting: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(calls, waiting), daemon=True).start()
    try:
        function = _load(target, sys.argv[2:])
    except BaseException as error:  # noqa: BLE001 - the server gets every error of the import
        _say(answers, {"error": _describe(error)})
        return
    _say(answers, {"ready": True})
    while True:
        _say(answers, _answer(function, waiting.get()))


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Move the server's pipes to other descriptors, so that the function cannot use them."""
    sys.stdout.flush()
    calls, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    # Printed lines get into the log at once, also if the process is ended.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    return calls, answers


def _read(calls: BinaryIO, waiting: queue.SimpleQueue[dict[str, Any]]) -> None:
    for line in calls:
        waiting.put(json.loads(line))
    # The server has ended: exit at once, also while a function runs that never returns.
    os._exit(0)


def _load(target: str, path: list[str]) -> Any:
    # After this program's own modules, whose names the folder may have too.
    sys.path[:0] = path
    module_name, _, function_name = target.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise _RuntimeError("ImportModuleError", f"Unable to import module '{module_name}': {_text(error)}") from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise _RuntimeError("HandlerNotFound", f"Handler '{function_name}' missing on module '{module_name}'")
    return function


class _RuntimeError(Exception):
    """An error with a type of AWS Lambda's runtime."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = f"Runtime.{name}"


def _answer(function: Any, call: dict[str, Any]) -> dict[str, Any]:
    try:
        result = function(call["event"], Context(call["id"], call["arn"], call["timeout"]))
        try:
            # Serialized here, where an error is the function's, and before the function can change the value again.
            result = json.loads(json.dumps(result, allow_nan=False, default=_number))
        except (TypeError, ValueError, RecursionError) as error:
            raise _RuntimeError("MarshalError", f"Unable to marshal response: {error}") from None
    except BaseException as error:  # noqa: BLE001 - the server gets SystemExit too
        return {"id": call["id"], "error": _describe(error)}
    return {"id": call["id"], "result": result}


def _number(value: object) -> float:
    """Convert DynamoDB's numbers as Lambda does."""
    if isinstance(value, decimal.Decimal):
        return float(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _describe(error: BaseException) -> dict[str, Any]:
    match error:
        case _RuntimeError():
            name, message = error.name, str(error)
        case SystemExit():
            name, message = "Runtime.ExitError", f"the function called sys.exit({error.code!r})"
        case _:
            name, message = type(error).__name__, _text(error)
    # Without the frame of this file, which means nothing to the function's author.
    frames = error.__traceback__.tb_next if error.__traceback__ is not None else None
    return {"type": name, "message": message, "trace": "".join(traceback.format_exception(type(error), error, frames))}


def _text(error: BaseException) -> str:
    try:
        text = str(error)
        if isinstance(error, ModuleNotFoundError) and error.name == "boto3":
            text += ". Install it beside Sekisho: pip install 'sekisho[handlers]'"
        return text
    except Exception:  # noqa: BLE001 - the class is the function's own
        return "(its message cannot be read)"


def _say(answers: BinaryIO, answer: dict[str, Any]) -> None:
    with contextlib.suppress(ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    answers.write(json.dumps(answer).encode() + b"\n")
    answers.flush()


if __name__ == "__main__":
    main()
