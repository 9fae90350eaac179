"""Endpoints: the names under which devices of a realm connect."""

from __future__ import annotations

from dataclasses import dataclass

from sekisho.realm import Realm


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What tells a realm's endpoint from every other: the prefix of its name, kept for good once given.

    The name itself is made of it, the region, and the server's domain, which may be changed (``registry.endpoints``).
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
