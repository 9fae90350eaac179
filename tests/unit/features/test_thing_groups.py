from __future__ import annotations

from collections.abc import Callable

import pytest

from sekisho import arn
from sekisho.change import Change, ChangeKind
from sekisho.errors import (
    InvalidRequestException,
    LimitExceededException,
    ResourceAlreadyExistsException,
    ResourceNotFoundException,
    VersionConflictException,
)
from sekisho.pages import Window
from sekisho.policies.authorization import Authorization, Question
from sekisho.policies.rules import Policies
from sekisho.store.store import Store
from sekisho.tags.rules import Tags
from sekisho.thing_groups import rules as thing_groups
from sekisho.thing_groups.rules import ThingGroups
from sekisho.thing_groups.store import MAX_NAMED_THINGS
from sekisho.things.rules import Things
from tests.unit.features.arrange import HOME, OTHER_ACCOUNT, LiteralEngine, SetClock, add_certificate

ALL = Window(limit=250)
TOPIC = "arn:aws:iot:eu-central-1:123456789012:topic/a"


@pytest.fixture(autouse=True)
def groups(store: Store, clock: SetClock) -> ThingGroups:
    """Add the groups lights, red in it, led in that, and blue beside red; and pumps."""
    made = ThingGroups(store, clock)
    for name, parent in (("lights", None), ("red", "lights"), ("led", "red"), ("blue", "lights"), ("pumps", None)):
        made.create(HOME, name, parent_name=parent)
    return made


@pytest.fixture(autouse=True)
def things(store: Store, clock: SetClock) -> Things:
    """Add a lamp and a camera."""
    made = Things(store, clock)
    for name in ("lamp", "camera"):
        made.create(HOME, name)
    return made


@pytest.fixture
def policies(store: Store, clock: SetClock) -> Policies:
    made = Policies(store, clock, LiteralEngine())
    for name in ("a", "b", "c"):
        made.create(HOME, name, f"allow {TOPIC}")
    return made


def of(groups: ThingGroups, thing: str) -> list[str]:
    return list(groups.groups_of(HOME, thing, ALL).items)


def of_thing(name: str) -> Change:
    return Change(HOME, ChangeKind.THING, name)


def test_a_group_has_the_path_from_its_root(groups: ThingGroups) -> None:
    led = groups.describe(HOME, "led")
    assert led.ancestors == ("lights", "red")
    assert led.parent_name == "red"
    assert led.lineage == ("led", "red", "lights")
    assert groups.describe(HOME, "lights").parent_name is None


def test_a_tree_is_at_most_seven_deep(groups: ThingGroups) -> None:
    parent = "led"
    for depth in range(4, 8):
        groups.create(HOME, f"depth-{depth}", parent_name=parent)
        parent = f"depth-{depth}"
    with pytest.raises(InvalidRequestException, match="depth 8"):
        groups.create(HOME, "depth-8", parent_name=parent)


def test_a_group_has_at_most_a_hundred_children(groups: ThingGroups) -> None:
    for number in range(100):
        groups.create(HOME, f"pump-{number}", parent_name="pumps")
    with pytest.raises(InvalidRequestException, match="100 child groups"):
        groups.create(HOME, "pump-100", parent_name="pumps")
    groups.create(HOME, "pump-100", parent_name="pump-99")


def test_an_existing_group_with_other_properties_is_refused_with_the_difference(groups: ThingGroups) -> None:
    assert groups.create(HOME, "red", parent_name="lights") == groups.describe(HOME, "red")
    with pytest.raises(ResourceAlreadyExistsException, match="with different parent"):
        groups.create(HOME, "red")
    with pytest.raises(ResourceAlreadyExistsException, match="with different description"):
        groups.create(HOME, "red", parent_name="lights", description="x")
    with pytest.raises(ResourceAlreadyExistsException, match="with different attributes"):
        groups.create(HOME, "red", parent_name="lights", attributes={"a": "1"})


