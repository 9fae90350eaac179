"""The promises of ``ports.ThingRows`` and ``ports.AttachmentRows``, kept by every store."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from sekisho.realm import Realm
from sekisho.registry.model import ThingPrincipalType
from sekisho.registry.ports import AlreadyThere, Window
from sekisho.store.unit_of_work import SqlStore
from tests.store.builders import HOME, OTHER_ACCOUNT, OTHER_REGION, attachment, thing

EVERYTHING = Window(limit=250)


def names(store: SqlStore, window: Window = EVERYTHING, realm: Realm = HOME, **conditions: Any) -> list[str]:
    with store.read() as tx:
        return [each.name for each in tx.things.page(realm, window, **conditions).items]


def test_a_thing_comes_back_as_it_was_added_and_replaced(store: SqlStore) -> None:
    full = thing("a:b_c-D", type_name="lamp", attributes={"z": "1", "a": "", "ü": "ß€"}, billing_group_name="bill")
    with store.write() as tx:
        tx.things.add(thing())
        tx.things.add(full)
        tx.things.add(thing(realm=OTHER_ACCOUNT, attributes={"x": "y"}))
    with store.read() as tx:
        assert tx.things.get(HOME, "lamp") == thing()
        found = tx.things.get(HOME, "a:b_c-D")
        assert found == full
        assert list(found.attributes) == ["z", "a", "ü"]
        assert tx.things.get(HOME, "LAMP") is None
    changed = thing("a:b_c-D", attributes={"new": "n"}, version=2**40)
    with store.write() as tx:
        tx.things.replace(changed)
    with store.read() as tx:
        assert tx.things.get(HOME, "a:b_c-D") == changed
        assert tx.things.get(HOME, "lamp") == thing()
        assert tx.things.get(OTHER_ACCOUNT, "lamp") == thing(realm=OTHER_ACCOUNT, attributes={"x": "y"})


def test_a_name_is_taken_once_in_a_realm(store: SqlStore) -> None:
    with store.write() as tx:
        tx.things.add(thing(attributes={"a": "b"}))
        with pytest.raises(AlreadyThere, match="lamp"):
            tx.things.add(thing(attributes={"c": "d"}))
        tx.things.add(thing("Lamp"))
        tx.things.add(thing(realm=OTHER_REGION))
    assert names(store) == ["lamp", "Lamp"]
    assert names(store, attribute=("c", "d")) == []


def test_replacing_a_thing_that_is_not_there_is_not_silent(store: SqlStore) -> None:
    with store.write() as tx, pytest.raises(KeyError, match="lamp"):
        tx.things.replace(thing())


def test_a_removed_thing_is_found_no_more_by_name_or_attribute(store: SqlStore) -> None:
    with store.write() as tx:
        tx.things.add(thing(attributes={"a": "b"}))
        tx.things.add(thing(attributes={"a": "b"}, realm=OTHER_ACCOUNT))
        tx.things.remove(HOME, "lamp")
        tx.things.remove(HOME, "none")
        assert tx.things.get(HOME, "lamp") is None
    assert names(store) == []
    assert names(store, attribute=("a", "b")) == []
    assert names(store, realm=OTHER_ACCOUNT, attribute=("a", "b")) == ["lamp"]


def test_things_are_found_by_type_attribute_and_both(store: SqlStore) -> None:
    with store.write() as tx:
        tx.things.add(thing("one", type_name="lamp", attributes={"room": "12", "floor": "1"}))
        tx.things.add(thing("two", attributes={"room": "12"}))
        tx.things.add(thing("three", type_name="lamp", attributes={"room": "120"}))
        tx.things.add(thing("four", type_name="lamp", attributes={"floor": "12"}))
        tx.things.add(thing("five", type_name="lamps", attributes={"room": "1"}))
        tx.things.add(thing("else", type_name="lamp", attributes={"room": "12"}, realm=OTHER_ACCOUNT))
    assert names(store, type_name="lamp") == ["one", "three", "four"]
    assert names(store, type_name="none") == []
    assert names(store, attribute=("room", "12")) == ["one", "two"]
    assert names(store, attribute=("room", "12"), type_name="lamp") == ["one"]
    assert names(store, attribute=("room", "12"), prefix=True) == ["one", "two", "three"]
    assert names(store, attribute=("room", "12"), prefix=True, type_name="lamp") == ["one", "three"]
    assert names(store, attribute=("room", ""), prefix=True) == ["one", "two", "three", "five"]
    assert names(store, attribute=("room", ""), prefix=False) == []
    backwards = Window(limit=2, ascending=False)
    assert names(store, backwards, attribute=("room", "12"), prefix=True) == ["three", "two"]


def test_a_list_by_attribute_goes_on_page_by_page(store: SqlStore) -> None:
    with store.write() as tx:
        for number in range(7):
            tx.things.add(thing(f"t{number}", attributes={"even": str(number % 2 == 0), "n": str(9 - number)}))
    found: list[list[str]] = []
    after: int | None = None
    while True:
        with store.read() as tx:
            page = tx.things.page(HOME, Window(limit=2, after=after), attribute=("n", ""), prefix=True)
        found.append([each.name for each in page.items])
        after = page.next_after
        if after is None:
            break
    assert found == [["t0", "t1"], ["t2", "t3"], ["t4", "t5"], ["t6"]]
    assert names(store, Window(limit=2, ascending=False), attribute=("even", "True")) == ["t6", "t4"]


@pytest.mark.parametrize("value", ["a%", "a_", "a\\", "a.", "A", "a:b/c#1"])
def test_no_character_of_a_prefix_has_a_meaning_of_its_own(store: SqlStore, value: str) -> None:
    with store.write() as tx:
        for number, kept in enumerate(["a%1", "a_1", "a\\1", "a.1", "ab1", "A1", "a:b/c#12"]):
            tx.things.add(thing(f"t{number}", attributes={"k": kept}))
    with store.read() as tx:
        found = tx.things.page(HOME, EVERYTHING, attribute=("k", value), prefix=True)
    assert len(found.items) == 1
    assert found.items[0].attributes["k"].startswith(value)


def test_new_attributes_replace_those_that_things_are_found_by(store: SqlStore) -> None:
    with store.write() as tx:
        tx.things.add(thing(attributes={"a": "1", "b": "2"}))
        tx.things.replace(thing(attributes={"b": "3", "c": "4"}, version=2))
    assert names(store, attribute=("a", "1")) == []
    assert names(store, attribute=("b", "2")) == []
    assert names(store, attribute=("b", "3")) == ["lamp"]
    assert names(store, attribute=("c", "4")) == ["lamp"]


def test_attachments_are_found_from_both_sides_in_order(store: SqlStore) -> None:
    exclusive = attachment("lamp", "arn:b", type=ThingPrincipalType.EXCLUSIVE_THING)
    with store.write() as tx:
        for realm in (HOME, OTHER_ACCOUNT):
            for name in ("lamp", "door"):
                tx.things.add(thing(name, realm=realm))
        tx.attachments.add(attachment("lamp", "arn:z"))
        tx.attachments.add(exclusive)
        tx.attachments.add(attachment("door", "arn:z"))
        tx.attachments.add(attachment("lamp", "arn:z", OTHER_ACCOUNT))
        with pytest.raises(AlreadyThere):
            tx.attachments.add(attachment("lamp", "arn:b"))
    with store.read() as tx:
        assert tx.attachments.get(HOME, "lamp", "arn:b") == exclusive
        assert tx.attachments.get(HOME, "door", "arn:b") is None
        of_thing = tx.attachments.of_thing(HOME, "lamp", EVERYTHING)
        assert of_thing.items == [attachment("lamp", "arn:z"), exclusive]
        of_principal = tx.attachments.of_principal(HOME, "arn:z", EVERYTHING)
        assert [each.thing_name for each in of_principal.items] == ["lamp", "door"]
        first = tx.attachments.of_principal(HOME, "arn:z", Window(limit=1))
        second = tx.attachments.of_principal(HOME, "arn:z", Window(limit=1, after=first.next_after))
        assert [each.thing_name for each in second.items] == ["door"]
        assert second.next_after is None
        newest = tx.attachments.of_thing(HOME, "lamp", Window(limit=1, ascending=False))
        assert newest.items == [exclusive]


def test_detaching_says_whether_there_was_an_attachment(store: SqlStore) -> None:
    with store.write() as tx:
        tx.things.add(thing())
        tx.attachments.add(attachment("lamp", "arn:a"))
        assert tx.attachments.remove(HOME, "lamp", "arn:a") is True
        assert tx.attachments.remove(HOME, "lamp", "arn:a") is False
        assert tx.attachments.of_thing(HOME, "lamp", EVERYTHING).items == []
        tx.things.remove(HOME, "lamp")


def test_a_thing_with_attachments_cannot_vanish_under_them(store: SqlStore) -> None:
    """The domain detaches first; where it forgets, nothing is kept."""
    with store.write() as tx:
        tx.things.add(thing())
        tx.attachments.add(attachment("lamp", "arn:a"))
    with pytest.raises(IntegrityError), store.write() as tx:
        tx.things.remove(HOME, "lamp")
    with pytest.raises(IntegrityError), store.write() as tx:
        tx.attachments.add(attachment("none", "arn:a"))
    with store.read() as tx:
        assert tx.things.get(HOME, "lamp") is not None
        assert tx.attachments.get(HOME, "lamp", "arn:a") is not None
