"""The interface of the policy engine, which the data plane implements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from sekisho.admission.model import IdentityThing
from sekisho.policies.model import PolicyVersion
from sekisho.realm import Realm


@dataclass(frozen=True, slots=True)
class Subject:
    """The data that decisions about a principal depend on. Its certificate need not be ACTIVE."""

    realm: Realm
    certificate_pem: str | None
    """None for a Cognito identity, a thing group, or policies without a principal."""
    policies: tuple[PolicyVersion, ...]
    things: tuple[IdentityThing, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision on one action of a subject on one resource."""

    decision: Literal["ALLOWED", "EXPLICIT_DENY", "IMPLICIT_DENY"]
    allowed_by: tuple[str, ...]
    denied_by: tuple[str, ...]
    missing_context_values: tuple[str, ...]


class PolicyEngine(Protocol):
    """Checks and evaluates policy documents."""

    def check(self, document: str) -> None:
        """Raise MalformedPolicyException where AWS IoT would refuse the document. The message says what and where."""
        ...

    def evaluate(
        self, subject: Subject, client_id: str | None, requests: Sequence[tuple[str, str]]
    ) -> Sequence[Decision]:
        """Return one decision per request: an action such as ``iot:Publish``, and the ARN of a resource."""
        ...
