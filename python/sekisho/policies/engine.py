"""What the policy rules need of the policy engine, which is the data plane's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from sekisho.admission.model import IdentityThing
from sekisho.policies.model import PolicyVersion
from sekisho.realm import Realm


@dataclass(frozen=True, slots=True)
class Subject:
    """Who asks: all that a decision about a principal stands on, whether it can connect at present or not."""

    realm: Realm
    certificate_pem: str | None
    """None for a Cognito identity, or for policies looked at by themselves."""
    policies: tuple[PolicyVersion, ...]
    things: tuple[IdentityThing, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """What a connection of a subject may do to one resource."""

    decision: Literal["ALLOWED", "EXPLICIT_DENY", "IMPLICIT_DENY"]
    allowed_by: tuple[str, ...]
    denied_by: tuple[str, ...]
    missing_context_values: tuple[str, ...]


class PolicyEngine(Protocol):
    """The one policy engine, which is the data plane's."""

    def check(self, document: str) -> None:
        """Raises MalformedPolicyException with what is wrong and where."""
        ...

    def evaluate(
        self, subject: Subject, client_id: str | None, requests: Sequence[tuple[str, str]]
    ) -> Sequence[Decision]:
        """One decision per (action such as ``iot:Publish``, resource ARN)."""
        ...
