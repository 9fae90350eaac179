"""The promises of ``ports.ThingGroupRows``, kept by every store."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from sekisho.pages import Window
from sekisho.realm import Realm
from sekisho.store.errors import AlreadyThere
from sekisho.store.store import Store
from sekisho.thing_groups.model import Membership
from sekisho.thing_groups.store import ThingGroupRows
from sekisho.things.store import ThingRows
from tests.store.builders import HOME, OTHER_ACCOUNT, OTHER_REGION, thing, thing_group

EVERYTHING = Window(limit=250)

LIGHTS = thing_group("lights")
RED = thing_group("red", "lights")
BLUE = thing_group("blue", "lights")
LED = thing_group("led", "lights", "red")
PUMPS = thing_group("pumps")


@pytest.fixture
def tree(store: Store) -> Store:
    """Add groups and things, the same in two realms."""
    with store.write() as tx:
        for realm in (HOME, OTHER_REGION):
            for group in (LIGHTS, RED, BLUE, LED, PUMPS):
                ThingGroupRows(tx).add(thing_group(group.name, *group.ancestors, realm=realm))
            for name in ("one", "two", "three"):
                ThingRows(tx).add(thing(name, realm))
    return store


def things(store: Store, group: str, *, recursive: bool = True, realm: Realm = HOME) -> list[str]:
    with store.read() as tx:
        return list(ThingGroupRows(tx).things_in(realm, group, EVERYTHING, recursive=recursive).items)


def test_a_group_is_read_as_it_was_added_and_replaced(store: Store) -> None:
    full = thing_group("a:b_c-D", "root", "parent", description="ü \U0001f510", attributes={"z": "1", "a": "ß"})
    with store.write() as tx:
        ThingGroupRows(tx).add(full)
        ThingGroupRows(tx).add(thing_group("a:b_c-D", realm=OTHER_ACCOUNT))
        with pytest.raises(AlreadyThere, match="a:b_c-D"):
            ThingGroupRows(tx).add(thing_group("a:b_c-D"))
    with store.read() as tx:
        assert ThingGroupRows(tx).get(HOME, "a:b_c-D") == full
        assert ThingGroupRows(tx).get(HOME, "A:B_C-D") is None
    changed = thing_group("a:b_c-D", "root", "parent", attributes={}, version=2**40)
    with store.write() as tx:
        ThingGroupRows(tx).replace(changed)
        with pytest.raises(KeyError, match="none"):
            ThingGroupRows(tx).replace(thing_group("none"))
    with store.read() as tx:
        assert ThingGroupRows(tx).get(HOME, "a:b_c-D") == changed
        assert ThingGroupRows(tx).get(OTHER_ACCOUNT, "a:b_c-D") == thing_group("a:b_c-D", realm=OTHER_ACCOUNT)


def test_groups_are_listed_all_by_parent_and_by_ancestor(tree: Store) -> None:
    with tree.read() as tx:

        def names(method: str, *arguments: Any, **options: Any) -> list[str]:
            collected: list[str] = []
            after: int | None = None
            while True:
                window = Window(limit=2, after=after)
                slice_ = getattr(ThingGroupRows(tx), method)(HOME, *arguments, window, **options)
                collected += [group.name for group in slice_.items]
                after = slice_.next_after
                if after is None:
                    return collected

        assert names("page") == ["lights", "red", "blue", "led", "pumps"]
        assert names("page", prefix="l") == ["lights", "led"]
        assert names("page", prefix="%") == []
        assert names("children", None) == ["lights", "pumps"]
        assert names("children", None, prefix="p") == ["pumps"]
        assert names("children", "lights") == ["red", "blue"]
        assert names("children", "lights", prefix="r") == ["red"]
        assert names("descendants", "lights") == ["red", "blue", "led"]
        assert names("descendants", "lights", prefix="l") == ["led"]
        assert names("descendants", "led") == []


def test_a_thing_in_a_group_is_in_all_its_ancestors(tree: Store) -> None:
    with tree.write() as tx:
        ThingGroupRows(tx).join("two", LED)
        ThingGroupRows(tx).join("one", LIGHTS)
        ThingGroupRows(tx).join("two", PUMPS)
        ThingGroupRows(tx).join("three", BLUE)
    assert things(tree, "lights") == ["two", "one", "three"]
    assert things(tree, "lights", recursive=False) == ["one"]
    assert things(tree, "red") == ["two"]
    assert things(tree, "red", recursive=False) == []
    assert things(tree, "led", recursive=False) == ["two"]
    assert things(tree, "lights", realm=OTHER_REGION) == []
    with tree.read() as tx:
        assert ThingGroupRows(tx).memberships(HOME, "two") == [
            Membership("two", "led", "led"),
            Membership("two", "red", "led"),
            Membership("two", "lights", "led"),
            Membership("two", "pumps", "pumps"),
        ]
        assert ThingGroupRows(tx).memberships(OTHER_REGION, "two") == []


def test_a_thing_leaves_a_group_and_its_ancestors_and_no_other(tree: Store) -> None:
    with tree.write() as tx:
        for group in (LED, PUMPS):
            ThingGroupRows(tx).join("two", group)
        ThingGroupRows(tx).join("one", LED)
        ThingGroupRows(tx).leave("two", LED)
        ThingGroupRows(tx).leave("three", LED)
    assert things(tree, "lights") == ["one"]
    assert things(tree, "pumps") == ["two"]


def test_no_store_takes_a_thing_into_two_groups_of_a_tree(tree: Store) -> None:
    with tree.write() as tx:
        ThingGroupRows(tx).join("one", LED)
    with pytest.raises(IntegrityError), tree.write() as tx:
        ThingGroupRows(tx).join("one", BLUE)
    with pytest.raises(IntegrityError), tree.write() as tx:
        ThingGroupRows(tx).join("nobody", BLUE)
    with pytest.raises(IntegrityError), tree.write() as tx:
        ThingGroupRows(tx).join("two", thing_group("nowhere"))
    assert things(tree, "lights") == ["one"]


def test_a_removed_group_removes_its_things_from_its_ancestors_too(tree: Store) -> None:
    with tree.write() as tx:
        ThingGroupRows(tx).join("one", LED)
        ThingGroupRows(tx).join("two", RED)
        ThingGroupRows(tx).remove(HOME, "led")
    assert things(tree, "lights") == ["two"]
    with tree.read() as tx:
        assert ThingGroupRows(tx).memberships(HOME, "one") == []
        assert [group.name for group in ThingGroupRows(tx).descendants(HOME, "lights", EVERYTHING).items] == [
            "red",
            "blue",
        ]
        assert ThingGroupRows(tx).get(OTHER_REGION, "led") is not None


def test_a_thing_that_is_removed_leaves_its_groups(tree: Store) -> None:
    with tree.write() as tx:
        ThingGroupRows(tx).join("one", LED)
        ThingGroupRows(tx).join("two", LED)
        ThingRows(tx).remove(HOME, "one")
    assert things(tree, "lights") == ["two"]
