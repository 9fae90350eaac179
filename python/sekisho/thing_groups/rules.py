"""Static thing groups: trees of groups, whose things inherit their policies.

A group's parent is set when it is created, and never changes. A thing is in at most ten groups, and in at most one of a
tree. Dynamic groups, which a query fills, are not supported.

Source: Developer Guide, thing-groups; the API Reference of each operation; General Reference for the limits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from sekisho import arn, ids
from sekisho.clock import Clock
from sekisho.errors import InvalidRequestException, ResourceAlreadyExistsException
from sekisho.expected_version import require_version
from sekisho.pages import Slice, Window, window_of
from sekisho.policies.store import PolicyRows
from sekisho.realm import Realm
from sekisho.store.store import Store
from sekisho.store.transaction import Transaction
from sekisho.tags.store import TagRows
from sekisho.thing_groups import inheritance
from sekisho.thing_groups.inheritance import existing_group as existing
from sekisho.thing_groups.model import ThingGroup
from sekisho.thing_groups.store import ThingGroupRows
from sekisho.things import rules as things

MAX_GROUPS_OF_THING: Final = 10
"""Groups that one thing may be in."""

MAX_DEPTH: Final = 7
"""Groups from the root of a tree to its lowest group, including both."""

MAX_CHILDREN: Final = 100
"""Groups right below one group."""

MAX_ATTRIBUTES: Final = 50
"""Attributes of a group."""


class ThingGroups:
    """Creates, lists, changes and deletes thing groups, and adds things to them."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def create(
        self,
        realm: Realm,
        name: str,
        *,
        parent_name: str | None = None,
        description: str | None = None,
        attributes: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> ThingGroup:
        """Create a group; return the existing one where it has the same parent, description and attributes.

        Raises:
            ResourceAlreadyExistsException: The existing group has another parent, description or attributes.
            InvalidRequestException: The parent does not exist or has MAX_CHILDREN; the tree would be deeper than
                MAX_DEPTH; or there are more than MAX_ATTRIBUTES.
        """
        given = things.without_empty(attributes or {})
        _check_number_of_attributes(name, given)
        with self._store.write() as tx:
            present = ThingGroupRows(tx).get(realm, name)
            if present is not None:
                _require_same(present, parent_name, description, given)
                return present
            group = ThingGroup(
                realm=realm,
                name=name,
                group_id=ids.unique(),
                ancestors=() if parent_name is None else _ancestors_below(tx, realm, name, parent_name),
                description=description,
                attributes=given,
                version=1,
                created_at=self._clock(),
            )
            ThingGroupRows(tx).add(group)
            if tags:
                TagRows(tx).put(realm, arn.thing_group(realm, name), tags)
            return group

    def describe(self, realm: Realm, name: str) -> ThingGroup:
        """Return the group. Raises ResourceNotFoundException."""
        with self._store.read() as tx:
            return existing(tx, realm, name)

    def update(
        self,
        realm: Realm,
        name: str,
        *,
        description: str | None = None,
        attributes: Mapping[str, str] | None = None,
        merge: bool = False,
        expected_version: int | None = None,
    ) -> ThingGroup:
        """Change a group, and add one to its version. Arguments that are None change nothing.

        Args:
            attributes: All attributes, or with ``merge`` those that change. Attributes with an empty value are removed.

        Raises:
            ResourceNotFoundException: No such group.
            VersionConflictException: Its version is not ``expected_version``.
            InvalidRequestException: It would have more than MAX_ATTRIBUTES.
        """
        with self._store.write() as tx:
            group = existing(tx, realm, name)
            require_version(f"thing group {group.name}", group.version, expected_version)
            changed = replace(
                group,
                description=group.description if description is None else description,
                attributes=things.changed_attributes(group.attributes, attributes, merge=merge),
                version=group.version + 1,
            )
            _check_number_of_attributes(name, changed.attributes)
            ThingGroupRows(tx).replace(changed)
            return changed

    def delete(self, realm: Realm, name: str, *, expected_version: int | None = None) -> None:
        """Delete a group with its memberships, and detach its policies; without effect where there is none.

        Raises:
            InvalidRequestException: It has child groups.
            VersionConflictException: Its version is not ``expected_version``.
        """
        with self._store.write() as tx:
            group = ThingGroupRows(tx).get(realm, name)
            if group is None:
                return
            require_version(f"thing group {group.name}", group.version, expected_version)
            if ThingGroupRows(tx).children(realm, name, Window(limit=1)).items:
                # AWS IoT's message.
                raise InvalidRequestException(
                    f"Cannot delete thing group : {name} when there are still child groups attached to it"
                )
            for policy in inheritance.policies_of(tx, realm, [name]):
                PolicyRows(tx).detach(realm, policy.name, arn.thing_group(realm, name))
            ThingGroupRows(tx).remove(realm, name)
            TagRows(tx).remove(realm, arn.thing_group(realm, name))

    def list(
        self,
        realm: Realm,
        window: Window,
        *,
        parent_name: str | None = None,
        prefix: str = "",
        recursive: bool | None = None,
    ) -> Slice[ThingGroup]:
        """Return the groups whose names begin with ``prefix``.

        Args:
            parent_name: Return only groups below this one.
            recursive: True: groups at any depth. False: only the children of the parent, or the roots. None: True
                without a parent, False with one.

        Raises:
            ResourceNotFoundException: No such parent.
        """
        with self._store.read() as tx:
            if parent_name is None:
                if recursive is None or recursive:
                    return ThingGroupRows(tx).page(realm, window, prefix=prefix)
                return ThingGroupRows(tx).children(realm, None, window, prefix=prefix)
            existing(tx, realm, parent_name)
            if recursive:
                return ThingGroupRows(tx).descendants(realm, parent_name, window, prefix=prefix)
            return ThingGroupRows(tx).children(realm, parent_name, window, prefix=prefix)

    def add_thing(self, realm: Realm, name: str, thing_name: str) -> None:
        """Add a thing to a group; without effect where it is in it. Applies to live connections at once.

        Raises:
            ResourceNotFoundException: No such group or thing.
            InvalidRequestException: The thing is in another group of the tree, or in MAX_GROUPS_OF_THING.
        """
        with self._store.write() as tx:
            add_thing_in(tx, realm, name, thing_name)

    def remove_thing(self, realm: Realm, name: str, thing_name: str) -> None:
        """Remove a thing from a group; without effect where it is not in it. Applies to live connections at once.

        Raises:
            ResourceNotFoundException: No such group or thing.
        """
        with self._store.write() as tx:
            remove_thing_in(tx, realm, name, thing_name)

    def update_groups_of(self, realm: Realm, thing_name: str, *, add: Sequence[str], remove: Sequence[str]) -> None:
        """Remove a thing from groups, then add it to others, in one transaction.

        Raises:
            ResourceNotFoundException: No such thing or group.
            InvalidRequestException: As ``add_thing``.
        """
        with self._store.write() as tx:
            things.existing(tx, realm, thing_name)
            for name in remove:
                remove_thing_in(tx, realm, name, thing_name)
            for name in add:
                add_thing_in(tx, realm, name, thing_name)

    def groups_of(self, realm: Realm, thing_name: str, window: Window) -> Slice[str]:
        """Return the names of the groups to which a thing was added. Raises ResourceNotFoundException."""
        with self._store.read() as tx:
            return window_of(groups_of_in(tx, realm, thing_name), window)

    def things_in(self, realm: Realm, name: str, window: Window, *, recursive: bool = False) -> Slice[str]:
        """Return the names of the things in a group; ``recursive``: also in those below it. Raises
        ResourceNotFoundException.
        """
        with self._store.read() as tx:
            existing(tx, realm, name)
            return ThingGroupRows(tx).things_in(realm, name, window, recursive=recursive)


