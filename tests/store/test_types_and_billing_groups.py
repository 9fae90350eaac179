"""The promises of ``ports.ThingTypeRows`` and ``ports.BillingGroupRows``, kept by every store."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sekisho.billing_groups.store import BillingGroupRows
from sekisho.pages import Window
from sekisho.store.errors import AlreadyThere
from sekisho.store.store import Store
from sekisho.thing_types.model import PropagatingAttribute
from sekisho.thing_types.store import ThingTypeRows
from sekisho.things.store import ThingRows
from tests.store.builders import HOME, NOW, OTHER_ACCOUNT, billing_group, thing, thing_type

EVERYTHING = Window(limit=250)


def test_a_thing_type_is_read_as_it_was_added_and_replaced(store: Store) -> None:
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
        ThingTypeRows(tx).add(full)
        ThingTypeRows(tx).add(thing_type(realm=OTHER_ACCOUNT))
        with pytest.raises(AlreadyThere, match="light"):
            ThingTypeRows(tx).add(thing_type())
    with store.read() as tx:
        assert ThingTypeRows(tx).get(HOME, "light") == full
        assert ThingTypeRows(tx).get(HOME, "Light") is None
    with store.write() as tx:
        ThingTypeRows(tx).replace(thing_type())
        with pytest.raises(KeyError, match="none"):
            ThingTypeRows(tx).replace(thing_type("none"))
        ThingTypeRows(tx).add(thing_type("another"))
    with store.write() as tx:
        assert ThingTypeRows(tx).get(HOME, "light") == thing_type()
        assert ThingTypeRows(tx).page(HOME, EVERYTHING).items == [thing_type(), thing_type("another")]
        ThingTypeRows(tx).remove(HOME, "light")
        assert ThingTypeRows(tx).page(HOME, EVERYTHING).items == [thing_type("another")]
        assert ThingTypeRows(tx).get(OTHER_ACCOUNT, "light") == thing_type(realm=OTHER_ACCOUNT)


def test_a_billing_group_is_read_as_it_was_added_and_replaced(store: Store) -> None:
    with store.write() as tx:
        BillingGroupRows(tx).add(billing_group(description="ü", version=2**40))
        BillingGroupRows(tx).add(billing_group(realm=OTHER_ACCOUNT))
        with pytest.raises(AlreadyThere, match="plant"):
            BillingGroupRows(tx).add(billing_group())
    with store.read() as tx:
        assert BillingGroupRows(tx).get(HOME, "plant") == billing_group(description="ü", version=2**40)
    with store.write() as tx:
        BillingGroupRows(tx).replace(billing_group())
        with pytest.raises(KeyError, match="none"):
            BillingGroupRows(tx).replace(billing_group("none"))
        BillingGroupRows(tx).add(billing_group("office"))
        BillingGroupRows(tx).add(billing_group("plant-2"))
    with store.write() as tx:
        assert BillingGroupRows(tx).page(HOME, EVERYTHING).items == [
            billing_group(),
            billing_group("office"),
            billing_group("plant-2"),
        ]
        assert BillingGroupRows(tx).page(HOME, EVERYTHING, prefix="plant").items == [
            billing_group(),
            billing_group("plant-2"),
        ]
        first = BillingGroupRows(tx).page(HOME, Window(limit=1), prefix="plant")
        assert first.items == [billing_group()]
        second = BillingGroupRows(tx).page(HOME, Window(limit=1, after=first.next_after), prefix="plant")
        assert (second.items, second.next_after) == ([billing_group("plant-2")], None)
        BillingGroupRows(tx).remove(HOME, "plant")
        assert BillingGroupRows(tx).get(HOME, "plant") is None
        assert BillingGroupRows(tx).get(OTHER_ACCOUNT, "plant") == billing_group(realm=OTHER_ACCOUNT)


def test_things_are_found_by_their_billing_group(store: Store) -> None:
    with store.write() as tx:
        for name, group in (("one", "plant"), ("two", None), ("three", "plant"), ("four", "office")):
            ThingRows(tx).add(thing(name, billing_group_name=group))
        ThingRows(tx).add(thing("one", OTHER_ACCOUNT, billing_group_name="plant"))
    with store.read() as tx:
        first = ThingRows(tx).of_billing_group(HOME, "plant", Window(limit=1))
        assert [each.name for each in first.items] == ["one"]
        second = ThingRows(tx).of_billing_group(HOME, "plant", Window(limit=1, after=first.next_after))
        assert ([each.name for each in second.items], second.next_after) == (["three"], None)
