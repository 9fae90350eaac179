from __future__ import annotations

from typing import Any

import pytest

from sekisho import arn
from sekisho.change import Change, ChangeKind
from sekisho.errors import (
    InvalidRequestException,
    ResourceAlreadyExistsException,
    ResourceNotFoundException,
    VersionConflictException,
)
from sekisho.pages import Window
from sekisho.principals.model import ThingPrincipalType
from sekisho.store.store import Store
from sekisho.things.rules import Things
from tests.unit.features.arrange import (
    HOME,
    OTHER_ACCOUNT,
    SAME_ACCOUNT_ELSEWHERE,
    SetClock,
    add_certificate,
    certificate_id,
)

EXCLUSIVE = ThingPrincipalType.EXCLUSIVE_THING
NON_EXCLUSIVE = ThingPrincipalType.NON_EXCLUSIVE_THING
IDENTITY = "eu-central-1:0a1b2c3d-0000-4000-8000-00000000abcd"
ALL = Window(limit=250)


@pytest.fixture
def things(store: Store, clock: SetClock) -> Things:
    return Things(store, clock)


def names(things: Things, **how: Any) -> list[str]:
    return [thing.name for thing in things.list(HOME, ALL, **how).items]


def test_a_new_thing_has_version_1_and_an_id_of_its_own(things: Things) -> None:
    pump = things.create(HOME, "pump", attributes={"site": "north"})
    valve = things.create(HOME, "valve")
    assert pump.version == 1
    assert pump.thing_id != valve.thing_id
    assert things.describe(HOME, "pump") == pump


def test_an_identical_thing_is_returned_and_not_created_again(things: Things) -> None:
    first = things.create(HOME, "pump", attributes={"site": "north"})
    assert things.create(HOME, "pump", attributes={"site": "north"}) == first


def test_the_same_name_with_other_attributes_is_refused_in_the_words_of_aws(things: Things) -> None:
    things.create(HOME, "pump")
    with pytest.raises(ResourceAlreadyExistsException) as refusal:
        things.create(HOME, "pump", attributes={"site": "north"})
    assert refusal.value.message == "Thing pump already exists in account with different attributes"
    assert refusal.value.resource_arn == arn.thing(HOME, "pump")


@pytest.mark.parametrize("option", ["type_name", "billing_group_name"])
def test_a_type_or_billing_group_that_does_not_exist_is_not_found_by_name(things: Things, option: str) -> None:
    with pytest.raises(ResourceNotFoundException, match="boiler"):
        things.create(HOME, "pump", **{option: "boiler"})  # type: ignore[arg-type]
    assert names(things) == []


def test_things_of_other_accounts_and_regions_are_not_visible(things: Things) -> None:
    things.create(OTHER_ACCOUNT, "pump")
    things.create(SAME_ACCOUNT_ELSEWHERE, "pump")
    assert names(things) == []
    with pytest.raises(ResourceNotFoundException, match="Thing pump cannot be found"):
        things.describe(HOME, "pump")


def test_a_thing_without_a_type_has_at_most_three_attributes(things: Things) -> None:
    things.create(HOME, "pump", attributes={"a": "1", "b": "2", "c": "3"})
    with pytest.raises(InvalidRequestException, match="4 attributes"):
        things.create(HOME, "valve", attributes={"a": "1", "b": "2", "c": "3", "d": "4"})
    with pytest.raises(InvalidRequestException, match="4 attributes"):
        things.update(HOME, "pump", attributes={"d": "4"}, merge=True)
    assert things.describe(HOME, "pump").attributes == {"a": "1", "b": "2", "c": "3"}


def test_an_update_replaces_all_attributes_unless_it_merges_and_an_empty_value_removes_one(things: Things) -> None:
    things.create(HOME, "pump", attributes={"a": "1", "b": "2"})
    things.update(HOME, "pump", attributes={"b": "", "c": "3"}, merge=True)
    assert things.describe(HOME, "pump").attributes == {"a": "1", "c": "3"}
    things.update(HOME, "pump", attributes={"d": "4"})
    assert things.describe(HOME, "pump").attributes == {"d": "4"}
    things.update(HOME, "pump", attributes=None)
    assert things.describe(HOME, "pump").attributes == {"d": "4"}
    things.update(HOME, "pump", attributes={})
    assert things.describe(HOME, "pump").attributes == {}


