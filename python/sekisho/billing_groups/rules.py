"""Billing groups of things. Sekisho has no bills: groups are stored and returned.

A thing is in at most one billing group. Its rights do not depend on it.

Source: Developer Guide, tagging-iot-billing-groups; the API Reference of each operation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sekisho import arn, ids
from sekisho.billing_groups.model import BillingGroup
from sekisho.billing_groups.store import BillingGroupRows
from sekisho.clock import Clock
from sekisho.errors import (
    InvalidRequestException,
    ResourceAlreadyExistsException,
    ResourceNotFoundException,
)
from sekisho.expected_version import require_version
from sekisho.pages import Slice, Window
from sekisho.realm import Realm
from sekisho.store.store import Store
from sekisho.store.transaction import Transaction
from sekisho.tags.store import TagRows
from sekisho.things.model import Thing
from sekisho.things.store import ThingRows


class BillingGroups:
    """Creates, changes, lists and deletes billing groups, and puts things into them."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def create(
        self, realm: Realm, name: str, *, description: str | None = None, tags: Mapping[str, str] | None = None
    ) -> BillingGroup:
        """Create a billing group; return the existing one where it has the same description.

        Raises:
            ResourceAlreadyExistsException: A group of this name has another description.
        """
        with self._store.write() as tx:
            present = BillingGroupRows(tx).get(realm, name)
            if present is not None:
                if (present.description or None) != (description or None):
                    raise ResourceAlreadyExistsException(
                        f"Billing group {name} already exists in account with different properties",
                        resource_id=name,
                        resource_arn=arn.billing_group(realm, name),
                    )
                return present
            group = BillingGroup(
                realm=realm,
                name=name,
                group_id=ids.unique(),
                description=description,
                version=1,
                created_at=self._clock(),
            )
            BillingGroupRows(tx).add(group)
            if tags:
                TagRows(tx).put(realm, arn.billing_group(realm, name), tags)
            return group

    def describe(self, realm: Realm, name: str) -> BillingGroup:
        """Return the billing group. Raises ResourceNotFoundException."""
        with self._store.read() as tx:
            return existing(tx, realm, name)

    def update(
        self, realm: Realm, name: str, *, description: str | None = None, expected_version: int | None = None
    ) -> BillingGroup:
        """Change the description, if one is given, and add one to the version.

        Raises:
            ResourceNotFoundException: No such billing group.
            VersionConflictException: Its version is not ``expected_version``.
        """
        with self._store.write() as tx:
            group = existing(tx, realm, name)
            require_version(f"billing group {group.name}", group.version, expected_version)
            changed = replace(
                group,
                description=group.description if description is None else description,
                version=group.version + 1,
            )
            BillingGroupRows(tx).replace(changed)
            return changed

    def delete(self, realm: Realm, name: str, *, expected_version: int | None = None) -> None:
        """Delete a billing group; without effect where there is none.

        Raises:
            InvalidRequestException: Things are in it.
            VersionConflictException: Its version is not ``expected_version``.
        """
        with self._store.write() as tx:
            group = BillingGroupRows(tx).get(realm, name)
            if group is None:
                return
            require_version(f"billing group {group.name}", group.version, expected_version)
            if ThingRows(tx).of_billing_group(realm, name, Window(limit=1)).items:
                raise InvalidRequestException(
                    f"Cannot delete billing group {name}: things are in it. Take them out with "
                    "RemoveThingFromBillingGroup first."
                )
            BillingGroupRows(tx).remove(realm, name)
            TagRows(tx).remove(realm, arn.billing_group(realm, name))

    def list(self, realm: Realm, window: Window, *, prefix: str = "") -> Slice[BillingGroup]:
        """Return the billing groups of a realm whose names begin with ``prefix``."""
        with self._store.read() as tx:
            return BillingGroupRows(tx).page(realm, window, prefix=prefix)

    def add_thing(self, realm: Realm, name: str, thing_name: str) -> None:
        """Put a thing into a billing group, and out of the one that it is in. Raises ResourceNotFoundException."""
        with self._store.write() as tx:
            existing(tx, realm, name)
            thing = _existing_thing(tx, realm, thing_name)
            if thing.billing_group_name != name:
                ThingRows(tx).set_billing_group(realm, thing_name, name)

    def remove_thing(self, realm: Realm, name: str, thing_name: str) -> None:
        """Remove a thing from a billing group, if it is in that. Raises ResourceNotFoundException."""
        with self._store.write() as tx:
            existing(tx, realm, name)
            thing = _existing_thing(tx, realm, thing_name)
            if thing.billing_group_name == name:
                ThingRows(tx).set_billing_group(realm, thing_name, None)

    def things_in(self, realm: Realm, name: str, window: Window) -> Slice[Thing]:
        """Return the things of a billing group, oldest first. Raises ResourceNotFoundException."""
        with self._store.read() as tx:
            existing(tx, realm, name)
            return ThingRows(tx).of_billing_group(realm, name, window)


def existing(tx: Transaction, realm: Realm, name: str) -> BillingGroup:
    """Return the billing group. Raises ResourceNotFoundException."""
    group = BillingGroupRows(tx).get(realm, name)
    if group is None:
        raise ResourceNotFoundException(f"Billing group {name} cannot be found.")
    return group


# ``things.rules`` imports this module, so this does not import ``things.rules``.
def _existing_thing(tx: Transaction, realm: Realm, name: str) -> Thing:
    thing = ThingRows(tx).get(realm, name)
    if thing is None:
        raise ResourceNotFoundException(f"Thing {name} cannot be found.")
    return thing
