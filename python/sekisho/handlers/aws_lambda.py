"""Calls Lambda functions of AWS, or of a server with the same API, with the credentials of the server's environment.

Source: AWS Lambda API Reference, Invoke.
"""

from __future__ import annotations

import json
import threading
from typing import Any, Final

from sekisho.handlers.call import MAX_CALLS, MAX_RESULT_BYTES, Call
from sekisho.provisioning.handlers import HandlerFailed
from sekisho.server.handler_settings import HandlerSettings, LambdaFunction

_AGAIN: Final = 429


class LambdaHandler:
    """A handler that is a Lambda function."""

    def __init__(self, settings: HandlerSettings, target: LambdaFunction) -> None:
        self._name = settings.name
        self._target = target
        self._lock = threading.Lock()
        self._clients: dict[float, Any] = {}

    def invoke(self, call: Call) -> Any:
        """Return the function's result. Raises HandlerFailed, permanent where Lambda refuses the call itself."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            response = self._client(call.timeout).invoke(
                FunctionName=self._target.arn,
                InvocationType="RequestResponse",
                Payload=json.dumps(call.event).encode(),
            )
            answer = response["Payload"].read(MAX_RESULT_BYTES + 1)
        except ClientError as error:
            said = error.response.get("Error", {})
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            raise self._failed(
                f"{said.get('Code')}: {said.get('Message')}",
                is_permanent=400 <= status < 500 and status != _AGAIN,
            ) from None
        except BotoCoreError as error:
            raise self._failed(str(error)) from None
        if len(answer) > MAX_RESULT_BYTES:
            raise self._failed(f"answered with more than {MAX_RESULT_BYTES} bytes")
        try:
            result = json.loads(answer) if answer else None
        except ValueError:
            raise self._failed("answered with what is no JSON") from None
        if response.get("FunctionError"):
            raise self._error_of(result)
        return result

    def close(self) -> None:
        """Close idle connections."""
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()

    def _client(self, timeout: float) -> Any:
        """Return a client with this time limit in seconds, which botocore sets per client and not per call."""
        from botocore.config import Config
        from botocore.session import Session

        with self._lock:
            if timeout not in self._clients:
                self._clients[timeout] = Session().create_client(
                    "lambda",
                    region_name=self._target.region,
                    endpoint_url=self._target.endpoint_url,
                    config=Config(
                        connect_timeout=timeout,
                        read_timeout=timeout,
                        max_pool_connections=MAX_CALLS,
                        # The caller decides about retries.
                        retries={"total_max_attempts": 1},
                        # AWS_ENDPOINT_URL often names this server, which has no Lambda functions.
                        ignore_configured_endpoint_urls=True,
                    ),
                )
            return self._clients[timeout]

    def _error_of(self, result: Any) -> HandlerFailed:
        if not isinstance(result, dict):
            return self._failed(f"failed: {result}")
        trace = result.get("stackTrace")
        return self._failed(
            f"{result.get('errorType', 'Error')}: {result.get('errorMessage')}",
            trace="\n".join(map(str, trace)) if isinstance(trace, list) else None,
        )

    def _failed(self, what: str, *, is_permanent: bool = False, trace: str | None = None) -> HandlerFailed:
        message = " ".join(f"handler {self._name!r} ({self._target.arn}): {what}".split())
        return HandlerFailed(message, is_permanent=is_permanent, trace=trace)
