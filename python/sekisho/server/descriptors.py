"""File descriptors of the process: how many there may be, and how many of them are for connections to the API."""

from __future__ import annotations

import resource
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

RESERVED_DESCRIPTORS: Final = 128
"""Descriptors kept for everything that is no connection: database, logs, handler processes. Also in gateway.rs."""

MAX_API_CONNECTIONS: Final = 1000
"""Connections to the API that there may be, per process, where ``api_connections`` is 0."""

API_SHARE: Final = 4
"""Where ``api_connections`` is 0, the API gets at most one descriptor in so many; devices get the others."""

_UNLIMITED: Final = 1 << 20
_OPEN_MAX: Final = 10240


class TooFewDescriptors(Exception):
    """The descriptors do not suffice for what the settings ask; says what to do."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How many connections there may be at once, per process."""

    api: int
    mqtt: int


def raise_limit() -> int:
    """Raise the soft limit of open files to the hard one; the number of descriptors that the process may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # macOS says that the hard limit is infinite and takes no soft limit above OPEN_MAX.
    for wanted in (hard, _OPEN_MAX):
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
            break
    return _UNLIMITED if soft == resource.RLIM_INFINITY else soft


def connection_limits(descriptors: int, api_connections: int, max_connections: int = 0) -> ConnectionLimits:
    """Divide ``descriptors`` between the API and devices.

    Args:
        api_connections: The setting; 0 takes a quarter of the descriptors, 1000 at most.
        max_connections: The setting; 0 takes what the API and the server itself leave.

    Raises TooFewDescriptors.
    """
    api = api_connections or max(1, min(MAX_API_CONNECTIONS, descriptors // API_SHARE))
    mqtt = descriptors - RESERVED_DESCRIPTORS - api
    if mqtt < 1:
        raise TooFewDescriptors(
            f"the process may open {descriptors} files, which are too few for {api} connections to the API "
            f"(api_connections), {RESERVED_DESCRIPTORS} files of the server's own and any device: raise the limit "
            "(ulimit -n, LimitNOFILE=)"
        )
    if max_connections > mqtt:
        raise TooFewDescriptors(
            f"the process may open {descriptors} files, which leaves {mqtt} for connections of devices, fewer than "
            f"max_connections = {max_connections}: raise the limit (ulimit -n, LimitNOFILE=), or lower max_connections"
        )
    return ConnectionLimits(api, max_connections or mqtt)
