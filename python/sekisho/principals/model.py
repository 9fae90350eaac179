"""Attachments of principals to things."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sekisho.realm import Realm


class ThingPrincipalType(StrEnum):
    """How a principal is attached to a thing (Developer Guide, exclusive-thing)."""

    EXCLUSIVE_THING = "EXCLUSIVE_THING"
    NON_EXCLUSIVE_THING = "NON_EXCLUSIVE_THING"


@dataclass(frozen=True, slots=True)
class Attachment:
    """The attachment of a principal to a thing."""

    realm: Realm
    thing_name: str
    principal: str
    """The ARN of a certificate, or the id of a Cognito identity."""
    type: ThingPrincipalType
