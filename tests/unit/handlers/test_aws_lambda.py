"""Lambda functions, with a real HTTP server that implements Lambda's Invoke."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from sekisho.handlers.registry import ConfiguredHandlers
from sekisho.provisioning.handlers import HandlerFailed
from tests.unit.features.arrange import HOME
from tests.unit.handlers.arrange import build, http_server

ARN = "arn:aws:lambda:eu-west-3:210987654321:function:activate"


@dataclass
class Lambda:
    """The state of the server that replaces Lambda."""

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b'{"activated": true}'
    silence: threading.Event | None = None
    seen: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lambda]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOPERATOR")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    # This server itself, as after `sekisho env` in a shell; it must not be called.
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    stand_in = Lambda()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            stand_in.seen.append((unquote(self.path), dict(self.headers), body))
            if stand_in.silence is not None:
                stand_in.silence.wait(30)
                self.close_connection = True
                return
            self.send_response(stand_in.status)
            for name, value in stand_in.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(stand_in.body)))
            self.end_headers()
            self.wfile.write(stand_in.body)

        def log_message(self, *_: Any) -> None: ...

    with http_server(Handler) as stand_in.url:
        yield stand_in


@pytest.fixture
def handlers(remote: Lambda, tmp_path: Path) -> Iterator[ConfiguredHandlers]:
    text = f'[handlers.cloud]\nlambda_arn = "{ARN}"\nendpoint_url = "{remote.url}"\n'
    with closing(build(tmp_path, text)) as made:
        yield made


def failure(handlers: ConfiguredHandlers, **options: Any) -> HandlerFailed:
    with pytest.raises(HandlerFailed) as raised:
        handlers.invoke(HOME, "cloud", {}, **options)
    assert str(raised.value).startswith(f"handler 'cloud' ({ARN}): ")
    return raised.value


def test_the_function_is_invoked_with_the_event_and_returns_the_answer(
    remote: Lambda, handlers: ConfiguredHandlers
) -> None:
    assert handlers.invoke(HOME, "cloud", {"certificateId": "ü"}) == {"activated": True}
    [(path, headers, body)] = remote.seen
    assert path == f"/2015-03-31/functions/{ARN}/invocations"
    assert json.loads(body) == {"certificateId": "ü"}
    assert headers["X-Amz-Invocation-Type"] == "RequestResponse"
    assert "Credential=AKIAOPERATOR/" in headers["Authorization"]
    assert "/eu-west-3/lambda/aws4_request" in headers["Authorization"]


def test_an_empty_answer_is_none(remote: Lambda, handlers: ConfiguredHandlers) -> None:
    for body in (b"null", b""):
        remote.body = body
        assert handlers.invoke(HOME, "cloud", {}) is None


def test_an_error_of_the_function_is_in_the_message(remote: Lambda, handlers: ConfiguredHandlers) -> None:
    remote.headers = {"X-Amz-Function-Error": "Unhandled"}
    raised = {"errorMessage": "no such\nthing", "errorType": "LookupError", "stackTrace": ["  line 1\n", "  line 2\n"]}
    remote.body = json.dumps(raised).encode()
    failed = failure(handlers)
    assert str(failed).endswith(": LookupError: no such thing")
    assert failed.trace is not None
    assert "line 2" in failed.trace
    assert not failed.is_permanent


def test_a_function_error_in_another_form_is_in_the_message_unchanged(
    remote: Lambda, handlers: ConfiguredHandlers
) -> None:
    remote.headers, remote.body = {"X-Amz-Function-Error": "Unhandled"}, b'"out of order"'
    assert str(failure(handlers)).endswith("failed: out of order")


@pytest.mark.parametrize(
    ("status", "code", "is_permanent"),
    [
        (404, "ResourceNotFoundException", True),
        (403, "AccessDeniedException", True),
        (429, "TooManyRequestsException", False),
        (500, "ServiceException", False),
    ],
)
def test_a_refusal_of_lambda_is_in_the_message_and_not_retried(
    remote: Lambda, handlers: ConfiguredHandlers, status: int, code: str, is_permanent: bool
) -> None:
    remote.status, remote.headers = status, {"X-Amzn-ErrorType": code}
    remote.body = b'{"Message": "as it is"}'
    failed = failure(handlers)
    assert f"{code}: as it is" in str(failed)
    assert failed.is_permanent is is_permanent
    assert len(remote.seen) == 1


@pytest.mark.parametrize(
    ("body", "said"), [(b"{", "what is no JSON"), (b" " * (6 * 1024 * 1024 + 1), "more than 6291456 bytes")]
)
def test_an_invalid_answer_is_an_error(remote: Lambda, handlers: ConfiguredHandlers, body: bytes, said: str) -> None:
    remote.body = body
    assert said in str(failure(handlers))


def test_an_answer_has_a_timeout(remote: Lambda, handlers: ConfiguredHandlers) -> None:
    remote.silence = threading.Event()
    failed = failure(handlers, timeout=0.3)
    remote.silence.set()
    assert "timeout" in str(failed).lower()
    assert not failed.is_permanent
    assert len(remote.seen) == 1


def test_missing_credentials_and_a_missing_server_are_errors(
    remote: Lambda, handlers: ConfiguredHandlers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    text = f'[handlers.cloud]\nlambda_arn = "{ARN}"\nendpoint_url = "http://127.0.0.1:{port}"\n'
    with closing(build(tmp_path, text)) as nowhere:
        assert f"127.0.0.1:{port}" in str(failure(nowhere))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert "credentials" in str(failure(handlers))
    assert remote.seen == []
