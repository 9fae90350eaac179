from __future__ import annotations

import pytest

from sekisho import arn
from sekisho.errors import InvalidRequestException, ResourceAlreadyExistsException, ResourceNotFoundException
from sekisho.pages import Window
from sekisho.store.store import Store
from sekisho.tags.rules import Tags
from sekisho.thing_types.model import PropagatingAttribute
from sekisho.thing_types.rules import ThingTypes
from sekisho.things.rules import Things
from tests.unit.features.arrange import HOME, OTHER_ACCOUNT, SetClock

FIVE_MINUTES = 300.0


@pytest.fixture
def types(store: Store, clock: SetClock) -> ThingTypes:
    return ThingTypes(store, clock)


@pytest.fixture
def things(store: Store, clock: SetClock) -> Things:
    return Things(store, clock)


def test_a_type_can_be_deleted_five_minutes_after_its_deprecation(types: ThingTypes, clock: SetClock) -> None:
    types.create(HOME, "pump")
    types.deprecate(HOME, "pump")
    clock.move(FIVE_MINUTES - 1)
    # Deprecating it again does not restart the time.
    types.deprecate(HOME, "pump")
    with pytest.raises(InvalidRequestException) as refusal:
        types.delete(HOME, "pump")
    text = "Cannot delete thing type : pump. Please wait for 5 minutes after deprecation and then retry"
    assert refusal.value.message == text
    clock.move(1)
    types.delete(HOME, "pump")
    with pytest.raises(ResourceNotFoundException, match="Thing type pump cannot be found"):
        types.describe(HOME, "pump")


def test_an_undone_deprecation_does_not_count(types: ThingTypes, clock: SetClock) -> None:
    types.create(HOME, "pump")
    types.deprecate(HOME, "pump")
    clock.move(FIVE_MINUTES)
    types.deprecate(HOME, "pump", undo=True)
    assert types.describe(HOME, "pump").deprecated_at is None
    with pytest.raises(InvalidRequestException, match="Deprecate it"):
        types.delete(HOME, "pump")
    types.deprecate(HOME, "pump")
    with pytest.raises(InvalidRequestException, match="wait for 5 minutes"):
        types.delete(HOME, "pump")


def test_a_type_with_things_is_not_deleted(types: ThingTypes, things: Things, clock: SetClock) -> None:
    types.create(HOME, "pump")
    things.create(HOME, "one", type_name="pump", attributes=dict.fromkeys("abcd", "1"))
    types.deprecate(HOME, "pump")
    clock.move(FIVE_MINUTES)
    with pytest.raises(InvalidRequestException, match="Things have this type"):
        types.delete(HOME, "pump")
    with pytest.raises(InvalidRequestException, match="the maximum is 3"):
        things.update(HOME, "one", remove_type=True)
    things.update(HOME, "one", remove_type=True, attributes={})
    types.delete(HOME, "pump")


def test_a_deprecated_type_is_refused_in_the_words_of_aws(types: ThingTypes, things: Things) -> None:
    types.create(HOME, "pump")
    types.create(HOME, "valve")
    things.create(HOME, "one", type_name="valve")
    types.deprecate(HOME, "pump")
    text = "^Can not create new thing with depreated thing type:pump$"
    with pytest.raises(InvalidRequestException, match=text):
        things.create(HOME, "two", type_name="pump")
    with pytest.raises(InvalidRequestException, match=text):
        things.update(HOME, "one", type_name="pump")
    assert things.describe(HOME, "one").type_name == "valve"


def test_types_of_other_accounts_are_not_visible(types: ThingTypes, things: Things) -> None:
    types.create(OTHER_ACCOUNT, "pump")
    with pytest.raises(ResourceNotFoundException, match="Thing type pump cannot be found"):
        things.create(HOME, "one", type_name="pump")


def test_a_thing_with_a_type_has_at_most_fifty_attributes(types: ThingTypes, things: Things) -> None:
    types.create(HOME, "pump")
    things.create(HOME, "one", type_name="pump", attributes={str(number): "1" for number in range(50)})
    with pytest.raises(InvalidRequestException, match="the maximum is 50"):
        things.create(HOME, "two", type_name="pump", attributes={str(number): "1" for number in range(51)})


def test_an_existing_type_with_other_properties_is_refused_with_its_arn(types: ThingTypes) -> None:
    first = types.create(HOME, "pump", description="moves", searchable_attributes=["a", "b"])
    assert types.create(HOME, "pump", description="moves", searchable_attributes=["b", "a"]) == first
    with pytest.raises(ResourceAlreadyExistsException) as refusal:
        types.create(HOME, "pump", description="moves")
    assert refusal.value.resource_arn == arn.thing_type(HOME, "pump")


def test_an_update_changes_only_the_given_properties(types: ThingTypes) -> None:
    site = PropagatingAttribute("site", thing_attribute="site")
    types.create(HOME, "pump", description="moves", searchable_attributes=["a"])
    types.update(HOME, "pump", propagating_attributes=[site])
    changed = types.describe(HOME, "pump")
    assert (changed.description, changed.searchable_attributes) == ("moves", ("a",))
    assert changed.propagating_attributes == (site,)
    types.update(HOME, "pump", description="moves water", searchable_attributes=[], propagating_attributes=[])
    changed = types.describe(HOME, "pump")
    assert (changed.description, changed.searchable_attributes, changed.propagating_attributes) == (
        "moves water",
        (),
        (),
    )


@pytest.mark.parametrize(
    ("propagating", "says"),
    [
        ([PropagatingAttribute("a", thing_attribute="b")] * 21, "the maximum is 20"),
        ([PropagatingAttribute("a")], "userPropertyKey"),
        ([PropagatingAttribute("", thing_attribute="a")], "userPropertyKey"),
        ([PropagatingAttribute("a", thing_attribute="b", connection_attribute="c")], "userPropertyKey"),
    ],
)
def test_invalid_propagating_attributes_are_refused(
    types: ThingTypes, propagating: list[PropagatingAttribute], says: str
) -> None:
    with pytest.raises(InvalidRequestException, match=says):
        types.create(HOME, "pump", propagating_attributes=propagating)
    types.create(HOME, "pump")
    with pytest.raises(InvalidRequestException, match=says):
        types.update(HOME, "pump", propagating_attributes=propagating)
    assert types.describe(HOME, "pump").propagating_attributes == ()


def test_tags_are_deleted_with_the_type(types: ThingTypes, store: Store, clock: SetClock) -> None:
    tags = Tags(store)
    types.create(HOME, "pump", tags={"team": "north"})
    types.create(HOME, "pump", tags={"team": "south"})
    assert tags.of(HOME, arn.thing_type(HOME, "pump")) == {"team": "north"}
    types.deprecate(HOME, "pump")
    clock.move(FIVE_MINUTES)
    types.delete(HOME, "pump")
    types.create(HOME, "pump")
    assert tags.of(HOME, arn.thing_type(HOME, "pump")) == {}


def test_a_list_has_all_types_or_those_of_one_name(types: ThingTypes) -> None:
    for name in ("pump", "pump-2"):
        types.create(HOME, name)
    window = Window(limit=10)
    assert [each.name for each in types.list(HOME, window).items] == ["pump", "pump-2"]
    assert [each.name for each in types.list(HOME, window, name="pump").items] == ["pump"]
    assert types.list(HOME, window, name="valve").items == []
