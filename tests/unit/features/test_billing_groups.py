from __future__ import annotations

import pytest

from sekisho import arn
from sekisho.billing_groups.rules import BillingGroups
from sekisho.change import Change
from sekisho.errors import (
    InvalidRequestException,
    ResourceAlreadyExistsException,
    ResourceNotFoundException,
    VersionConflictException,
)
from sekisho.pages import Window
from sekisho.store.store import Store
from sekisho.tags.rules import Tags
from sekisho.things.rules import Things
from tests.unit.features.arrange import HOME, OTHER_ACCOUNT, SetClock

ALL = Window(limit=250)


@pytest.fixture
def groups(store: Store, clock: SetClock) -> BillingGroups:
    return BillingGroups(store, clock)


@pytest.fixture
def things(store: Store, clock: SetClock) -> Things:
    return Things(store, clock)


def members(groups: BillingGroups, name: str) -> list[str]:
    return [thing.name for thing in groups.things_in(HOME, name, ALL).items]


def test_a_group_keeps_its_id_and_counts_its_versions(groups: BillingGroups) -> None:
    made = groups.create(HOME, "north", description="plant")
    assert groups.create(HOME, "north", description="plant") == made
    assert groups.update(HOME, "north", expected_version=1).description == "plant"
    changed = groups.update(HOME, "north", description="", expected_version=2)
    assert (changed.group_id, changed.version, changed.description) == (made.group_id, 3, "")
    with pytest.raises(VersionConflictException, match="version=3, expectedVersion=2"):
        groups.update(HOME, "north", expected_version=2)
    with pytest.raises(ResourceAlreadyExistsException) as refusal:
        groups.create(HOME, "north", description="plant")
    assert refusal.value.resource_arn == arn.billing_group(HOME, "north")


def test_adding_a_thing_removes_it_from_its_former_group(groups: BillingGroups, things: Things) -> None:
    for name in ("north", "south"):
        groups.create(HOME, name)
    things.create(HOME, "one", billing_group_name="north")
    groups.add_thing(HOME, "south", "one")
    assert (members(groups, "north"), members(groups, "south")) == ([], ["one"])
    groups.remove_thing(HOME, "north", "one")
    assert members(groups, "south") == ["one"]
    groups.remove_thing(HOME, "south", "one")
    assert things.describe(HOME, "one").billing_group_name is None


def test_only_a_group_without_things_is_deleted_and_its_tags_with_it(
    groups: BillingGroups, things: Things, store: Store
) -> None:
    groups.create(HOME, "north", tags={"cost": "1"})
    things.create(HOME, "one", billing_group_name="north")
    with pytest.raises(InvalidRequestException, match="things are in it"):
        groups.delete(HOME, "north")
    things.delete(HOME, "one")
    with pytest.raises(VersionConflictException):
        groups.delete(HOME, "north", expected_version=2)
    groups.delete(HOME, "north", expected_version=1)
    groups.delete(HOME, "north", expected_version=1)
    groups.create(HOME, "north")
    assert Tags(store).of(HOME, arn.billing_group(HOME, "north")) == {}


def test_changes_of_billing_groups_announce_nothing(
    groups: BillingGroups, things: Things, announced: list[Change]
) -> None:
    groups.create(HOME, "north")
    things.create(HOME, "one")
    groups.add_thing(HOME, "north", "one")
    groups.remove_thing(HOME, "north", "one")
    assert announced == []


def test_groups_of_other_accounts_are_not_visible(groups: BillingGroups, things: Things) -> None:
    groups.create(OTHER_ACCOUNT, "north")
    things.create(HOME, "one")
    for refused in (
        lambda: groups.describe(HOME, "north"),
        lambda: groups.add_thing(HOME, "north", "one"),
        lambda: things.create(HOME, "two", billing_group_name="north"),
    ):
        with pytest.raises(ResourceNotFoundException, match="Billing group north cannot be found"):
            refused()
    with pytest.raises(ResourceNotFoundException, match="Thing one cannot be found"):
        groups.add_thing(OTHER_ACCOUNT, "north", "one")
