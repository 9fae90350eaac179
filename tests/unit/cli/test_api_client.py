"""The client of ``sekisho rotate`` with servers that answer wrongly."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sekisho.accounts.model import AccessKey
from sekisho.api.http import HttpRequest
from sekisho.api.sigv4 import SecretKey, verify
from sekisho.cli import api_client
from sekisho.cli.api_client import Access, ApiClient, Refused, Unreachable
from sekisho.server.run_file import Run

KEY = AccessKey("AKIAEXAMPLE", "123456789012", datetime(2026, 1, 1, tzinfo=UTC), "the secret")
RUN = Run(1, "", "127.0.0.1", 8883, "localhost", "eu-central-1", "123456789012", "store", "root.pem", "0")

Answer = tuple[int, dict[str, str], bytes] | None
"""Status, headers, body; None: the connection is cut."""


@pytest.fixture(autouse=True)
def _without_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_client, "_FIRST_RETRY_DELAY_SECONDS", 0.0)


@contextmanager
def serving(*answers: Answer) -> Iterator[tuple[ApiClient, list[HttpRequest]]]:
    """Return a client and the requests that a server gets which gives these answers one after the other."""
    waiting = list(answers)
    asked: list[HttpRequest] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            headers = [(name.lower(), value) for name, value in self.headers.items()]
            asked.append(HttpRequest(self.command, path, query, headers, body))
            answer = waiting.pop(0)
            if answer is None:
                self.close_connection = True
                return
            status, said, content = answer
            self.send_response(status)
            for name, value in said.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_DELETE = do_GET  # noqa: N815 - http.server's names

        def log_message(self, *_: Any) -> None:
            """Log nothing: pytest shows what is important."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        run = replace(RUN, api=f"http://127.0.0.1:{server.server_port}")
        yield ApiClient(Access(Path("/data"), run, KEY)), asked
    finally:
        server.shutdown()
        server.server_close()


def ok(content: Any) -> Answer:
    return 200, {}, json.dumps(content).encode()


BUSY: Answer = (503, {"x-amzn-errortype": "ServiceUnavailableException:"}, b'{"message": "busy"}')


def test_every_request_is_signed_for_the_region_and_the_service() -> None:
    with serving(ok(1), ok(2), ok(3)) as (client, asked):
        assert client.get("/a", state="DONE", nothing=None, odd="a b&c=d") == 1
        assert client.post("/b", {"name": "ü"}) == 2
        assert client.delete("/c") == 3
    assert [(each.method, each.raw_path) for each in asked] == [("GET", "/a"), ("POST", "/b"), ("DELETE", "/c")]
    assert asked[0].query == [("state", "DONE"), ("odd", "a b&c=d")]
    assert json.loads(asked[1].body) == {"name": "ü"}
    key = SecretKey(KEY.account_id, "arn", KEY.account_id, KEY.secret_access_key)
    for request in asked:
        signer = verify(request, {KEY.access_key_id: key}.get, lambda: datetime.now(UTC))
        assert (signer.scope.region, signer.scope.service) == ("eu-central-1", "iot")


def test_a_list_is_read_to_its_end() -> None:
    with serving(ok({"all": [1, 2], "nextMarker": "m="}), ok({"all": [3]})) as (client, asked):
        assert list(client.each("/list", "all", state="DONE")) == [1, 2, 3]
    assert [("marker", "m=") in each.query for each in asked] == [False, True]
    assert all(("state", "DONE") in each.query for each in asked)


def test_a_refusal_is_raised_by_name_and_not_retried() -> None:
    refusal = (409, {"x-amzn-errortype": "ConflictException:"}, b'{"message": "another is pending"}')
    with serving(refusal) as (client, asked), pytest.raises(Refused, match="another is pending") as raised:
        client.post("/b", {})
    assert raised.value.code == "ConflictException"
    assert len(asked) == 1


def test_after_a_lost_connection_and_an_unavailable_registry_the_client_retries() -> None:
    with serving(None, BUSY, ok("at last")) as (client, asked):
        assert client.post("/b", {"a": 1}) == "at last"
    assert [each.body for each in asked] == [b'{"a": 1}'] * 3


@pytest.mark.parametrize("answer", [None, BUSY, (200, {}, b"<html>")], ids=["cut", "busy", "not Sekisho"])
def test_after_its_retries_the_client_gives_up(answer: Answer) -> None:
    with serving(*[answer] * 6) as (client, asked), pytest.raises(Unreachable, match=r"http://127\.0\.0\.1:"):
        client.get("/a")
    assert len(asked) == 6
