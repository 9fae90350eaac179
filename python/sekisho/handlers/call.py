"""A call of a handler, and the interface of all kinds of handlers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from sekisho.realm import Realm
from sekisho.server.settings import ConfigError

MAX_RESULT_BYTES: Final = 6 * 1024 * 1024
"""Size of an answer (AWS Lambda Developer Guide, gettingstarted-limits: synchronous invocation payload)."""

MAX_CALLS: Final = 32
"""Calls at a time of a handler that is called over the network; a single account gets half of them."""


@dataclass(frozen=True, slots=True)
class Call:
    """The arguments of a call."""

    realm: Realm
    event: Mapping[str, Any]
    timeout: float
    """In seconds."""
    request_id: str


class Handler(Protocol):
    """A handler of one kind. Methods may be called from any thread."""

    def invoke(self, call: Call) -> Any:
        """Call it, and return its answer. Raises HandlerFailed."""
        ...

    def close(self) -> None:
        """Release its resources; running calls fail."""
        ...


def read_secret(source: str, key: str, path: Path) -> str:
    """Read a text file that only its owner may read. Raises ConfigError."""
    text = read_text(source, key, path)
    if path.stat().st_mode & 0o077:
        raise ConfigError(f"{source}: {key} {path} can be read by others than its owner: chmod 600 {path}")
    return text


def read_text(source: str, key: str, path: Path) -> str:
    """Read a text file. Raises ConfigError."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{source}: {key} {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{source}: {key} {path} is not a text file in UTF-8") from None
