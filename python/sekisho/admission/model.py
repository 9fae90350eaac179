"""Identities: the data that decisions about a connection depend on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sekisho.certificates.model import Certificate
from sekisho.policies.model import PolicyVersion


@dataclass(frozen=True, slots=True)
class IdentityThing:
    """A thing that is attached to a connection's certificate."""

    name: str
    type_name: str | None
    attributes: Mapping[str, str]
    exclusive: bool
    policies: tuple[PolicyVersion, ...] = ()
    """Policies of the groups that the thing is in."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The data that the gateway needs about one certificate, from one look-up."""

    certificate: Certificate
    policies: tuple[PolicyVersion, ...]
    things: tuple[IdentityThing, ...]
    is_awaited: bool = False
    """A pending rotation waits for the certificate to connect (``sekisho.rotation``)."""
