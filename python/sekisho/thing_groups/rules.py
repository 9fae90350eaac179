"""Static thing groups: trees of groups with things in them, which inherit the policies of their groups.

A group's place in its tree is given when it is made and stays. A thing is in at most ten groups, and in one of a tree.
Dynamic groups, which a query fills, are not here.

Source: Developer Guide, thing-groups; the API Reference of each operation; General Reference for the limits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from sekisho import arn, ids
from sekisho.clock import Clock
from sekisho.errors import InvalidRequestException, ResourceAlreadyExistsException, VersionConflictException
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
"""Groups from the root of a tree to its lowest."""

MAX_CHILDREN: Final = 100
"""Groups right below one group."""

MAX_ATTRIBUTES: Final = 50
"""Attributes of a group."""


class ThingGroups:
    """Everything that is done to thing groups and to the things in them."""

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
        """A new group, or the present one where it is the same in everything but tags.

        Raises:
            ResourceAlreadyExistsException: There is a group of this name with another parent, description or other
                attributes.
            InvalidRequestException: No such parent; the tree would be too deep, or the parent have too many children;
                too many attributes.
        """
        given = things.without_empty(attributes or {})
        _require_room(name, given)
        with self._store.write() as tx:
            present = ThingGroupRows(tx).get(realm, name)
            if present is not None:
                _require_same(present, parent_name, description, given)
                return present
            group = ThingGroup(
                realm=realm,
                name=name,
                group_id=ids.unique(),
                ancestors=() if parent_name is None else _place_below(tx, realm, name, parent_name),
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
        """The group. Raises ResourceNotFoundException."""
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
        """Change a group; its version rises by one. What is None stays as it is.

        Args:
            attributes: The new attributes, or with ``merge`` those that change. An attribute with an empty value is
                removed.

        Raises:
            ResourceNotFoundException: No such group.
            VersionConflictException: Its version is not ``expected_version``.
            InvalidRequestException: Too many attributes.
        """
        with self._store.write() as tx:
            group = existing(tx, realm, name)
            _require_version(group, expected_version)
            changed = replace(
                group,
                description=group.description if description is None else description,
                attributes=things.changed_attributes(group.attributes, attributes, merge=merge),
                version=group.version + 1,
            )
            _require_room(name, changed.attributes)
            ThingGroupRows(tx).replace(changed)
            return changed

    def delete(self, realm: Realm, name: str, *, expected_version: int | None = None) -> None:
        """Delete a group; its things leave it and its policies are detached. It is no error where there is none.

        Raises:
            InvalidRequestException: There are groups below it.
            VersionConflictException: Its version is not ``expected_version``.
        """
        with self._store.write() as tx:
            group = ThingGroupRows(tx).get(realm, name)
            if group is None:
                return
            _require_version(group, expected_version)
            if ThingGroupRows(tx).children(realm, name, Window(limit=1)).items:
                # AWS's own text.
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
        """Groups whose name begins with ``prefix``.

        Args:
            parent_name: Only those below this group; None is all groups.
            recursive: Groups at any depth, or only the nearest: right below the parent, or the roots. None is any
                depth without a parent, and right below a parent.

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
        """Put a thing into a group; in it already is no error. It acts on live connections at once.

        Raises:
            ResourceNotFoundException: No such group or thing.
            InvalidRequestException: The thing is in another group of the tree, or in ten groups.
        """
        with self._store.write() as tx:
            add_thing_in(tx, realm, name, thing_name)

    def remove_thing(self, realm: Realm, name: str, thing_name: str) -> None:
        """Take a thing out of a group; not in it is no error. It acts on live connections at once.

        Raises:
            ResourceNotFoundException: No such group or thing.
        """
        with self._store.write() as tx:
            remove_thing_in(tx, realm, name, thing_name)

    def update_groups_of(self, realm: Realm, thing_name: str, *, add: Sequence[str], remove: Sequence[str]) -> None:
        """Take a thing out of groups, then put it into others: all of it, or nothing.

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
        """Names of the groups that a thing was put into. Raises ResourceNotFoundException."""
        with self._store.read() as tx:
            return window_of(groups_of_in(tx, realm, thing_name), window)

    def things_in(self, realm: Realm, name: str, window: Window, *, recursive: bool = False) -> Slice[str]:
        """Names of the things in a group; ``recursive``: also in those below it. Raises ResourceNotFoundException."""
        with self._store.read() as tx:
            existing(tx, realm, name)
            return ThingGroupRows(tx).things_in(realm, name, window, recursive=recursive)


def add_thing_in(tx: Transaction, realm: Realm, group_name: str, thing_name: str) -> None:
    """``ThingGroups.add_thing`` within the caller's write transaction. Raises as that does, and writes nothing then."""
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
                f"{group_name}; take it out of {membership.member_of} first."
            )
    if len({membership.member_of for membership in memberships}) >= MAX_GROUPS_OF_THING:
        raise InvalidRequestException(
            f"Thing {thing_name} is in {MAX_GROUPS_OF_THING} groups, which is the most it can be in."
        )
    ThingGroupRows(tx).join(thing_name, group)


def remove_thing_in(tx: Transaction, realm: Realm, group_name: str, thing_name: str) -> None:
    """``ThingGroups.remove_thing`` within the caller's write transaction. Raises as that does."""
    group = existing(tx, realm, group_name)
    if group_name in groups_of_in(tx, realm, thing_name):
        ThingGroupRows(tx).leave(thing_name, group)


def groups_of_in(tx: Transaction, realm: Realm, thing_name: str) -> Sequence[str]:
    """Names of the groups that a thing was put into, in that order. Raises ResourceNotFoundException: no such thing."""
    things.existing(tx, realm, thing_name)
    return list(dict.fromkeys(each.member_of for each in ThingGroupRows(tx).memberships(realm, thing_name)))


def _place_below(tx: Transaction, realm: Realm, name: str, parent_name: str) -> tuple[str, ...]:
    """The ancestors of a new group."""
    parent = ThingGroupRows(tx).get(realm, parent_name)
    if parent is None:
        # Its operation declares no ResourceNotFoundException.
        raise InvalidRequestException(f"Parent thing group {parent_name} does not exist.")
    ancestors = (*parent.ancestors, parent_name)
    if len(ancestors) >= MAX_DEPTH:
        raise InvalidRequestException(
            f"Thing group {name} would be at depth {len(ancestors) + 1} of its tree, which is at most {MAX_DEPTH} deep."
        )
    if len(ThingGroupRows(tx).children(realm, parent_name, Window(limit=MAX_CHILDREN)).items) >= MAX_CHILDREN:
        raise InvalidRequestException(
            f"Thing group {parent_name} has {MAX_CHILDREN} groups right below it, which is the most it can have."
        )
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


def _require_version(group: ThingGroup, expected: int | None) -> None:
    if expected is not None and expected != group.version:
        raise VersionConflictException(
            f"The version for thing group {group.name} does not match the expected version. "
            f"(version={group.version}, expectedVersion={expected})"
        )


def _require_room(name: str, attributes: Mapping[str, str]) -> None:
    if len(attributes) > MAX_ATTRIBUTES:
        raise InvalidRequestException(
            f"Thing group {name} would have {len(attributes)} attributes; it has at most {MAX_ATTRIBUTES}."
        )
