"""Identities: all that a decision about a connection depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sekisho.certificates.model import Certificate
from sekisho.policies.model import PolicyVersion


@dataclass(frozen=True, slots=True)
class IdentityThing:
    """A thing as a connection sees it."""

    name: str
    type_name: str | None
    attributes: Mapping[str, str]
    exclusive: bool
    policies: tuple[PolicyVersion, ...] = ()
    """Policies that come with its groups."""


@dataclass(frozen=True, slots=True)
class Identity:
    """All that the gateway needs to know of one certificate, from one look-up."""

    certificate: Certificate
    policies: tuple[PolicyVersion, ...]
    things: tuple[IdentityThing, ...]
    is_awaited: bool = False
    """Somebody waits for it to connect (``provisioning.rotation``)."""