def test_every_update_raises_the_version_and_is_announced(things: Things, announced: list[Change]) -> None:
    things.create(HOME, "pump")
    announced.clear()
    things.update(HOME, "pump", attributes={"a": "1"}, expected_version=1)
    assert things.describe(HOME, "pump").version == 2
    assert announced == [Change(HOME, ChangeKind.THING, "pump")]


def test_an_update_or_deletion_with_another_expected_version_changes_nothing(
    things: Things, announced: list[Change]
) -> None:
    things.create(HOME, "pump")
    announced.clear()
    with pytest.raises(VersionConflictException, match="does not match the expected version"):
        things.update(HOME, "pump", attributes={"a": "1"}, expected_version=7)
    with pytest.raises(VersionConflictException):
        things.delete(HOME, "pump", expected_version=7)
    assert things.describe(HOME, "pump").attributes == {}
    assert announced == []


def test_giving_and_removing_a_type_at_once_is_refused(things: Things) -> None:
    things.create(HOME, "pump")
    with pytest.raises(InvalidRequestException, match="contradict"):
        things.update(HOME, "pump", type_name="boiler", remove_type=True)


def test_updating_a_missing_thing_is_refused_and_deleting_it_is_not(things: Things) -> None:
    with pytest.raises(ResourceNotFoundException):
        things.update(HOME, "pump", attributes={})
    things.delete(HOME, "pump")
    things.delete(HOME, "pump", expected_version=3)


def test_a_deleted_thing_is_gone_and_announced(things: Things, announced: list[Change]) -> None:
    things.create(HOME, "pump")
    announced.clear()
    things.delete(HOME, "pump", expected_version=1)
    assert names(things) == []
    assert announced == [Change(HOME, ChangeKind.THING, "pump")]


def test_a_thing_with_principals_cannot_be_deleted(things: Things, store: Store) -> None:
    things.create(HOME, "pump")
    things.attach_principal(HOME, "pump", add_certificate(store))
    with pytest.raises(InvalidRequestException) as refusal:
        things.delete(HOME, "pump")
    assert refusal.value.message == "Cannot delete. Thing pump is still attached to one or more principals"


def test_things_are_listed_by_attribute_by_its_value_or_its_prefix(things: Things) -> None:
    things.create(HOME, "a", attributes={"site": "north-1"})
    things.create(HOME, "b", attributes={"site": "north-2"})
    things.create(HOME, "c", attributes={"floor": "north-1"})
    assert names(things) == ["a", "b", "c"]
    assert names(things, attribute_name="site", attribute_value="north-1") == ["a"]
    assert names(things, attribute_name="site", attribute_value="north") == []
    assert names(things, attribute_name="site", attribute_value="north", value_is_prefix=True) == ["a", "b"]
    assert names(things, attribute_name="site") == ["a", "b"]
    assert names(things, type_name="boiler") == []


def test_a_list_by_value_without_attribute_or_by_type_and_attribute_is_refused(things: Things) -> None:
    with pytest.raises(InvalidRequestException, match="attributeName"):
        things.list(HOME, ALL, attribute_value="north")
    with pytest.raises(InvalidRequestException, match="combination of attribute and thing type"):
        things.list(HOME, ALL, attribute_name="site", type_name="boiler")


def test_attaching_and_detaching_a_certificate_are_announced_once(
    things: Things, store: Store, announced: list[Change]
) -> None:
    things.create(HOME, "pump")
    principal = add_certificate(store)
    announced.clear()
    things.attach_principal(HOME, "pump", principal)
    things.attach_principal(HOME, "pump", principal)
    change = Change(HOME, ChangeKind.CERTIFICATE, certificate_id(1))
    assert announced == [change]
    things.detach_principal(HOME, "pump", principal)
    things.detach_principal(HOME, "pump", principal)
    assert announced == [change, change]
    assert list(things.principals_of(HOME, "pump", ALL).items) == []


def test_a_certificate_is_kept_under_its_id_in_lower_case(things: Things, store: Store) -> None:
    things.create(HOME, "pump")
    principal = add_certificate(store, 0xABCDEF)
    head, _, digits = principal.rpartition("/")
    things.attach_principal(HOME, "pump", f"{head}/0x{digits.upper()}")
    assert [found.principal for found in things.principals_of(HOME, "pump", ALL).items] == [principal]


def test_a_cognito_identity_is_a_principal(things: Things, announced: list[Change]) -> None:
    things.create(HOME, "pump")
    announced.clear()
    things.attach_principal(HOME, "pump", IDENTITY)
    assert [found.thing_name for found in things.things_of(HOME, IDENTITY, ALL).items] == ["pump"]
    assert announced == []


