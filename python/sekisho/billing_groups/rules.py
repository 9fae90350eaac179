"""Billing groups: things put together for the bill. There is no bill here; what they are for is to be kept and told.

A thing is in one billing group at most. What it may do does not depend on it.

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
    VersionConflictException,
)
from sekisho.pages import Slice, Window
from sekisho.realm import Realm
from sekisho.store.store import Store
from sekisho.store.transaction import Transaction
from sekisho.tags.store import TagRows
from sekisho.things.model import Thing
from sekisho.things.store import ThingRows


class BillingGroups:
    """Everything that is done to billing groups."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def create(
        self, realm: Realm, name: str, *, description: str | None = None, tags: Mapping[str, str] | None = None
    ) -> BillingGroup:
        """A new billing group, or the present one where it is the same.

        Raises:
            ResourceAlreadyExistsException: There is one of this name with another description.
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
        """The billing group. Raises ResourceNotFoundException."""
        with self._store.read() as tx:
            return existing(tx, realm, name)

    def update(
        self, realm: Realm, name: str, *, description: str | None = None, expected_version: int | None = None
    ) -> BillingGroup:
        """Change the description, where one is given; the version rises by one.

        Raises:
            ResourceNotFoundException: No such billing group.
            VersionConflictException: Its version is not ``expected_version``.
        """
        with self._store.write() as tx:
            group = existing(tx, realm, name)
            _require_version(group, expected_version)
            changed = replace(
                group,
                description=group.description if description is None else description,
                version=group.version + 1,
            )
            BillingGroupRows(tx).replace(changed)
            return changed

    def delete(self, realm: Realm, name: str, *, expected_version: int | None = None) -> None:
        """Delete a billing group. It is no error where there is none.

        Raises:
            InvalidRequestException: Things are in it.
            VersionConflictException: Its version is not ``expected_version``.
        """
        with self._store.write() as tx:
            group = BillingGroupRows(tx).get(realm, name)
            if group is None:
                return
            _require_version(group, expected_version)
            if ThingRows(tx).of_billing_group(realm, name, Window(limit=1)).items:
                raise InvalidRequestException(
                    f"Cannot delete billing group {name}: things are in it. Take them out with "
                    "RemoveThingFromBillingGroup first."
                )
            BillingGroupRows(tx).remove(realm, name)
            TagRows(tx).remove(realm, arn.billing_group(realm, name))

    def list(self, realm: Realm, window: Window, *, prefix: str = "") -> Slice[BillingGroup]:
        """Billing groups of a realm, all or those whose name begins with ``prefix``."""
        with self._store.read() as tx:
            return BillingGroupRows(tx).page(realm, window, prefix=prefix)

    def add_thing(self, realm: Realm, name: str, thing_name: str) -> None:
        """Put a thing into a billing group; it leaves the one it was in. Raises ResourceNotFoundException."""
        with self._store.write() as tx:
            existing(tx, realm, name)
            thing = _existing_thing(tx, realm, thing_name)
            if thing.billing_group_name != name:
                ThingRows(tx).set_billing_group(realm, thing_name, name)

    def remove_thing(self, realm: Realm, name: str, thing_name: str) -> None:
        """Take a thing out of a billing group; not in it is no error. Raises ResourceNotFoundException."""
        with self._store.write() as tx:
            existing(tx, realm, name)
            thing = _existing_thing(tx, realm, thing_name)
            if thing.billing_group_name == name:
                ThingRows(tx).set_billing_group(realm, thing_name, None)

    def things_in(self, realm: Realm, name: str, window: Window) -> Slice[Thing]:
        """The things of a billing group, the oldest first. Raises ResourceNotFoundException."""
        with self._store.read() as tx:
            existing(tx, realm, name)
            return ThingRows(tx).of_billing_group(realm, name, window)


def existing(tx: Transaction, realm: Realm, name: str) -> BillingGroup:
    """The billing group. Raises ResourceNotFoundException."""
    group = BillingGroupRows(tx).get(realm, name)
    if group is None:
        raise ResourceNotFoundException(f"Billing group {name} cannot be found.")
    return group


# ``things`` looks for billing groups, so this does not look into ``things``.
def _existing_thing(tx: Transaction, realm: Realm, name: str) -> Thing:
    thing = ThingRows(tx).get(realm, name)
    if thing is None:
        raise ResourceNotFoundException(f"Thing {name} cannot be found.")
    return thing


def _require_version(group: BillingGroup, expected: int | None) -> None:
    if expected is not None and expected != group.version:
        raise VersionConflictException(
            f"The version for billing group {group.name} does not match the expected version. "
            f"(version={group.version}, expectedVersion={expected})"
        )
