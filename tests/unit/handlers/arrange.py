"""Helpers of tests of handlers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from sekisho.accounts.model import AccessKey
from sekisho.clock import Clock
from sekisho.handlers.call import Call
from sekisho.handlers.registry import ConfiguredHandlers
from sekisho.server.handler_settings import HandlerSettings
from sekisho.server.settings import load
from tests.unit.features.arrange import HOME, SetClock

WITHIN = 15.0
"""Seconds for something immediate; a loaded machine may need some."""

API = "http://127.0.0.1:5883"


def read(folder: Path, text: str) -> Mapping[str, HandlerSettings]:
    """Return the handlers of a ``sekisho.toml``."""
    (folder / "sekisho.toml").write_text(text)
    return load({"data": folder}, environment={}).handlers


def access_key(account_id: str) -> AccessKey | None:
    """Return an access key of an account; account 0 has none."""
    if account_id == "000000000000":
        return None
    return AccessKey(f"AKIA{account_id}", account_id, datetime(2026, 1, 1, tzinfo=UTC), f"secret of {account_id}")


@dataclass
class Directory:
    """The accounts of a server."""

    ids: set[str] = field(default_factory=lambda: {HOME.account_id})

    def exists(self, account_id: str) -> bool:
        return account_id in self.ids

    def are_several(self) -> bool:
        return len(self.ids) > 1


def build(folder: Path, text: str, accounts: Directory | None = None, clock: Clock | None = None) -> ConfiguredHandlers:
    """Make all handlers of a ``sekisho.toml``, as on a server with one account or with the given ones."""
    return ConfiguredHandlers(
        read(folder, text),
        api=API,
        credentials=access_key,
        accounts=accounts or Directory(),
        clock=clock or SetClock(),
        processes=8,
    )


def call(event: Mapping[str, Any] | None = None, **changes: Any) -> Call:
    """Return a call for the home realm."""
    plain: dict[str, Any] = {"realm": HOME, "event": event or {}, "timeout": WITHIN, "request_id": "id-1"}
    return Call(**(plain | changes))


class _Server(ThreadingHTTPServer):
    """Takes many connections at once: the kernel resets those beyond the queue of five that is the default."""

    daemon_threads = True
    request_queue_size = 128


@contextmanager
def http_server(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Run an HTTP server on loopback and yield its URL without a slash at the end."""
    with _Server(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