def test_an_update_changes_the_given_properties_and_raises_the_version(groups: ThingGroups) -> None:
    groups.update(HOME, "red", description="warm", attributes={"a": "1", "b": "2"})
    changed = groups.update(HOME, "red", attributes={"b": "", "c": "3"}, merge=True, expected_version=2)
    assert (changed.description, changed.attributes, changed.version) == ("warm", {"a": "1", "c": "3"}, 3)
    assert groups.update(HOME, "red").attributes == {"a": "1", "c": "3"}
    assert groups.update(HOME, "red", attributes={}).attributes == {}
    with pytest.raises(VersionConflictException, match="version=5, expectedVersion=4"):
        groups.update(HOME, "red", expected_version=4)
    with pytest.raises(InvalidRequestException, match="the maximum is 50"):
        groups.update(HOME, "red", attributes={str(number): "1" for number in range(51)})
    assert groups.describe(HOME, "red").version == 5


def test_a_thing_is_in_at_most_ten_groups(groups: ThingGroups) -> None:
    for number in range(11):
        groups.create(HOME, f"group-{number}")
    # Ancestors of groups do not count.
    groups.add_thing(HOME, "led", "lamp")
    for number in range(9):
        groups.add_thing(HOME, f"group-{number}", "lamp")
    with pytest.raises(InvalidRequestException, match="10 groups"):
        groups.add_thing(HOME, "group-9", "lamp")
    groups.remove_thing(HOME, "led", "lamp")
    groups.add_thing(HOME, "group-9", "lamp")
    assert of(groups, "lamp") == [f"group-{number}" for number in range(10)]


@pytest.mark.parametrize("other", ["lights", "red", "blue"])
def test_a_second_group_of_a_tree_is_refused_with_the_name_of_the_first(groups: ThingGroups, other: str) -> None:
    groups.add_thing(HOME, "led", "lamp")
    with pytest.raises(InvalidRequestException, match=r"in group led already.*Remove it from led first"):
        groups.add_thing(HOME, other, "lamp")
    assert of(groups, "lamp") == ["led"]


def test_an_update_of_a_things_groups_is_atomic(groups: ThingGroups) -> None:
    groups.add_thing(HOME, "led", "lamp")
    with pytest.raises(ResourceNotFoundException, match="Thing group nothing"):
        groups.update_groups_of(HOME, "lamp", add=["pumps", "nothing"], remove=["led"])
    assert of(groups, "lamp") == ["led"]
    groups.update_groups_of(HOME, "lamp", add=["pumps", "blue"], remove=["led", "red"])
    assert of(groups, "lamp") == ["pumps", "blue"]


def test_pages_of_a_things_groups_are_complete(groups: ThingGroups) -> None:
    for name in ("led", "pumps"):
        groups.add_thing(HOME, name, "lamp")
    first = groups.groups_of(HOME, "lamp", Window(limit=1))
    second = groups.groups_of(HOME, "lamp", Window(limit=1, after=first.next_after))
    assert (list(first.items), list(second.items), second.next_after) == (["led"], ["pumps"], None)


def test_groups_of_a_thing_can_be_read_and_changed_within_a_transaction(store: Store) -> None:
    with store.write() as tx:
        thing_groups.add_thing_in(tx, HOME, "led", "lamp")
        thing_groups.add_thing_in(tx, HOME, "pumps", "lamp")
        assert thing_groups.groups_of_in(tx, HOME, "lamp") == ["led", "pumps"]
        thing_groups.remove_thing_in(tx, HOME, "led", "lamp")
        assert thing_groups.groups_of_in(tx, HOME, "lamp") == ["pumps"]
        with pytest.raises(ResourceNotFoundException, match="Thing missing"):
            thing_groups.groups_of_in(tx, HOME, "missing")