def add_thing_in(tx: Transaction, realm: Realm, group_name: str, thing_name: str) -> None:
    """Do ``ThingGroups.add_thing`` within the caller's write transaction. After its errors nothing is written."""
    group = existing(tx, realm, group_name)
    things.existing(tx, realm, thing_name)
    memberships = ThingGroupRows(tx).memberships(realm, thing_name)
    root = group.lineage[-1]
    for membership in memberships:
        if membership.member_of == group_name:
            return
        if membership.group_name == root:
            raise InvalidRequestException(
                f"Thing {thing_name} is in group {membership.member_of} already, which is in the same tree as "
                f"{group_name}. Remove it from {membership.member_of} first."
            )
    if len({membership.member_of for membership in memberships}) >= MAX_GROUPS_OF_THING:
        raise InvalidRequestException(
            f"Thing {thing_name} is in {MAX_GROUPS_OF_THING} groups, the maximum. Remove it from one first."
        )
    ThingGroupRows(tx).join(thing_name, group)


def remove_thing_in(tx: Transaction, realm: Realm, group_name: str, thing_name: str) -> None:
    """Do ``ThingGroups.remove_thing`` within the caller's write transaction, with the same errors."""
    group = existing(tx, realm, group_name)
    if group_name in groups_of_in(tx, realm, thing_name):
        ThingGroupRows(tx).leave(thing_name, group)


def groups_of_in(tx: Transaction, realm: Realm, thing_name: str) -> Sequence[str]:
    """Return the names of the groups that a thing was put into, in that order. Raises ResourceNotFoundException: no
    such thing.
    """
    things.existing(tx, realm, thing_name)
    return list(dict.fromkeys(each.member_of for each in ThingGroupRows(tx).memberships(realm, thing_name)))


def _ancestors_below(tx: Transaction, realm: Realm, name: str, parent_name: str) -> tuple[str, ...]:
    """Return the ancestors of a new group. Raises InvalidRequestException: see ``ThingGroups.create``."""
    parent = ThingGroupRows(tx).get(realm, parent_name)
    if parent is None:
        # CreateThingGroup declares no ResourceNotFoundException.
        raise InvalidRequestException(f"Parent thing group {parent_name} does not exist.")
    ancestors = (*parent.ancestors, parent_name)
    if len(ancestors) >= MAX_DEPTH:
        raise InvalidRequestException(
            f"Thing group {name} would be at depth {len(ancestors) + 1} of its tree; the maximum is {MAX_DEPTH}."
        )
    if len(ThingGroupRows(tx).children(realm, parent_name, Window(limit=MAX_CHILDREN)).items) >= MAX_CHILDREN:
        raise InvalidRequestException(f"Thing group {parent_name} has {MAX_CHILDREN} child groups, the maximum.")
    return ancestors


def _require_same(
    group: ThingGroup, parent_name: str | None, description: str | None, attributes: Mapping[str, str]
) -> None:
    if group.parent_name != parent_name:
        difference = "parent"
    elif (group.description or None) != (description or None):
        difference = "description"
    elif dict(group.attributes) != dict(attributes):
        difference = "attributes"
    else:
        return
    raise ResourceAlreadyExistsException(
        f"Thing group {group.name} already exists in account with different {difference}",
        resource_id=group.name,
        resource_arn=arn.thing_group(group.realm, group.name),
    )


def _check_number_of_attributes(name: str, attributes: Mapping[str, str]) -> None:
    if len(attributes) > MAX_ATTRIBUTES:
        raise InvalidRequestException(
            f"Thing group {name} would have {len(attributes)} attributes; the maximum is {MAX_ATTRIBUTES}."
        )
