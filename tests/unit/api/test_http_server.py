"""Limits of the API's server for peers that are not authenticated, and that others are answered meanwhile."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import resource
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from sekisho.api.connections import MAX_HEADER_BYTES, MAX_HEADER_COUNT, ServerLimits
from sekisho.api.http_server import HttpServer
from tests.logs import captured_log, lines_of
from tests.wait import eventually, eventually_async

GET = b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n"
WITHIN = 20.0
LONG_ANSWER_CHUNKS = 200


async def hello(_scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body and answer with its length."""
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message["body"])
        more = message["more_body"]
    body = str(size).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


class Running:
    """A server in a separate thread."""

    def __init__(self, address: tuple[str, int], server: HttpServer) -> None:
        self.address = address
        self.server = server

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=WITHIN)

    def counted(self, name: str) -> int:
        return self.server.statistics()[name]

    def wait_until(self, condition: Callable[[], bool]) -> None:
        eventually(condition, self.server.statistics)

    def answers_after(self, release: threading.Event) -> bool:
        """Return whether a client gets its answer after the application is released; it sends its request before."""
        with self.connect() as peer:
            peer.sendall(GET)
            release.set()
            return read_answer(peer)[0] == 200

    def answers(self) -> bool:
        """Return whether a correct client gets its answer."""
        with self.connect() as peer:
            peer.sendall(GET)
            return read_answer(peer)[0] == 200


@contextmanager
def serving(application: Any = hello, **limits: Any) -> Iterator[Running]:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1024)
        server = HttpServer(application, ServerLimits(**limits), grace=1.0)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        running = Running(listener.getsockname(), server)
        try:
            deadline = time.monotonic() + WITHIN
            while not server.started:
                assert time.monotonic() < deadline
                thread.join(0.01)
            yield running
        finally:
            server.should_exit = True
            thread.join(WITHIN)
            assert not thread.is_alive()


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with serving() as running:
        yield running


def read_all(peer: socket.socket) -> bytes:
    """Read until the server ends the connection, by a close or a reset."""
    received = bytearray()
    with suppress(ConnectionResetError):
        while chunk := peer.recv(65536):
            received += chunk
    return bytes(received)


