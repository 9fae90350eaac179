"""The promises of ``ports.ThingRows`` and ``ports.AttachmentRows``, kept by every store."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from sekisho.pages import Window
from sekisho.principals.model import ThingPrincipalType
from sekisho.principals.store import AttachmentRows
from sekisho.realm import Realm
from sekisho.store.errors import AlreadyThere
from sekisho.store.store import Store
from sekisho.things.store import ThingRows
from tests.store.builders import HOME, OTHER_ACCOUNT, OTHER_REGION, attachment, thing

EVERYTHING = Window(limit=250)


def names(store: Store, window: Window = EVERYTHING, realm: Realm = HOME, **conditions: Any) -> list[str]:
    with store.read() as tx:
        return [each.name for each in ThingRows(tx).page(realm, window, **conditions).items]


def test_a_thing_is_read_as_it_was_added_and_replaced(store: Store) -> None:
    full = thing("a:b_c-D", type_name="lamp", attributes={"z": "1", "a": "", "ü": "ß€"}, billing_group_name="bill")
    with store.write() as tx:
        ThingRows(tx).add(thing())
        ThingRows(tx).add(full)
        ThingRows(tx).add(thing(realm=OTHER_ACCOUNT, attributes={"x": "y"}))
    with store.read() as tx:
        assert ThingRows(tx).get(HOME, "lamp") == thing()
        found = ThingRows(tx).get(HOME, "a:b_c-D")
        assert found == full
        assert list(found.attributes) == ["z", "a", "ü"]
        assert ThingRows(tx).get(HOME, "LAMP") is None
    changed = thing("a:b_c-D", attributes={"new": "n"}, version=2**40)
    with store.write() as tx:
        ThingRows(tx).replace(changed)
    with store.read() as tx:
        assert ThingRows(tx).get(HOME, "a:b_c-D") == changed
        assert ThingRows(tx).get(HOME, "lamp") == thing()
        assert ThingRows(tx).get(OTHER_ACCOUNT, "lamp") == thing(realm=OTHER_ACCOUNT, attributes={"x": "y"})


def test_a_name_is_unique_in_a_realm(store: Store) -> None:
    with store.write() as tx:
        ThingRows(tx).add(thing(attributes={"a": "b"}))
        with pytest.raises(AlreadyThere, match="lamp"):
            ThingRows(tx).add(thing(attributes={"c": "d"}))
        ThingRows(tx).add(thing("Lamp"))
        ThingRows(tx).add(thing(realm=OTHER_REGION))
    assert names(store) == ["lamp", "Lamp"]
    assert names(store, attribute=("c", "d")) == []


def test_replacing_a_missing_thing_raises(store: Store) -> None:
    with store.write() as tx, pytest.raises(KeyError, match="lamp"):
        ThingRows(tx).replace(thing())


def test_a_removed_thing_is_no_longer_found_by_name_or_attribute(store: Store) -> None:
    with store.write() as tx:
        ThingRows(tx).add(thing(attributes={"a": "b"}))
        ThingRows(tx).add(thing(attributes={"a": "b"}, realm=OTHER_ACCOUNT))
        ThingRows(tx).remove(HOME, "lamp")
        ThingRows(tx).remove(HOME, "none")
        assert ThingRows(tx).get(HOME, "lamp") is None
    assert names(store) == []
    assert names(store, attribute=("a", "b")) == []
    assert names(store, realm=OTHER_ACCOUNT, attribute=("a", "b")) == ["lamp"]


def test_things_are_found_by_type_attribute_and_both(store: Store) -> None:
    with store.write() as tx:
        ThingRows(tx).add(thing("one", type_name="lamp", attributes={"room": "12", "floor": "1"}))
        ThingRows(tx).add(thing("two", attributes={"room": "12"}))
        ThingRows(tx).add(thing("three", type_name="lamp", attributes={"room": "120"}))
        ThingRows(tx).add(thing("four", type_name="lamp", attributes={"floor": "12"}))
        ThingRows(tx).add(thing("five", type_name="lamps", attributes={"room": "1"}))
        ThingRows(tx).add(thing("else", type_name="lamp", attributes={"room": "12"}, realm=OTHER_ACCOUNT))
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


def test_a_list_by_attribute_continues_page_by_page(store: Store) -> None:
    with store.write() as tx:
        for number in range(7):
            ThingRows(tx).add(thing(f"t{number}", attributes={"even": str(number % 2 == 0), "n": str(9 - number)}))
    found: list[list[str]] = []
    after: int | None = None
    while True:
        with store.read() as tx:
            page = ThingRows(tx).page(HOME, Window(limit=2, after=after), attribute=("n", ""), prefix=True)
        found.append([each.name for each in page.items])
        after = page.next_after
        if after is None:
            break
    assert found == [["t0", "t1"], ["t2", "t3"], ["t4", "t5"], ["t6"]]
    assert names(store, Window(limit=2, ascending=False), attribute=("even", "True")) == ["t6", "t4"]


@pytest.mark.parametrize("value", ["a%", "a_", "a\\", "a.", "A", "a:b/c#1"])
def test_no_character_of_a_prefix_is_special(store: Store, value: str) -> None:
    with store.write() as tx:
        for number, kept in enumerate(["a%1", "a_1", "a\\1", "a.1", "ab1", "A1", "a:b/c#12"]):
            ThingRows(tx).add(thing(f"t{number}", attributes={"k": kept}))
    with store.read() as tx:
        found = ThingRows(tx).page(HOME, EVERYTHING, attribute=("k", value), prefix=True)
    assert len(found.items) == 1
    assert found.items[0].attributes["k"].startswith(value)


def test_a_thing_is_found_by_its_new_attributes_only(store: Store) -> None:
    with store.write() as tx:
        ThingRows(tx).add(thing(attributes={"a": "1", "b": "2"}))
        ThingRows(tx).replace(thing(attributes={"b": "3", "c": "4"}, version=2))
    assert names(store, attribute=("a", "1")) == []
    assert names(store, attribute=("b", "2")) == []
    assert names(store, attribute=("b", "3")) == ["lamp"]
    assert names(store, attribute=("c", "4")) == ["lamp"]


def test_attachments_are_found_from_both_sides_in_order(store: Store) -> None:
    exclusive = attachment("lamp", "arn:b", type=ThingPrincipalType.EXCLUSIVE_THING)
    with store.write() as tx:
        for realm in (HOME, OTHER_ACCOUNT):
            for name in ("lamp", "camera"):
                ThingRows(tx).add(thing(name, realm=realm))
        AttachmentRows(tx).add(attachment("lamp", "arn:z"))
        AttachmentRows(tx).add(exclusive)
        AttachmentRows(tx).add(attachment("camera", "arn:z"))
        AttachmentRows(tx).add(attachment("lamp", "arn:z", OTHER_ACCOUNT))
        with pytest.raises(AlreadyThere):
            AttachmentRows(tx).add(attachment("lamp", "arn:b"))
    with store.read() as tx:
        assert AttachmentRows(tx).get(HOME, "lamp", "arn:b") == exclusive
        assert AttachmentRows(tx).get(HOME, "camera", "arn:b") is None
        of_thing = AttachmentRows(tx).of_thing(HOME, "lamp", EVERYTHING)
        assert of_thing.items == [attachment("lamp", "arn:z"), exclusive]
        of_principal = AttachmentRows(tx).of_principal(HOME, "arn:z", EVERYTHING)
        assert [each.thing_name for each in of_principal.items] == ["lamp", "camera"]
        first = AttachmentRows(tx).of_principal(HOME, "arn:z", Window(limit=1))
        second = AttachmentRows(tx).of_principal(HOME, "arn:z", Window(limit=1, after=first.next_after))
        assert [each.thing_name for each in second.items] == ["camera"]
        assert second.next_after is None
        newest = AttachmentRows(tx).of_thing(HOME, "lamp", Window(limit=1, ascending=False))
        assert newest.items == [exclusive]


def test_detaching_returns_whether_there_was_an_attachment(store: Store) -> None:
    with store.write() as tx:
        ThingRows(tx).add(thing())
        AttachmentRows(tx).add(attachment("lamp", "arn:a"))
        assert AttachmentRows(tx).remove(HOME, "lamp", "arn:a") is True
        assert AttachmentRows(tx).remove(HOME, "lamp", "arn:a") is False
        assert AttachmentRows(tx).of_thing(HOME, "lamp", EVERYTHING).items == []
        ThingRows(tx).remove(HOME, "lamp")


def test_a_thing_with_attachments_cannot_be_removed(store: Store) -> None:
    """The domain detaches first; where it does not, nothing is kept."""
    with store.write() as tx:
        ThingRows(tx).add(thing())
        AttachmentRows(tx).add(attachment("lamp", "arn:a"))
    with pytest.raises(IntegrityError), store.write() as tx:
        ThingRows(tx).remove(HOME, "lamp")
    with pytest.raises(IntegrityError), store.write() as tx:
        AttachmentRows(tx).add(attachment("none", "arn:a"))
    with store.read() as tx:
        assert ThingRows(tx).get(HOME, "lamp") is not None
        assert AttachmentRows(tx).get(HOME, "lamp", "arn:a") is not None
