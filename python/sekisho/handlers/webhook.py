"""Calls webhooks: posts an event as JSON, and takes the body of the response as the handler's answer.

Requests are signed by the Standard Webhooks convention (https://www.standardwebhooks.com), with its own library: the
headers ``webhook-id``, ``webhook-timestamp`` and ``webhook-signature``, which is an HMAC-SHA256 of id, timestamp and
body. The id is ``<handler>:<account>:<region>:<delivery>``, so the signature covers account, region and handler.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import socket
import threading
import time
from typing import Any, Final

import urllib3
from standardwebhooks import Webhook as Signer
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, SSLError

from sekisho import __version__
from sekisho.clock import Clock
from sekisho.handlers.call import MAX_CALLS, MAX_RESULT_BYTES, Call, read_secret
from sekisho.provisioning.handlers import HandlerFailed
from sekisho.server.handler_settings import HandlerSettings, Webhook
from sekisho.server.settings import ConfigError

CHUNK: Final = 1 << 16

BASE64_KEY_PREFIX: Final = "whsec_"
"""The prefix of a key in base64."""

MIN_KEY_BYTES: Final = 24
MAX_KEY_BYTES: Final = 64
"""Of a key in base64 (Standard Webhooks, signature scheme)."""

_RETRYABLE_STATUSES: Final = (408, 429)
"""Statuses 4xx after which a retry may succeed."""


class WebhookHandler:
    """A handler that is a URL. It verifies TLS certificates, follows no redirects and uses no proxy."""

    def __init__(self, settings: HandlerSettings, target: Webhook, clock: Clock) -> None:
        self._name = settings.name
        self._url = target.url
        # Messages get into the log and to API clients, and a query may contain a token.
        self._shown_url = target.url.partition("?")[0]
        self._clock = clock
        self._signer: Signer | None = None
        if target.secret_file is not None:
            text = read_secret(settings.source, "secret_file", target.secret_file)
            try:
                self._signer = Signer(_key(text))
            except ValueError as error:
                raise ConfigError(f"{settings.source}: secret_file {target.secret_file} {error}") from None
        self._connections = urllib3.PoolManager(maxsize=MAX_CALLS, retries=False, cert_reqs="CERT_REQUIRED")
        self._connections.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}

    def invoke(self, call: Call) -> Any:
        """Post the event. Returns the body after 2xx: JSON, else text, or None where it is empty.

        Raises HandlerFailed, permanent for 3xx, and for 4xx other than 408 and 429.
        """
        deadline = time.monotonic() + call.timeout
        body = json.dumps(call.event, separators=(",", ":"))
        try:
            response = self._connections.request(
                "POST",
                self._url,
                body=body.encode(),
                headers=self._headers(call, body),
                redirect=False,
                preload_content=False,
                timeout=urllib3.Timeout(total=call.timeout),
            )
            try:
                answer = self._read(response, deadline, call.timeout)
            except BaseException:
                # The rest of this response must not be read as the start of the next one.
                response.close()
                raise
            response.release_conn()
        except SSLError as error:
            raise self._failed(f"TLS with {self._shown_url} failed: {error}") from None
        except HTTPError as error:
            reason = _plain(error).replace(self._url, self._shown_url)
            raise self._failed(f"{self._shown_url} was not reached or did not answer: {reason}") from None
        return self._result(response, answer)

    def close(self) -> None:
        """Close idle connections."""
        self._connections.clear()

    def _headers(self, call: Call, body: str) -> dict[str, str]:
        now = self._clock()
        # No part can have a colon or a full stop, which separate the parts of the signed text.
        message_id = f"{self._name}:{call.realm.account_id}:{call.realm.region}:{call.request_id}"
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "User-Agent": f"sekisho/{__version__}",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
        }
        if self._signer is not None:
            headers["webhook-signature"] = self._signer.sign(message_id, now, body)
        return headers

    def _read(self, response: urllib3.BaseHTTPResponse, deadline: float, timeout: float) -> bytes:
        received = bytearray()
        # urllib3 limits each wait; this limits their sum.
        while chunk := response.read1(CHUNK):
            received += chunk
            if len(received) > MAX_RESULT_BYTES:
                raise self._failed(f"{self._shown_url} answered with more than {MAX_RESULT_BYTES} bytes")
            if time.monotonic() > deadline:
                raise self._failed(f"{self._shown_url} did not finish its answer within {timeout:g} s")
        return bytes(received)

    def _result(self, response: urllib3.BaseHTTPResponse, answer: bytes) -> Any:
        status = response.status
        if 300 <= status < 400:
            where = response.headers.get("Location", "nowhere").partition("?")[0][:200]
            raise self._failed(f"{self._shown_url} redirects to {where}: write that as its url", is_permanent=True)
        if not 200 <= status < 300:
            said = " ".join(answer[:200].decode(errors="replace").split())
            raise self._failed(
                f"{self._shown_url} answered {status}{f': {said}' if said else ''}",
                is_permanent=400 <= status < 500 and status not in _RETRYABLE_STATUSES,
            )
        if not answer.strip():
            return None
        try:
            return json.loads(answer)
        except ValueError:
            if "json" in response.headers.get("Content-Type", ""):
                raise self._failed(f"{self._shown_url} answered with JSON that cannot be read") from None
            return answer.decode(errors="replace")

    def _failed(self, what: str, *, is_permanent: bool = False) -> HandlerFailed:
        return HandlerFailed(f"handler {self._name!r}: {what}", is_permanent=is_permanent)


def _key(text: str) -> bytes:
    """Return the key in a secret file. Raises ValueError, which says what is wrong with the file."""
    # Editors add a line feed at the end, which is not part of the key.
    text = text.rstrip("\r\n")
    if not text:
        raise ValueError("is empty")
    if not text.startswith(BASE64_KEY_PREFIX):
        return text.encode()
    try:
        key = base64.b64decode(text.removeprefix(BASE64_KEY_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"begins with {BASE64_KEY_PREFIX}, and what follows is not base64") from None
    if not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
        raise ValueError(f"has a key of {len(key)} bytes: it has {MIN_KEY_BYTES} to {MAX_KEY_BYTES}")
    return key


class _Punctual(HTTPConnection):
    """A connection on which all headers of a response together have the time that urllib3 gives each wait."""

    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override] # urllib3 does so itself
        """Read the headers of the response. Raises TimeoutError."""
        is_over = threading.Event()

        def cut() -> None:
            is_over.set()
            with contextlib.suppress(OSError):
                if self.sock is not None:
                    self.sock.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(self.timeout or 0.0, cut)
        timer.start()
        try:
            response = super().getresponse()
        finally:
            timer.cancel()
        if is_over.is_set():
            # Headers that were cut off look like complete ones.
            raise TimeoutError
        return response


class _PunctualTls(_Punctual, HTTPSConnection):
    """The same over TLS."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Punctual


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _PunctualTls


def _plain(error: Exception) -> str:
    """Return urllib3's message without the object at the start of some of them."""
    text = str(error)
    return text.partition(": ")[2] if text.startswith(("<", "HTTP")) and ": " in text else text
