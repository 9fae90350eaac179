"""Policies and their versions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sekisho.realm import Realm


@dataclass(frozen=True, slots=True)
class Policy:
    """A named policy; its documents are its versions."""

    realm: Realm
    name: str
    default_version_id: int
    last_version_id: int
    """The highest version number ever given: numbers rise and are never used again."""
    created_at: datetime
    modified_at: datetime
    generation_id: str


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """One document of a policy."""

    realm: Realm
    policy_name: str
    version_id: int
    document: str
    created_at: datetime