def test_groups_and_things_of_other_accounts_are_not_visible(groups: ThingGroups) -> None:
    groups.create(OTHER_ACCOUNT, "elsewhere")
    with pytest.raises(ResourceNotFoundException, match="Thing group elsewhere"):
        groups.add_thing(HOME, "elsewhere", "lamp")
    with pytest.raises(ResourceNotFoundException, match="Thing lamp"):
        groups.add_thing(OTHER_ACCOUNT, "elsewhere", "lamp")
    with pytest.raises(InvalidRequestException, match="Parent thing group lights"):
        groups.create(OTHER_ACCOUNT, "red", parent_name="lights")


def test_a_group_is_deleted_with_its_memberships_policies_and_tags(
    groups: ThingGroups, policies: Policies, store: Store
) -> None:
    target = arn.thing_group(HOME, "led")
    groups.create(HOME, "led", parent_name="red", tags={"never": "used"})
    Tags(store).tag(HOME, target, {"team": "north"})
    groups.add_thing(HOME, "led", "lamp")
    policies.attach(HOME, "a", target)
    with pytest.raises(InvalidRequestException, match="still child groups"):
        groups.delete(HOME, "red")
    groups.delete(HOME, "led", expected_version=1)
    assert of(groups, "lamp") == []
    assert policies.targets_of(HOME, "a", ALL).items == []
    groups.create(HOME, "led")
    assert Tags(store).of(HOME, target) == {}


def test_a_group_has_at_most_two_policies_and_its_ancestors_their_own(policies: Policies) -> None:
    for name in ("a", "b"):
        policies.attach(HOME, name, arn.thing_group(HOME, "led"))
    with pytest.raises(LimitExceededException, match="2 policies"):
        policies.attach(HOME, "c", arn.thing_group(HOME, "led"))
    policies.attach(HOME, "c", arn.thing_group(HOME, "red"))
    policies.attach(HOME, "a", arn.thing_group(HOME, "lights"))

    def names(window: Window, *, recursive: bool = True) -> list[str]:
        found = policies.attached_to(HOME, arn.thing_group(HOME, "led"), window, recursive=recursive)
        return [policy.name for policy in found.items]

    assert names(ALL) == ["a", "b", "c"]
    assert names(Window(limit=2)) == ["a", "b"]
    assert names(Window(limit=2, after=2)) == ["c"]
    assert names(ALL, recursive=False) == ["a", "b"]


def test_inherited_policies_are_effective(
    groups: ThingGroups, things: Things, policies: Policies, store: Store
) -> None:
    authorization = Authorization(store, LiteralEngine())
    principal = add_certificate(store)
    groups.add_thing(HOME, "led", "lamp")
    policies.attach(HOME, "a", arn.thing_group(HOME, "led"))
    policies.attach(HOME, "b", arn.thing_group(HOME, "lights"))
    policies.attach(HOME, "a", arn.thing_group(HOME, "lights"))

    def effective(principal: str | None = None, thing_name: str | None = None) -> list[str]:
        found = authorization.effective_policies(HOME, principal=principal, thing_name=thing_name)
        return [version.policy_name for version in found]

    assert effective(thing_name="lamp") == ["a", "b"]
    assert effective(principal, "lamp") == []
    things.attach_principal(HOME, "lamp", principal)
    assert effective(principal, "lamp") == ["a", "b"]
    assert effective(principal) == []
    assert effective(arn.thing_group(HOME, "red")) == ["b", "a"]
    [answer] = authorization.test(
        HOME, [Question("PUBLISH", [TOPIC])], principal=arn.thing_group(HOME, "red"), policy_names_to_skip=["a"]
    )
    assert (answer.decision, answer.allowed_by) == ("ALLOWED", ["b"])


