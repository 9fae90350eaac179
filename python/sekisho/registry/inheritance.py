"""What things inherit from their groups: which policies, and whom a change of a group concerns.

A thing has the policies of its groups and of all groups above them. A connection has them where it is associated with
the thing.

Source: Developer Guide, thing-groups and exclusive-thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sekisho import arn
from sekisho.errors import ResourceNotFoundException
from sekisho.realm import Realm
from sekisho.registry.model import Policy, ThingGroup
from sekisho.registry.ports import Change, ChangeKind, Transaction, Window

MOST_NAMED: Final = 250
"""Things that are announced one by one when their group changes."""

_ALL_OF_A_GROUP: Final = Window(limit=10)
"""A group has at most two policies; more would be a fault, and still be seen."""


def existing_group(tx: Transaction, realm: Realm, name: str) -> ThingGroup:
    """The group. Raises ResourceNotFoundException."""
    group = tx.thing_groups.get(realm, name)
    if group is None:
        raise ResourceNotFoundException(f"Thing group {name} does not exist.")
    return group


def groups_of_thing(tx: Transaction, realm: Realm, thing_name: str) -> Sequence[str]:
    """Names of the groups that a thing is in and of all above them."""
    return [membership.group_name for membership in tx.thing_groups.memberships(realm, thing_name)]


def policies_of(tx: Transaction, realm: Realm, group_names: Sequence[str]) -> Sequence[Policy]:
    """The policies attached to these groups, each once."""
    attached = {
        policy.name: policy
        for name in group_names
        for policy in tx.policies.attached_to(realm, arn.thing_group(realm, name), _ALL_OF_A_GROUP).items
    }
    return list(attached.values())


def changed(tx: Transaction, realm: Realm, group_name: str) -> None:
    """Tell the data plane that things in this group or below it inherit something else from now on.

    Each thing is named, so that only connections that rest on it are examined. Of a large group the whole realm is:
    to find and name thousands would keep all other writers waiting, and what the gate then asks anew for connections
    that were not concerned is a few statements for every 250.
    """
    members = tx.thing_groups.things_in(realm, group_name, Window(limit=MOST_NAMED), recursive=True)
    if members.next_after is not None:
        tx.announce(Change(realm, ChangeKind.REALM, ""))
        return
    for name in members.items:
        tx.announce(Change(realm, ChangeKind.THING, name))
