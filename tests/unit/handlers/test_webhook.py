"""Webhooks, with a real HTTP server: the request, and the outcome of each response."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from standardwebhooks import Webhook, WebhookVerificationError

from sekisho.clock import utc_now
from sekisho.handlers.call import MAX_CALLS
from sekisho.handlers.registry import ConfiguredHandlers
from sekisho.pki import ca, issue, keys
from sekisho.pki.keys import KeyType
from sekisho.provisioning.handlers import HandlerFailed
from sekisho.realm import Realm
from sekisho.server.settings import ConfigError
from tests.unit.features.arrange import HOME, OTHER_ACCOUNT
from tests.unit.handlers.arrange import WITHIN, Directory, build, http_server
from tests.wait import eventually

DAY = timedelta(days=1)
SECRET = "much ado about nothing"


@dataclass
class Hook:
    """The behaviour of the server at the URL, and its requests."""

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    body: bytes = b'{"answer": 42}'
    pieces: Callable[[], Iterator[bytes]] | None = None
    seen: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    @property
    def shown_url(self) -> str:
        """Return the URL as messages have it: without the query, which may contain a secret."""
        return self.url.partition("?")[0]

    connections: set[tuple[str, int]] = field(default_factory=set)


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hook.seen.append((self.path, dict(self.headers), body))
            hook.connections.add(self.client_address)
            self.send_response(hook.status)
            for name, value in hook.headers.items():
                self.send_header(name, value)
            if hook.pieces is None:
                self.send_header("Content-Length", str(len(hook.body)))
                self.end_headers()
                self.wfile.write(hook.body)
                return
            self.send_header("Connection", "close")
            self.end_headers()
            try:
                for piece in hook.pieces():
                    self.wfile.write(piece)
            except OSError:
                # The client has closed the connection.
                return

        def log_message(self, *_: Any) -> None: ...

    with http_server(Handler) as url:
        hook.url = f"{url}/hook?from=sekisho&token=the-secret"
        yield hook


@pytest.fixture
def handlers(hook: Hook, tmp_path: Path) -> Iterator[ConfiguredHandlers]:
    secret = tmp_path / "hook.secret"
    secret.write_text(f"{SECRET}\n")
    secret.chmod(0o600)
    with closing(build(tmp_path, f'[handlers.hook]\nurl = "{hook.url}"\nsecret_file = "hook.secret"\n')) as made:
        yield made


def invoke(handlers: ConfiguredHandlers, **options: Any) -> Any:
    return handlers.invoke(HOME, "hook", {"a": "ü"}, **options)


def failure(handlers: ConfiguredHandlers, **options: Any) -> HandlerFailed:
    with pytest.raises(HandlerFailed) as raised:
        invoke(handlers, **options)
    assert str(raised.value).startswith("handler 'hook': ")
    assert "the-secret" not in str(raised.value)
    return raised.value


def test_an_event_is_posted_as_json_with_its_type_and_realm(hook: Hook, handlers: ConfiguredHandlers) -> None:
    assert invoke(handlers, request_id="delivery-7") == {"answer": 42}
    [(path, headers, body)] = hook.seen
    assert path == "/hook?from=sekisho&token=the-secret"
    assert json.loads(body) == {"a": "ü"}
    expected = {
        "Content-Type": "application/json",
        "webhook-id": f"hook:{HOME.account_id}:{HOME.region}:delivery-7",
        "webhook-timestamp": str(int(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp())),
    }
    assert {name: headers.get(name) for name in expected} == expected


KEY = bytes(range(24))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (f"whsec_{base64.b64encode(KEY).decode()}\n", f"whsec_{base64.b64encode(KEY).decode()}"),
        (f"{SECRET}\n", SECRET.encode()),
    ],
)
def test_the_convention_s_library_verifies_exactly_the_sent_request(
    hook: Hook, tmp_path: Path, text: str, key: str | bytes
) -> None:
    (tmp_path / "hook.secret").write_text(text)
    (tmp_path / "hook.secret").chmod(0o600)
    written = f'[handlers.hook]\nurl = "{hook.url}"\nsecret_file = "hook.secret"\n'
    with closing(build(tmp_path, written, clock=utc_now)) as handlers:
        invoke(handlers, request_id="delivery-7")
    [(_, headers, body)] = hook.seen
    receiver = Webhook(key)
    assert receiver.verify(body, headers) == {"a": "ü"}
    handler, account, region, delivery = headers["webhook-id"].split(":")
    for other in (
        headers | {"webhook-id": ":".join(("another", account, region, delivery))},
        headers | {"webhook-id": ":".join((handler, "210987654321", region, delivery))},
        headers | {"webhook-id": ":".join((handler, account, "us-west-2", delivery))},
        headers | {"webhook-id": ":".join((handler, account, region, "delivery-8"))},
        headers | {"webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)},
    ):
        with pytest.raises(WebhookVerificationError):
            receiver.verify(body, other)
    with pytest.raises(WebhookVerificationError):
        receiver.verify(body + b" ", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(b"another key").verify(body, headers)
    # A header that is not signed would be taken for signed.
    assert not [name for name in headers if name.lower().startswith("sekisho")]


def test_without_a_secret_nothing_is_signed(hook: Hook, tmp_path: Path) -> None:
    with closing(build(tmp_path, f'[handlers.hook]\nurl = "{hook.url}"\n')) as handlers:
        invoke(handlers)
    [(_, headers, _)] = hook.seen
    assert "webhook-id" in headers
    assert "webhook-signature" not in headers


def test_each_call_has_a_different_id_and_the_connection_is_kept(hook: Hook, handlers: ConfiguredHandlers) -> None:
    for _ in range(3):
        invoke(handlers)
    assert len({headers["webhook-id"] for _, headers, _ in hook.seen}) == 3
    assert len(hook.connections) == 1


@pytest.mark.parametrize(
    ("status", "content_type", "body", "answer"),
    [
        (200, "application/json", b"[1]", [1]),
        (201, "text/plain", b'{"a":1}', {"a": 1}),
        (200, "text/plain", b"OK", "OK"),
        (200, "application/json", b"", None),
        (204, "text/plain", b"", None),
    ],
)
def test_2xx_is_success_with_any_body(
    hook: Hook, handlers: ConfiguredHandlers, status: int, content_type: str, body: bytes, answer: object
) -> None:
    hook.status, hook.body, hook.headers = status, body, {"Content-Type": content_type}
    assert invoke(handlers) == answer


@pytest.mark.parametrize(
    ("status", "is_permanent"),
    [(400, True), (401, True), (404, True), (408, False), (429, False), (500, False), (503, False)],
)
def test_the_status_determines_whether_a_retry_is_useful(
    hook: Hook, handlers: ConfiguredHandlers, status: int, is_permanent: bool
) -> None:
    hook.status, hook.body = status, b"because\n of \xff"
    failed = failure(handlers)
    assert f"{hook.shown_url} answered {status}: because of" in str(failed)
    assert failed.is_permanent is is_permanent


def test_a_redirect_is_not_followed(hook: Hook, handlers: ConfiguredHandlers) -> None:
    hook.status, hook.headers = 308, {"Location": hook.url + "&again"}
    failed = failure(handlers)
    assert f"redirects to {hook.shown_url}: write that" in str(failed)
    assert failed.is_permanent
    assert len(hook.seen) == 1


def test_invalid_json_is_an_error(hook: Hook, handlers: ConfiguredHandlers) -> None:
    hook.body = b"{"
    assert "JSON that cannot be read" in str(failure(handlers))


def test_an_endless_answer_is_an_error(hook: Hook, handlers: ConfiguredHandlers) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b" " * 65536

    hook.pieces = endless
    assert "more than 6291456 bytes" in str(failure(handlers))


def test_a_body_that_comes_too_slowly_is_an_error(hook: Hook, handlers: ConfiguredHandlers) -> None:
    ended = threading.Event()

    def slow() -> Iterator[bytes]:
        while not ended.wait(0.05):
            yield b" "

    hook.pieces = slow
    begun = time.monotonic()
    assert "did not finish its answer within 0.5 s" in str(failure(handlers, timeout=0.5))
    ended.set()
    assert time.monotonic() - begun < 10


def test_slow_calls_of_an_account_leave_connections_for_another(hook: Hook, tmp_path: Path) -> None:
    ended = threading.Event()

    def slow() -> Iterator[bytes]:
        ended.wait(30)
        yield b"1"

    hook.pieces = slow
    directory = Directory({HOME.account_id, OTHER_ACCOUNT.account_id})
    both = f'accounts = ["{HOME.account_id}", "{OTHER_ACCOUNT.account_id}"]'
    text = f'[handlers.hook]\nurl = "{hook.url}"\n{both}\n'
    with closing(build(tmp_path, text, directory)) as handlers, ThreadPoolExecutor(2 * MAX_CALLS) as threads:

        def submit(realm: Realm) -> Future[Any]:
            return threads.submit(handlers.invoke, realm, "hook", {}, timeout=30.0)

        calls = [submit(HOME) for _ in range(MAX_CALLS)]
        eventually(lambda: len(hook.seen) == MAX_CALLS // 2)
        eventually(lambda: handlers.statistics()["handler_calls_waiting"] == MAX_CALLS // 2)
        calls.append(submit(OTHER_ACCOUNT))
        eventually(lambda: len(hook.seen) == MAX_CALLS // 2 + 1)
        assert OTHER_ACCOUNT.account_id in hook.seen[-1][1]["webhook-id"]
        with pytest.raises(HandlerFailed, match=r"none of the 32 calls of 'hook' at once was free") as refused:
            handlers.invoke(HOME, "hook", {}, timeout=0.05)
        assert refused.value.is_busy
        ended.set()
        assert {each.result(WITHIN) for each in calls} == {1}


def test_an_answer_has_a_timeout(hook: Hook, handlers: ConfiguredHandlers) -> None:
    ended = threading.Event()

    def silent() -> Iterator[bytes]:
        ended.wait(30)
        yield b""

    hook.pieces = silent
    failed = failure(handlers, timeout=0.3)
    ended.set()
    assert not failed.is_permanent
    assert "timed out" in str(failed)


def test_slow_headers_have_a_timeout(tmp_path: Path) -> None:
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                try:
                    connection.sendall(b"HTTP/1.1 200 OK\r\n")
                    while not ended.wait(0.05):
                        connection.sendall(b"X-A: b\r\n")
                except OSError:
                    # The client has closed the connection.
                    return

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/?token=the-secret"
        begun = time.monotonic()
        with closing(build(tmp_path, f'[handlers.hook]\nurl = "{url}"\n')) as handlers:
            failure(handlers, timeout=0.5)
        assert time.monotonic() - begun < 3
        ended.set()
        thread.join()


def test_an_unreachable_server_is_an_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with closing(build(tmp_path, f'[handlers.hook]\nurl = "http://127.0.0.1:{port}/?token=the-secret"\n')) as handlers:
        failed = failure(handlers)
    assert f"http://127.0.0.1:{port}/ was not reached" in str(failed)
    assert "refused" in str(failed)
    assert "object at" not in str(failed)
    assert not failed.is_permanent


@pytest.mark.parametrize("is_trusted", [True, False])
def test_the_server_s_certificate_is_verified(
    tmp_path: Path, is_trusted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    web, other = (ca.create(name, KeyType.P_256, now=utc_now(), lifetime=DAY) for name in ("Web", "Other"))
    (tmp_path / "roots.pem").write_text((web if is_trusted else other).certificate_pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "roots.pem"))
    key = keys.generate(KeyType.P_256)
    issued = issue.sign_server(
        web.signer,
        issue.common_name("localhost"),
        key.public_key(),
        alternative_names=[x509.DNSName("localhost")],
        not_before=utc_now() - DAY,
        not_after=utc_now() + DAY,
    )
    (tmp_path / "server.crt").write_text(issued.pem)
    (tmp_path / "server.key").write_text(keys.to_pem(key))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            url = f"https://localhost:{server.server_port}/"
            with closing(build(tmp_path, f'[handlers.hook]\nurl = "{url}"\n')) as handlers:
                if is_trusted:
                    assert invoke(handlers) is None
                else:
                    assert "TLS with https://localhost" in str(failed := failure(handlers))
                    assert "certificate verify failed" in str(failed)
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("content", "mode", "complaint"),
    [
        (None, 0o600, "cannot be read: No such file"),
        (b"x", 0o640, r"can be read by others than its owner: chmod 600"),
        (b"x", 0o604, "can be read by others"),
        (b"\n", 0o600, "is empty"),
        (b"whsec_", 0o600, "has a key of 0 bytes: it has 24 to 64"),
        (b"whsec_" + base64.b64encode(b"x" * 23), 0o600, "has a key of 23 bytes"),
        (b"whsec_" + base64.b64encode(b"x" * 65), 0o600, "has a key of 65 bytes"),
        (b"whsec_much ado", 0o600, "begins with whsec_, and what follows is not base64"),
        (b"\xff\xfe", 0o600, "is not a text file"),
    ],
)
def test_an_unusable_secret_is_a_configuration_error(
    tmp_path: Path, content: bytes | None, mode: int, complaint: str
) -> None:
    if content is not None:
        (tmp_path / "hook.secret").write_bytes(content)
        (tmp_path / "hook.secret").chmod(mode)
    with pytest.raises(ConfigError, match=complaint) as refusal:
        build(tmp_path, '[handlers.hook]\nurl = "https://a.example/"\nsecret_file = "hook.secret"\n')
    assert "[handlers.hook]: secret_file " in str(refusal.value)