@pytest.mark.parametrize(
    ("change", "concerned"),
    [
        (lambda groups, _: groups.add_thing(HOME, "pumps", "camera"), ["camera"]),
        (lambda groups, _: groups.add_thing(HOME, "led", "lamp"), []),
        (lambda groups, _: groups.remove_thing(HOME, "led", "lamp"), ["lamp"]),
        (lambda groups, _: groups.remove_thing(HOME, "pumps", "lamp"), []),
        (lambda groups, _: groups.update_groups_of(HOME, "camera", add=["pumps"], remove=["blue"]), ["camera"]),
        (lambda groups, _: groups.delete(HOME, "led"), ["lamp"]),
        (lambda groups, _: groups.delete(HOME, "pumps"), []),
        (lambda groups, _: groups.create(HOME, "new", parent_name="led"), []),
        (lambda groups, _: groups.update(HOME, "led", description="x"), []),
        (lambda _, policies: policies.attach(HOME, "b", arn.thing_group(HOME, "lights")), ["lamp", "camera"]),
        (lambda _, policies: policies.attach(HOME, "b", arn.thing_group(HOME, "red")), ["lamp"]),
        (lambda _, policies: policies.attach(HOME, "a", arn.thing_group(HOME, "lights")), []),
        (lambda _, policies: policies.detach(HOME, "a", arn.thing_group(HOME, "lights")), ["lamp", "camera"]),
        (lambda _, policies: policies.detach(HOME, "b", arn.thing_group(HOME, "lights")), []),
    ],
)
def test_only_things_whose_inheritance_changes_are_announced(
    groups: ThingGroups,
    policies: Policies,
    announced: list[Change],
    change: Callable[[ThingGroups, Policies], None],
    concerned: list[str],
) -> None:
    groups.add_thing(HOME, "led", "lamp")
    groups.add_thing(HOME, "blue", "camera")
    policies.attach(HOME, "a", arn.thing_group(HOME, "lights"))
    announced.clear()
    change(groups, policies)
    assert announced == [of_thing(name) for name in concerned]


def test_a_change_of_a_large_group_announces_the_whole_realm(
    groups: ThingGroups, policies: Policies, store: Store, clock: SetClock, announced: list[Change]
) -> None:
    things = Things(store, clock)
    for number in range(MAX_NAMED_THINGS + 1):
        things.create(HOME, f"lamp-{number}")
        groups.add_thing(HOME, "led", f"lamp-{number}")
    announced.clear()
    policies.attach(HOME, "a", arn.thing_group(HOME, "lights"))
    assert announced == [Change(HOME, ChangeKind.REALM, "")]
    groups.remove_thing(HOME, "led", "lamp-0")
    announced.clear()
    policies.detach(HOME, "a", arn.thing_group(HOME, "lights"))
    assert announced == [of_thing(f"lamp-{number}") for number in range(1, MAX_NAMED_THINGS + 1)]


def test_a_policy_can_be_detached_from_a_deleted_group(policies: Policies) -> None:
    gone = arn.thing_group(HOME, "gone")
    policies.detach(HOME, "a", gone)
    with pytest.raises(ResourceNotFoundException, match="Thing group gone"):
        policies.attach(HOME, "a", gone)
    with pytest.raises(ResourceNotFoundException, match="Thing group gone"):
        policies.attached_to(HOME, gone, ALL, recursive=True)


def test_a_thing_may_inherit_more_policies_than_a_certificate_can_have(
    groups: ThingGroups, policies: Policies, store: Store
) -> None:
    parent = None
    for depth in range(6):
        groups.create(HOME, f"depth-{depth}", parent_name=parent)
        parent = f"depth-{depth}"
        for each in ("one", "two"):
            policies.create(HOME, f"{parent}-{each}", f"allow {TOPIC}")
            policies.attach(HOME, f"{parent}-{each}", arn.thing_group(HOME, parent))
    lowest = arn.thing_group(HOME, "depth-5")
    authorization = Authorization(store, LiteralEngine())
    question = Question("PUBLISH", [TOPIC])
    assert len(authorization.test(HOME, [question], principal=lowest)[0].allowed_by) == 12
    with pytest.raises(LimitExceededException, match="13 policies"):
        authorization.test(HOME, [question], principal=lowest, policy_names_to_add=["a"])
