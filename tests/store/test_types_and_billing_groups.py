"""The promises of ``ports.ThingTypeRows`` and ``ports.BillingGroupRows``, kept by every store."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sekisho.registry.model import PropagatingAttribute
from sekisho.registry.ports import AlreadyThere, Window
from sekisho.store.unit_of_work import SqlStore
from tests.store.builders import HOME, NOW, OTHER_ACCOUNT, billing_group, thing, thing_type

EVERYTHING = Window(limit=250)


def test_a_thing_type_comes_back_as_it_was_added_and_replaced(store: SqlStore) -> None:
    full = thing_type(
        description="ü",
        searchable_attributes=("b", "a"),
        propagating_attributes=(
            PropagatingAttribute("site", thing_attribute="site"),
            PropagatingAttribute("client", connection_attribute="iot:ClientId"),
        ),
        deprecated_at=NOW + timedelta(microseconds=1),
    )
    with store.write() as tx:
        tx.thing_types.add(full)
        tx.thing_types.add(thing_type(realm=OTHER_ACCOUNT))
        with pytest.raises(AlreadyThere, match="light"):
            tx.thing_types.add(thing_type())
    with store.read() as tx:
        assert tx.thing_types.get(HOME, "light") == full
        assert tx.thing_types.get(HOME, "Light") is None
    with store.write() as tx:
        tx.thing_types.replace(thing_type())
        with pytest.raises(KeyError, match="none"):
            tx.thing_types.replace(thing_type("none"))
        tx.thing_types.add(thing_type("another"))
    with store.write() as tx:
        assert tx.thing_types.get(HOME, "light") == thing_type()
        assert tx.thing_types.page(HOME, EVERYTHING).items == [thing_type(), thing_type("another")]
        tx.thing_types.remove(HOME, "light")
        assert tx.thing_types.page(HOME, EVERYTHING).items == [thing_type("another")]
        assert tx.thing_types.get(OTHER_ACCOUNT, "light") == thing_type(realm=OTHER_ACCOUNT)


def test_a_billing_group_comes_back_as_it_was_added_and_replaced(store: SqlStore) -> None:
    with store.write() as tx:
        tx.billing_groups.add(billing_group(description="ü", version=2**40))
        tx.billing_groups.add(billing_group(realm=OTHER_ACCOUNT))
        with pytest.raises(AlreadyThere, match="plant"):
            tx.billing_groups.add(billing_group())
    with store.read() as tx:
        assert tx.billing_groups.get(HOME, "plant") == billing_group(description="ü", version=2**40)
    with store.write() as tx:
        tx.billing_groups.replace(billing_group())
        with pytest.raises(KeyError, match="none"):
            tx.billing_groups.replace(billing_group("none"))
        tx.billing_groups.add(billing_group("office"))
        tx.billing_groups.add(billing_group("plant-2"))
    with store.write() as tx:
        assert tx.billing_groups.page(HOME, EVERYTHING).items == [
            billing_group(),
            billing_group("office"),
            billing_group("plant-2"),
        ]
        assert tx.billing_groups.page(HOME, EVERYTHING, prefix="plant").items == [
            billing_group(),
            billing_group("plant-2"),
        ]
        first = tx.billing_groups.page(HOME, Window(limit=1), prefix="plant")
        assert first.items == [billing_group()]
        second = tx.billing_groups.page(HOME, Window(limit=1, after=first.next_after), prefix="plant")
        assert (second.items, second.next_after) == ([billing_group("plant-2")], None)
        tx.billing_groups.remove(HOME, "plant")
        assert tx.billing_groups.get(HOME, "plant") is None
        assert tx.billing_groups.get(OTHER_ACCOUNT, "plant") == billing_group(realm=OTHER_ACCOUNT)


def test_things_are_found_by_their_billing_group(store: SqlStore) -> None:
    with store.write() as tx:
        for name, group in (("one", "plant"), ("two", None), ("three", "plant"), ("four", "office")):
            tx.things.add(thing(name, billing_group_name=group))
        tx.things.add(thing("one", OTHER_ACCOUNT, billing_group_name="plant"))
    with store.read() as tx:
        first = tx.things.of_billing_group(HOME, "plant", Window(limit=1))
        assert [each.name for each in first.items] == ["one"]
        second = tx.things.of_billing_group(HOME, "plant", Window(limit=1, after=first.next_after))
        assert ([each.name for each in second.items], second.next_after) == (["three"], None)
