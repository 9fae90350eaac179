"""Thing groups, and memberships of things in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sekisho.realm import Realm


@dataclass(frozen=True, slots=True)
class ThingGroup:
    """A static thing group: a node of a tree. Its parent never changes."""

    realm: Realm
    name: str
    group_id: str
    ancestors: tuple[str, ...]
    """The groups from the root of the tree to the parent; empty for a root."""
    description: str | None
    attributes: Mapping[str, str]
    version: int
    created_at: datetime

    @property
    def parent_name(self) -> str | None:
        """The group right above it; None for a root."""
        return self.ancestors[-1] if self.ancestors else None

    @property
    def lineage(self) -> tuple[str, ...]:
        """The group itself and all groups above it, from the group to the root."""
        return (self.name, *reversed(self.ancestors))


@dataclass(frozen=True, slots=True)
class Membership:
    """The membership of a thing in a group to which it was added, or in a group above that."""

    thing_name: str
    group_name: str
    member_of: str
    """The group to which the thing was added: ``group_name``, or one below it."""
