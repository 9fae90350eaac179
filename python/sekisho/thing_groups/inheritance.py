"""Policies that things inherit from their groups.

A thing inherits the policies of its groups and of all groups above them. They apply to connections that are associated
with the thing.

Source: Developer Guide, thing-groups and exclusive-thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sekisho import arn
from sekisho.errors import ResourceNotFoundException
from sekisho.pages import Window
from sekisho.policies.model import Policy
from sekisho.policies.store import PolicyRows
from sekisho.realm import Realm
from sekisho.store.transaction import Transaction
from sekisho.thing_groups.model import ThingGroup
from sekisho.thing_groups.store import ThingGroupRows

_POLICIES_OF_GROUP: Final = Window(limit=10)
"""Reads all policies of a group: it has at most two (``policies.rules.MAX_PER_GROUP``)."""


def existing_group(tx: Transaction, realm: Realm, name: str) -> ThingGroup:
    """Return the group. Raises ResourceNotFoundException."""
    group = ThingGroupRows(tx).get(realm, name)
    if group is None:
        raise ResourceNotFoundException(f"Thing group {name} does not exist.")
    return group


def groups_of_thing(tx: Transaction, realm: Realm, thing_name: str) -> Sequence[str]:
    """Return the names of the groups that a thing is in, and of all groups above them."""
    return [membership.group_name for membership in ThingGroupRows(tx).memberships(realm, thing_name)]


def policies_of(tx: Transaction, realm: Realm, group_names: Sequence[str]) -> Sequence[Policy]:
    """Return the policies that are attached to these groups, each once."""
    attached = {
        policy.name: policy
        for name in group_names
        for policy in PolicyRows(tx).attached_to(realm, arn.thing_group(realm, name), _POLICIES_OF_GROUP).items
    }
    return list(attached.values())