def test_a_missing_thing_or_certificate_is_not_found(things: Things, store: Store) -> None:
    principal = add_certificate(store)
    unknown = arn.certificate(HOME, certificate_id(2))
    with pytest.raises(ResourceNotFoundException, match="Thing pump"):
        things.attach_principal(HOME, "pump", principal)
    with pytest.raises(ResourceNotFoundException, match="Thing pump"):
        things.detach_principal(HOME, "pump", principal)
    with pytest.raises(ResourceNotFoundException, match="Failed to list principals for thing pump because"):
        things.principals_of(HOME, "pump", ALL)
    things.create(HOME, "pump")
    for refused in (
        lambda: things.attach_principal(HOME, "pump", unknown),
        lambda: things.detach_principal(HOME, "pump", unknown),
        lambda: things.things_of(HOME, unknown, ALL),
    ):
        with pytest.raises(ResourceNotFoundException, match=r"The certificate given in the principal does not exist\."):
            refused()


@pytest.mark.parametrize(
    ("principal", "says"),
    [
        (certificate_id(1), "Give the certificate's ARN: arn:aws:iot:eu-central-1:123456789012:cert/0"),
        (arn.certificate(HOME, "abc"), "64 hexadecimal digits"),
        (arn.certificate(OTHER_ACCOUNT, certificate_id(1)), "account 210987654321"),
        (arn.certificate(SAME_ACCOUNT_ELSEWHERE, certificate_id(1)), "region us-east-1"),
        (arn.thing(HOME, "pump"), "is not a principal"),
        ("arn:aws:iam::123456789012:user/me", "is not a principal"),
        ("", "is not a principal"),
    ],
)
def test_a_principal_outside_the_account_and_region_is_refused(things: Things, principal: str, says: str) -> None:
    things.create(HOME, "pump")
    with pytest.raises(InvalidRequestException) as refusal:
        things.attach_principal(HOME, "pump", principal)
    assert says in refusal.value.message


def test_a_certificate_may_have_many_things_unless_one_is_exclusive(things: Things, store: Store) -> None:
    for name in ("pump", "valve", "fan"):
        things.create(HOME, name)
    shared = add_certificate(store, 1)
    things.attach_principal(HOME, "pump", shared)
    things.attach_principal(HOME, "valve", shared)
    with pytest.raises(InvalidRequestException, match="Detach it from all things"):
        things.attach_principal(HOME, "fan", shared, EXCLUSIVE)
    own = add_certificate(store, 2)
    things.attach_principal(HOME, "fan", own, EXCLUSIVE)
    with pytest.raises(InvalidRequestException, match="Detach it from fan"):
        things.attach_principal(HOME, "pump", own)
    with pytest.raises(InvalidRequestException, match="Detach it from fan"):
        things.attach_principal(HOME, "pump", own, EXCLUSIVE)
    things.detach_principal(HOME, "fan", own)
    things.attach_principal(HOME, "pump", own)


def test_the_type_of_an_attachment_changes_only_by_detaching_first(things: Things, store: Store) -> None:
    things.create(HOME, "pump")
    own = add_certificate(store)
    things.attach_principal(HOME, "pump", own, EXCLUSIVE)
    things.attach_principal(HOME, "pump", own)
    things.attach_principal(HOME, "pump", own, EXCLUSIVE)
    with pytest.raises(InvalidRequestException, match=r"EXCLUSIVE_THING\. Detach it"):
        things.attach_principal(HOME, "pump", own, NON_EXCLUSIVE)


def test_a_cognito_identity_cannot_be_exclusive(things: Things) -> None:
    things.create(HOME, "pump")
    with pytest.raises(InvalidRequestException, match=r"X\.509"):
        things.attach_principal(HOME, "pump", IDENTITY, EXCLUSIVE)


def test_pages_of_attachments_of_one_type_are_complete_without_repetition(things: Things, store: Store) -> None:
    things.create(HOME, "pump")
    exclusive = []
    for number in range(9):
        principal = add_certificate(store, number)
        if number % 3 == 2:
            exclusive.append(principal)
        things.attach_principal(HOME, "pump", principal, EXCLUSIVE if number % 3 == 2 else NON_EXCLUSIVE)
    found: list[str] = []
    window = Window(limit=2)
    while True:
        page = things.principals_of(HOME, "pump", window, EXCLUSIVE)
        assert len(page.items) <= 2
        found += [attachment.principal for attachment in page.items]
        if page.next_after is None:
            break
        window = Window(limit=2, after=page.next_after)
    assert found == exclusive
