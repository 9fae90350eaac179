"""Endpoints: the host names to which devices connect."""

from __future__ import annotations

from dataclasses import dataclass

from sekisho.realm import Realm


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The prefix of a realm's derived host name. It never changes.

    The name consists of the prefix, the region and the server's domain, which is a setting (``endpoints.rules``).
    """

    realm: Realm
    prefix: str


@dataclass(frozen=True, slots=True)
class ServedEndpoint:
    """The host name to which a realm's devices connect, in the server's present configuration."""

    realm: Realm
    server_name: str
    aliases: tuple[str, ...] = ()
    """Further host names. Java clients send no SNI for a ``server_name`` without a dot, so these have one."""
