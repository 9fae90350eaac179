"""The HTTP server of the API: uvicorn and h11, with limits for peers whose signature is not verified yet.

uvicorn has no bound on the number of connections, none on the time in which a request arrives, and leaves the accept
loop to asyncio, which logs each failed accept thousands of times a second. This module adds an accept loop, a
protocol that reports the phase of each connection to `Connections`, and answers in the form of AWS's errors to
requests that are not HTTP. See docs/decisions/0009-the-api-is-served-by-uvicorn-with-h11.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import http
import logging
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import Final

import h11
import uvicorn
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from sekisho.api.connections import (
    MAX_HEADER_BYTES,
    MAX_HEADER_COUNT,
    Connections,
    Phase,
    ServerLimits,
    address_key,
)
from sekisho.api.echo import echo
from sekisho.api.errors import (
    RequestHeaderFieldsTooLargeException,
    RequestTimeoutException,
    SerializationException,
    error_response,
)
from sekisho.api.http import HttpResponse
from sekisho.errors import AwsException, ServiceUnavailableException
from sekisho.ids import unique
from sekisho.observe.event_log import log
from sekisho.observe.events import LogEvent
from sekisho.observe.occasional import OccasionalLog

ACCEPT_RETRY_SECONDS: Final = (0.01, 1.0)
"""Seconds to wait after a failed accept: the first, doubled each time up to the second."""

EXPIRE_SECONDS: Final = 0.25
"""Seconds between two checks for connections whose time is over."""

MAX_DISCARDED_BYTES: Final = 4 * 1024 * 1024
"""Bytes per connection that are read and discarded after a refusal, so that the peer can read the reason."""

READ_BYTES: Final = 64 * 1024
"""Maximum bytes of one read, and of pipelined requests that are kept while one is answered, per connection."""

_PIECE_BYTES: Final = 4096
"""Bytes that the parser gets at once, so that a header that is too large is found before all of it is read."""

_NO_DESCRIPTORS: Final = frozenset({errno.EMFILE, errno.ENFILE})

# uvicorn's line about a request that is not HTTP names no peer and has no bound; `BoundedProtocol` writes another one.
_uvicorn_log = logging.getLogger("uvicorn.error.protocol")
_uvicorn_log.addFilter(lambda record: record.msg != "Invalid HTTP request received.")


class HttpServer(uvicorn.Server):
    """Serves an ASGI application on sockets that listen already. The caller handles signals.

    Args:
        grace: Seconds for requests to end when the server stops.
    """

    def __init__(self, application: ASGIApp, limits: ServerLimits, *, grace: float = 5.0) -> None:
        super().__init__(
            uvicorn.Config(
                _within_header_limits(application),
                http=BoundedProtocol,
                loop="asyncio",
                # MQTT over WebSocket is served on the device port, not here.
                ws="none",
                log_config=None,
                access_log=False,
                lifespan="off",
                server_header=False,
                timeout_graceful_shutdown=int(grace),
                timeout_keep_alive=int(limits.idle) + 1,
                h11_max_incomplete_event_size=MAX_HEADER_BYTES,
            )
        )
        self._limits = limits
        self._tasks: list[asyncio.Task[None]] = []
        self._connections: Connections | None = None
        self._occasional = OccasionalLog()

    @property
    def is_accepting(self) -> bool:
        """Return whether it accepts connections: it has started, is not stopping, and its tasks run."""
        return self.started and not self.should_exit and not any(task.done() for task in self._tasks)

    def set_timeouts(self, arrival: float, idle: float) -> None:
        """Use other timeouts of `ServerLimits` for all connections from now on."""
        self._limits = replace(self._limits, arrival=arrival, idle=idle)
        self.config.timeout_keep_alive = int(idle) + 1
        if self._connections is not None:
            self._connections.limits = self._limits

    def statistics(self) -> dict[str, int]:
        """Return the counters since the start, and the number of connections."""
        if self._connections is None:
            return {}
        return {"connections": len(self._connections), **self._connections.counters.as_dict()}

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the caller: uvicorn would raise them again after it has stopped."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept on `sockets`."""
        loop = asyncio.get_running_loop()
        await self.lifespan.startup()
        self.servers = []
        self._connections = Connections(self._limits, loop.time)
        for listener in sockets or []:
            listener.setblocking(False)
            self._tasks.append(loop.create_task(self._accept(listener, self._connections)))
        self._tasks.append(loop.create_task(self._expire(self._connections)))
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, wait for requests to end, and close all connections."""
        # Time limits of connections are still enforced meanwhile.
        *accepting, expiring = self._tasks
        for task in accepting:
            task.cancel()
        await asyncio.gather(*accepting, return_exceptions=True)
        await super().shutdown(sockets)
        expiring.cancel()
        await asyncio.gather(expiring, return_exceptions=True)
        self._occasional.flush()

    async def _accept(self, listener: socket.socket, connections: Connections) -> None:
        loop = asyncio.get_running_loop()
        wait = ACCEPT_RETRY_SECONDS[0]
        while True:
            try:
                peer, address = await loop.sock_accept(listener)
            except ConnectionAbortedError:
                # The client has closed the connection before it was accepted.
                continue
            except OSError as error:
                connections.counters.accept_failures += 1
                self._occasional.write(LogEvent.HTTP_ACCEPT_FAILED, reason=error.strerror)
                if error.errno in _NO_DESCRIPTORS:
                    connections.displace_any()
                await asyncio.sleep(wait)
                wait = min(wait * 2, ACCEPT_RETRY_SECONDS[1])
                continue
            wait = ACCEPT_RETRY_SECONDS[0]
            try:
                await self._take(peer, address_key(str(address[0])), connections)
            except Exception:
                # An error of one connection must not end the loop.
                peer.close()
                log.exception(LogEvent.HTTP_CONNECTION_FAILED)

    async def _take(self, peer: socket.socket, address: str, connections: Connections) -> None:
        if not connections.make_room(address):
            connections.counters.refused += 1
            self._occasional.write(LogEvent.HTTP_CONNECTIONS_REFUSED, peer=address)
            with contextlib.suppress(OSError):
                peer.setblocking(False)
                peer.send(_refusal(_too_many()))
            peer.close()
            return

        def protocol() -> BoundedProtocol:
            return BoundedProtocol(self.config, self.server_state, address, connections, self._occasional)

        await asyncio.get_running_loop().connect_accepted_socket(protocol, peer)

    async def _expire(self, connections: Connections) -> None:
        while True:
            limits = connections.limits
            interval = min(EXPIRE_SECONDS, *(each / 4 for each in (limits.arrival, limits.idle, limits.response)))
            await asyncio.sleep(interval)
            try:
                connections.expire()
                self._occasional.flush()
            except Exception:
                log.exception(LogEvent.HTTP_CONNECTIONS_NOT_EXAMINED)


class BoundedProtocol(H11Protocol):
    """One connection. Reports its phases to `connections` and does what the table decides."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        address: str,
        connections: Connections,
        occasional: OccasionalLog,
    ) -> None:
        super().__init__(config, server_state, {})
        self.logger = _uvicorn_log
        self.address = address
        self.phase = Phase.ARRIVING
        self.since = 0.0
        self.received = 0
        self._discarded = 0
        self._table = connections
        self._occasional = occasional

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Add the connection to the table."""
        super().connection_made(transport)
        # asyncio's own number is four times as high.
        transport.max_size = READ_BYTES  # type: ignore[attr-defined]
        self._table.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove the connection from the table."""
        self._table.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived; discard it where the request was refused."""
        if self.phase is Phase.REFUSED:
            self._discarded += len(data)
            if self._discarded > MAX_DISCARDED_BYTES:
                self.transport.abort()
            return
        for start in range(0, len(data), _PIECE_BYTES):
            if self._is_ending():
                return
            piece = data[start : start + _PIECE_BYTES]
            self._table.count_bytes(self, len(piece))
            if self.transport.is_closing():
                return
            super().data_received(piece)
            self._observe()

    def _is_ending(self) -> bool:
        return self.phase is Phase.REFUSED or self.transport.is_closing()

    def on_response_complete(self) -> None:
        """Wait for the next request, or end where the peer still sends the one that was answered."""
        is_early = self.conn.our_state is h11.DONE and self.conn.their_state is not h11.DONE
        self._table.count_bytes(self, -self.received)
        super().on_response_complete()
        if is_early and not self.transport.is_closing():
            self._finish()
        else:
            self._observe()

    def pause_writing(self) -> None:
        """Report that the peer does not read its answer."""
        super().pause_writing()
        self._observe()

    def resume_writing(self) -> None:
        """Report that the peer reads its answer again."""
        super().resume_writing()
        self._observe()

    def send_400_response(self, msg: str) -> None:
        """Refuse a request that is not HTTP. uvicorn calls it while it handles h11's exception, which has a reason."""
        error = sys.exception()
        reason = str(error) if isinstance(error, h11.RemoteProtocolError) else msg
        if isinstance(error, h11.RemoteProtocolError) and error.error_status_hint == 431:
            self._refuse(_headers_too_large(), reason)
        else:
            self._refuse(SerializationException(f"This is not a valid HTTP/1.1 request: {echo(reason)}."), reason)

    def _unsupported_upgrade_warning(self) -> None:
        """Ignore a request for an upgrade, and log nothing: the request is answered without it."""

    def displace(self) -> None:
        """End the connection to make room for another one."""
        if self.phase is Phase.ARRIVING and self._has_begun():
            self.transport.write(_refusal(_too_many()))
        self.transport.close()

    def expire(self) -> None:
        """End the connection because its phase has lasted too long."""
        if self.phase is Phase.ARRIVING and self._has_begun():
            seconds = f"{self._table.limits.arrival:g}"
            error = RequestTimeoutException(f"The request did not arrive within {seconds} seconds.")
            self._refuse(error, "the request took too long to arrive")
        elif self.phase in (Phase.ARRIVING, Phase.IDLE):
            self.transport.close()
            self._table.enter(self, Phase.CLOSING)
        else:
            self.transport.abort()

    def _observe(self) -> None:
        """Report the phase of the connection to the table."""
        if self.phase is Phase.REFUSED:
            return
        if self.transport.is_closing():
            phase = Phase.CLOSING
        elif self.cycle is None or self.cycle.response_complete:
            waits = self.cycle is not None and self.conn.their_state is h11.IDLE
            phase = Phase.IDLE if waits and not self.conn.trailing_data[0] else Phase.ARRIVING
        elif self.cycle.more_body:
            phase = Phase.ARRIVING
        else:
            phase = Phase.SENDING if self.flow.write_paused else Phase.WORKING
        self._table.enter(self, phase)

    def _has_begun(self) -> bool:
        """Return whether a part of a request has arrived, and nothing of its answer was sent."""
        return self.received > 0 and not self._answering()

    def _answering(self) -> bool:
        return self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete

    def _refuse(self, error: AwsException, reason: str) -> None:
        self._table.counters.invalid += not isinstance(error, RequestTimeoutException)
        peer = "{}:{}".format(*self.client) if self.client else self.address
        self._occasional.write(LogEvent.HTTP_REQUESTS_REFUSED, peer=peer, error_code=error.code, reason=reason)
        if self._answering():
            # A second answer within an answer would be read as a part of it.
            self.transport.abort()
            return
        self.transport.write(_refusal(error))
        self._finish()

    def _finish(self) -> None:
        """End the sending side, and discard what still arrives: a reset would destroy the answer in transit."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._unset_keepalive_if_required()
        self.flow.resume_reading()
        self._table.enter(self, Phase.REFUSED)
        try:
            self.transport.write_eof()
        except OSError:
            # The peer has closed the connection already.
            self.transport.abort()


def _within_header_limits(application: ASGIApp) -> ASGIApp:
    """Return `application` with the exact limits of headers: h11 limits them by what it has buffered."""

    async def bounded(scope: Scope, receive: Receive, send: Send) -> None:
        headers = scope["headers"]
        size = len(scope["raw_path"]) + len(scope["query_string"]) + sum(map(len, chain.from_iterable(headers)))
        if len(headers) <= MAX_HEADER_COUNT and size <= MAX_HEADER_BYTES:
            await application(scope, receive, send)
            return
        answer = error_response(_headers_too_large(), {}, None, unique())
        await Response(answer.body, answer.status, headers=dict(answer.headers))(scope, receive, send)

    return bounded


def _headers_too_large() -> AwsException:
    return RequestHeaderFieldsTooLargeException(
        f"The request's line and headers are larger than {MAX_HEADER_BYTES} bytes, or more than {MAX_HEADER_COUNT}."
    )


def _too_many() -> AwsException:
    return ServiceUnavailableException("The API has as many connections as it may have (api_connections). Try again.")


def _wire(response: HttpResponse) -> bytes:
    """A response that ends its connection, as bytes."""
    headers = [*response.headers, ("content-length", str(len(response.body))), ("connection", "close")]
    lines = [f"HTTP/1.1 {response.status} {http.HTTPStatus(response.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode() + response.body


def _refusal(error: AwsException) -> bytes:
    return _wire(error_response(error, {}, None, unique()))
