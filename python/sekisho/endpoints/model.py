"""Endpoints: the names under which devices of a realm connect."""

from __future__ import annotations

from dataclasses import dataclass

from sekisho.realm import Realm


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The prefix of a realm's derived endpoint name. It never changes.

    The name consists of the prefix, the region and the server's domain, which is a setting (``endpoints.rules``).
    """

    realm: Realm
    prefix: str


@dataclass(frozen=True, slots=True)
class ServedEndpoint:
    """The name under which a realm's devices connect, as the server is configured now."""

    realm: Realm
    server_name: str
    aliases: tuple[str, ...] = ()
    """Further names of it, with a dot, where ``server_name`` has none: Java clients send no SNI for that one."""
