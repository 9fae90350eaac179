"""Thing groups and the memberships of things in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sekisho.realm import Realm


@dataclass(frozen=True, slots=True)
class ThingGroup:
    """A static thing group: a node of a tree. Its place in the tree is given once and for good."""

    realm: Realm
    name: str
    group_id: str
    ancestors: tuple[str, ...]
    """From the root of the tree to the parent; empty for a root."""
    description: str | None
    attributes: Mapping[str, str]
    version: int
    created_at: datetime

    @property
    def parent_name(self) -> str | None:
        """The group above it."""
        return self.ancestors[-1] if self.ancestors else None

    @property
    def lineage(self) -> tuple[str, ...]:
        """Itself and all above it, the nearest first."""
        return (self.name, *reversed(self.ancestors))


@dataclass(frozen=True, slots=True)
class Membership:
    """A thing in a group, where it was put into that group or into one below."""

    thing_name: str
    group_name: str
    member_of: str
    """The group it was put into: ``group_name``, or one below it."""