def read_answer(peer: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Read one response of a connection that stays open."""
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = peer.recv(65536)
        assert chunk, f"the connection ended after {received!r}"
        received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    while len(body) < int(headers.get("content-length", "0")):
        body += peer.recv(65536)
    return int(status.split()[1]), headers, body


def send_until_refused(peer: socket.socket, pieces: Iterator[bytes]) -> bytes:
    """Send until the server stops reading; returns its answer."""
    peer.setblocking(False)
    deadline = time.monotonic() + WITHIN
    pending = b""
    for piece in pieces:
        pending += piece
        while pending:
            assert time.monotonic() < deadline, "the server took it all"
            readable, writable, _ = select.select([peer], [peer], [], 1.0)
            try:
                if readable:
                    peer.setblocking(True)
                    return read_all(peer)
                if writable:
                    pending = pending[peer.send(pending) :]
            except (BrokenPipeError, ConnectionResetError):
                return b""
    raise AssertionError("the server has taken everything")


def endless(piece: bytes, begin: bytes = b"") -> Iterator[bytes]:
    yield begin
    while True:
        yield piece


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


REQUEST = b"GET /x HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    "pieces",
    [
        endless(b"a" * 65536, b"GET /"),
        endless(b"a" * 65536, REQUEST + b"X-Long: "),
        endless(b"a" * 65536, REQUEST),
        endless(b"X-A: b\r\n" * 8192, REQUEST),
        endless(b"\tfolded\r\n" * 8192, REQUEST + b"X-A: b\r\n"),
        endless(b"a" * 65536, b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;ext="),
        endless(b"X-A: b\r\n" * 8192, b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"),
    ],
    ids=["request line", "value", "name", "many headers", "folded", "chunk extension", "trailers"],
)
def test_endless_headers_are_refused_and_the_server_stays_small(running: Running, pieces: Iterator[bytes]) -> None:
    before = resident_bytes()
    with running.connect() as peer:
        answer = send_until_refused(peer, pieces)
        assert running.answers()
    assert answer.startswith(b"HTTP/1.1 4"), answer
    assert b"x-amzn-errortype: " in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["message"]
    assert resident_bytes() - before < 16 * 1024 * 1024


def test_the_number_of_headers_is_bounded(running: Running) -> None:
    def status(count: int) -> int:
        with running.connect() as peer:
            peer.sendall(REQUEST + b"X-A: b\r\n" * (count - 1) + b"\r\n")
            return read_answer(peer)[0]

    assert status(MAX_HEADER_COUNT) == 200
    assert status(MAX_HEADER_COUNT + 1) == 431


def test_the_bytes_of_pipelined_headers_are_bounded(running: Running) -> None:
    with running.connect() as peer:
        peer.sendall(GET + REQUEST + b"X-A: " + b"a" * (2 * MAX_HEADER_BYTES) + b"\r\n\r\n")
        received = b""
        while b" 431 " not in received:
            chunk = peer.recv(65536)
            assert chunk, received
            received += chunk
    assert received.startswith(b"HTTP/1.1 200 ")


def test_headers_of_usual_clients_are_accepted(running: Running) -> None:
    with running.connect() as peer:
        peer.sendall(REQUEST + b"X-Amz-Mqtt5-User-Properties: " + b"a" * 24 * 1024 + b"\r\n\r\n")
        assert read_answer(peer)[0] == 200


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET /x\r\n\r\n",
        b"GET /x HTTP/1.1\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: a\r\nBad Name: b\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: a\r\nX-Null: \x00\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n",
    ],
)
def test_a_request_that_is_not_http_is_refused_as_on_aws(running: Running, request_bytes: bytes) -> None:
    with running.connect() as peer:
        peer.sendall(request_bytes)
        status, headers, body = read_answer(peer)
        assert 400 <= status < 500 or status == 501
        assert headers["x-amzn-errortype"] in {"SerializationException:", "RequestHeaderFieldsTooLargeException:"}
        assert headers["content-type"] == "application/json"
        assert json.loads(body)["message"]
        assert read_all(peer) == b""
    assert running.answers()


def test_chunked_has_precedence_over_a_length_and_the_rest_is_not_a_second_request(running: Running) -> None:
    # RFC 9112, 6.1: a server may take Transfer-Encoding alone, or refuse; it must not read a second request here.
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(smuggled), smuggled)
    with running.connect() as peer:
        peer.sendall(
            b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n"
            b"Connection: close\r\n\r\n" + body
        )
        answer = read_all(peer)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.startswith(b"HTTP/1.1 4") or answer.endswith(b"%d" % len(smuggled))


def test_http_1_0_pipelining_continue_and_upgrade_are_answered(running: Running) -> None:
    with running.connect() as peer:
        peer.sendall(b"GET /x HTTP/1.0\r\n\r\n")
        assert read_all(peer).startswith(b"HTTP/1.1 200 ")
    with running.connect() as peer:
        peer.sendall(GET * 50)
        received = b""
        while received.count(b"HTTP/1.1 200 ") < 50:
            chunk = peer.recv(65536)
            assert chunk, received
            received += chunk
    with running.connect() as peer:
        peer.sendall(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert peer.recv(100).startswith(b"HTTP/1.1 100 ")
        peer.sendall(b"abc")
        assert read_answer(peer)[::2] == (200, b"3")
    with running.connect() as peer:
        peer.sendall(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        assert read_answer(peer)[0] == 200


def test_the_log_names_the_peer_and_has_one_line_for_many_requests(caplog: pytest.LogCaptureFixture) -> None:
    with captured_log() as lines, serving() as running:
        peers = []
        for _ in range(50):
            with running.connect() as peer:
                peer.sendall(b"nonsense\r\n\r\n")
                peers.append("{}:{}".format(*peer.getsockname()))
                assert read_answer(peer)[0] == 400
        assert running.counted("invalid") == 50
    refused = lines_of(lines, "http_requests_refused")
    assert len(refused) == 1
    assert refused[0]["peer"] == peers[0]
    assert refused[0]["error_code"] == "SerializationException"
    assert refused[0]["reason"]
    assert not caplog.records


@pytest.mark.parametrize(
    ("sent", "again"),
    [
        (b"", b""),
        (b"GET /x HT", b"T"),
        (REQUEST, b"X: y\r\n"),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n", b"a"),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
    ],
    ids=["nothing", "request line", "headers", "body", "chunks"],
)
def test_a_request_that_takes_too_long_is_ended(sent: bytes, again: bytes) -> None:
    with serving(arrival=0.5) as running, running.connect() as peer:
        began = time.monotonic()
        peer.sendall(sent)
        answer = b""
        while True:
            readable, _, _ = select.select([peer], [], [], 0.05)
            if readable:
                answer = read_all(peer)
                break
            assert time.monotonic() - began < WITHIN, "the server waits for ever"
            if again:
                peer.sendall(again)
        assert (b" 408 " in answer) == bool(sent)
        assert running.counted("timed_out") == 1
        assert running.answers()


def test_an_idle_connection_is_closed_and_a_used_one_is_kept(running: Running) -> None:
    with serving(idle=0.3) as own, own.connect() as peer:
        peer.sendall(GET)
        assert read_answer(peer)[0] == 200
        assert read_all(peer) == b""
        assert own.counted("timed_out") == 0
    with running.connect() as peer:
        peer.sendall(GET)
        assert read_answer(peer)[0] == 200
        peer.sendall(GET)
        assert read_answer(peer)[0] == 200


async def long_answer(_scope: Scope, _receive: Receive, send: Send) -> None:
    """An answer longer than the send buffers."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(LONG_ANSWER_CHUNKS):
        await send({"type": "http.response.body", "body": b"a" * 65536, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize("last", [b"", b"Connection: close\r\n"])
def test_an_answer_that_the_peer_does_not_read_ends_the_connection(last: bytes) -> None:
    with serving(long_answer, response=0.5) as running, running.connect() as peer:
        peer.sendall(REQUEST + last + b"\r\n")
        running.wait_until(lambda: running.counted("timed_out") == 1)
        running.wait_until(lambda: running.counted("connections") == 0)


def test_an_answer_that_the_peer_reads_slowly_is_sent_completely() -> None:
    with serving(long_answer, response=5.0) as running, running.connect() as peer:
        peer.sendall(REQUEST + b"Connection: close\r\n\r\n")
        assert len(read_all(peer)) > LONG_ANSWER_CHUNKS * 65536


def test_a_peer_that_continues_to_send_after_its_answer_is_disconnected() -> None:
    async def at_once(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    with serving(at_once, linger=0.3) as own, own.connect() as peer:
        peer.sendall(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 900000000\r\n\r\n")
        assert read_answer(peer)[0] == 413
        send_until_refused(peer, endless(b"a" * 65536))
        own.wait_until(lambda: own.counted("connections") == 0)


def test_a_peer_that_has_disconnected_before_its_answer_is_no_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def gone(_transport: asyncio.Transport) -> None:
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

    monkeypatch.setattr("asyncio.selector_events._SelectorSocketTransport.write_eof", gone)
    with serving() as running, running.connect() as peer:
        peer.sendall(b"nonsense\r\n\r\n")
        running.wait_until(lambda: running.counted("connections") == 0)
    assert not caplog.records


def test_connections_that_send_nothing_are_closed_for_those_that_do() -> None:
    with serving(connections=40) as running, ExitStack() as held:
        before = resident_bytes()
        for number in range(1500):
            held.enter_context(running.connect())
            if number % 250 == 0:
                assert running.answers()
        assert running.answers()
        assert running.counted("connections") <= 40
        assert running.counted("displaced") >= 1400
        assert resident_bytes() - before < 32 * 1024 * 1024


def test_one_address_gets_half_of_the_connections() -> None:
    with serving(connections=40) as running, ExitStack() as held:
        for _ in range(60):
            held.enter_context(running.connect())
        running.wait_until(lambda: running.counted("accepted") == 60)
        assert running.counted("connections") == 20
        other = held.enter_context(socket.create_connection(running.address, WITHIN, source_address=("127.0.0.2", 0)))
        running.wait_until(lambda: running.counted("connections") == 21)
        other.sendall(GET)
        assert read_answer(other)[0] == 200


def test_an_idle_connection_is_displaced_before_one_whose_request_arrives() -> None:
    with serving(connections=4) as running, running.connect() as first, running.connect() as second:
        second.sendall(GET)
        assert read_answer(second)[0] == 200
        first.sendall(REQUEST)
        assert running.answers()
        assert read_all(second) == b""
        first.sendall(b"\r\n")
        assert read_answer(first)[0] == 200


def test_while_all_connections_work_a_new_one_is_refused_with_an_error_that_clients_retry() -> None:
    release = threading.Event()
    started: list[int] = []

    async def blocked(scope: Scope, receive: Receive, send: Send) -> None:
        started.append(1)
        await eventually_async(release.is_set)
        await hello(scope, receive, send)

    with serving(blocked, connections=4) as running, ExitStack() as held:
        working = [held.enter_context(running.connect()) for _ in range(2)]
        for peer in working:
            peer.sendall(GET)
        running.wait_until(lambda: started == [1, 1])
        with running.connect() as peer:
            answer = read_all(peer)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"ServiceUnavailableException" in answer
        assert running.counted("refused") == 1
        release.set()
        assert [read_answer(peer)[0] for peer in working] == [200, 200]


def test_the_bytes_of_unfinished_bodies_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sekisho.api.connections.MAX_ARRIVING_BYTES", 1024 * 1024)
    with serving() as running, ExitStack() as held:
        for _ in range(20):
            peer = held.enter_context(running.connect())
            peer.sendall(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + b"a" * 200_000)
        running.wait_until(lambda: running.counted("displaced") >= 14)
        assert running.answers()


def test_pipelined_requests_are_bounded_per_connection() -> None:
    release = threading.Event()

    async def blocked(scope: Scope, receive: Receive, send: Send) -> None:
        await eventually_async(release.is_set)
        await hello(scope, receive, send)

    with serving(blocked) as running, ExitStack() as held:
        before = resident_bytes()
        peers = [held.enter_context(running.connect()) for _ in range(200)]
        ahead = GET * (1024 * 1024 // len(GET))
        for _ in range(20):
            for peer in peers:
                peer.setblocking(False)
                with suppress(BlockingIOError):
                    peer.send(ahead)
        running.wait_until(lambda: running.counted("accepted") == 200)
        assert running.answers_after(release)
        assert resident_bytes() - before < 48 * 1024 * 1024


def test_without_descriptors_the_log_has_one_line_and_the_server_recovers() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with serving() as running, captured_log() as lines, ExitStack() as held:
        # Clients in the backlog have their descriptors already.
        waiting = [held.enter_context(socket.socket()) for _ in range(3)]
        for peer in waiting:
            peer.settimeout(WITHIN)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            for peer in waiting:
                peer.connect(running.address)
                peer.sendall(GET)
            running.wait_until(lambda: running.counted("accept_failures") >= 5)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert [read_answer(peer)[0] for peer in waiting] == [200, 200, 200]
        assert running.counted("accept_failures") < 1000
    failures = lines_of(lines, "http_accept_failed")
    assert 1 <= len(failures) <= 2
    assert failures[0]["reason"] == "Too many open files"
