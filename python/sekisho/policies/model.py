"""Policies and their versions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sekisho.realm import Realm


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy. Each of its versions has a document."""

    realm: Realm
    name: str
    default_version_id: int
    last_version_id: int
    """The number of the newest version, which may be deleted. Numbers are not used again."""
    created_at: datetime
    modified_at: datetime
    generation_id: str


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """A version of a policy."""

    realm: Realm
    policy_name: str
    version_id: int
    document: str
    created_at: datetime
