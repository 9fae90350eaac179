"""Thing groups, as boto3 and the AWS CLI see them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sekisho import arn
from tests.contract.arrange import ANYTHING, add_certificate, allow, deny, document
from tests.contract.conftest import Account


def make_tree(account: Account) -> None:
    """Make the groups lights, red (with incandescent) and blue in it; and pumps beside lights."""
    for name, parent in (("lights", None), ("red", "lights"), ("blue", "lights"), ("incandescent", "red")):
        options: Any = {} if parent is None else {"parentGroupName": parent}
        account.iot.create_thing_group(thingGroupName=name, **options)
    account.iot.create_thing_group(thingGroupName="pumps")


def test_a_thing_group_is_made_described_changed_and_deleted(account: Account) -> None:
    iot = account.iot
    iot.create_thing_group(thingGroupName="lights")
    iot.create_thing_group(thingGroupName="red", parentGroupName="lights")
    made = iot.create_thing_group(
        thingGroupName="incandescent",
        parentGroupName="red",
        thingGroupProperties={
            "thingGroupDescription": "hot",
            "attributePayload": {"attributes": {"floor": "1", "site": "north"}},
        },
        tags=[{"Key": "team", "Value": "north"}],
    )
    prefix = f"arn:aws:iot:eu-central-1:{account.realm.account_id}:thinggroup"
    assert made["thingGroupArn"] == f"{prefix}/incandescent"
    found = iot.describe_thing_group(thingGroupName="incandescent")
    assert (found["thingGroupId"], found["version"]) == (made["thingGroupId"], 1)
    assert found["thingGroupProperties"] == {
        "thingGroupDescription": "hot",
        "attributePayload": {"attributes": {"floor": "1", "site": "north"}},
    }
    metadata = found["thingGroupMetadata"]
    assert metadata["parentGroupName"] == "red"
    assert metadata["rootToParentThingGroups"] == [
        {"groupName": "lights", "groupArn": f"{prefix}/lights"},
        {"groupName": "red", "groupArn": f"{prefix}/red"},
    ]
    assert "creationDate" in metadata
    root = iot.describe_thing_group(thingGroupName="lights")
    assert "parentGroupName" not in root["thingGroupMetadata"]
    assert root["thingGroupMetadata"]["rootToParentThingGroups"] == []
    assert root["thingGroupProperties"] == {}

    changed = iot.update_thing_group(
        thingGroupName="incandescent",
        thingGroupProperties={"attributePayload": {"attributes": {"floor": "", "room": "7"}, "merge": True}},
        expectedVersion=1,
    )
    assert changed["version"] == 2
    assert iot.describe_thing_group(thingGroupName="incandescent")["thingGroupProperties"] == {
        "thingGroupDescription": "hot",
        "attributePayload": {"attributes": {"room": "7", "site": "north"}},
    }
    iot.update_thing_group(
        thingGroupName="incandescent",
        thingGroupProperties={"thingGroupDescription": "warm", "attributePayload": {"attributes": {"room": "8"}}},
    )
    assert iot.describe_thing_group(thingGroupName="incandescent")["thingGroupProperties"] == {
        "thingGroupDescription": "warm",
        "attributePayload": {"attributes": {"room": "8"}},
    }
    assert iot.list_tags_for_resource(resourceArn=made["thingGroupArn"])["tags"] == [{"Key": "team", "Value": "north"}]

    with pytest.raises(iot.exceptions.InvalidRequestException) as refusal:
        iot.delete_thing_group(thingGroupName="red")
    message = "Cannot delete thing group : red when there are still child groups attached to it"
    assert refusal.value.response["Error"]["Message"] == message
    iot.delete_thing_group(thingGroupName="incandescent", expectedVersion=3)
    iot.delete_thing_group(thingGroupName="incandescent")
    iot.delete_thing_group(thingGroupName="red")
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.describe_thing_group(thingGroupName="red")


def test_the_same_group_again_succeeds_and_another_of_its_name_conflicts(account: Account) -> None:
    iot = account.iot
    make_tree(account)
    first = iot.describe_thing_group(thingGroupName="red")
    again = iot.create_thing_group(thingGroupName="red", parentGroupName="lights")
    assert again["thingGroupId"] == first["thingGroupId"]
    for other in (
        {},
        {"parentGroupName": "pumps"},
        {"parentGroupName": "lights", "thingGroupProperties": {"thingGroupDescription": "x"}},
        {"parentGroupName": "lights", "thingGroupProperties": {"attributePayload": {"attributes": {"a": "1"}}}},
    ):
        options: Any = other
        with pytest.raises(iot.exceptions.ResourceAlreadyExistsException) as refusal:
            iot.create_thing_group(thingGroupName="red", **options)
        assert refusal.value.response["resourceArn"] == first["thingGroupArn"]


def test_groups_are_listed_by_parent_depth_and_beginning_of_the_name(account: Account) -> None:
    make_tree(account)

    def listed(**options: Any) -> list[str]:
        pages = account.iot.get_paginator("list_thing_groups").paginate(**options, PaginationConfig={"PageSize": 2})
        return [group["groupName"] for page in pages for group in page["thingGroups"]]

    assert listed() == ["lights", "red", "blue", "incandescent", "pumps"]
    assert listed(recursive=False) == ["lights", "pumps"]
    assert listed(parentGroup="lights") == ["red", "blue"]
    assert listed(parentGroup="lights", recursive=True) == ["red", "blue", "incandescent"]
    assert listed(parentGroup="lights", recursive=True, namePrefixFilter="in") == ["incandescent"]
    assert listed(parentGroup="pumps", recursive=True) == []
    assert listed(namePrefixFilter="b") == ["blue"]
    [shown] = account.iot.list_thing_groups(namePrefixFilter="blue")["thingGroups"]
    assert shown == {"groupName": "blue", "groupArn": arn.thing_group(account.realm, "blue")}


def test_things_join_and_leave_groups_by_name_or_arn(account: Account) -> None:
    iot = account.iot
    make_tree(account)
    for name in ("one", "two", "three"):
        iot.create_thing(thingName=name)
    iot.add_thing_to_thing_group(thingGroupName="lights", thingName="one")
    iot.add_thing_to_thing_group(
        thingGroupArn=arn.thing_group(account.realm, "incandescent"),
        thingArn=arn.thing(account.realm, "two"),
        overrideDynamicGroups=True,
    )
    for _ in range(2):
        iot.add_thing_to_thing_group(thingGroupName="pumps", thingName="two")
    iot.add_thing_to_thing_group(thingGroupName="blue", thingName="three")

    def things(group: str, **options: Any) -> list[str]:
        pages = iot.get_paginator("list_things_in_thing_group").paginate(
            thingGroupName=group, **options, PaginationConfig={"PageSize": 2}
        )
        return [name for page in pages for name in page["things"]]

    def groups(thing: str) -> list[str]:
        pages = iot.get_paginator("list_thing_groups_for_thing").paginate(
            thingName=thing, PaginationConfig={"PageSize": 1}
        )
        return [group["groupName"] for page in pages for group in page["thingGroups"]]

    assert things("lights") == ["one"]
    assert things("lights", recursive=True) == ["one", "two", "three"]
    assert things("red", recursive=True) == ["two"]
    assert things("red") == []
    assert groups("two") == ["incandescent", "pumps"]

    for _ in range(2):
        iot.remove_thing_from_thing_group(thingGroupName="incandescent", thingName="two")
    assert (things("lights", recursive=True), groups("two")) == (["one", "three"], ["pumps"])
    iot.update_thing_groups_for_thing(
        thingName="two", thingGroupsToAdd=["red"], thingGroupsToRemove=["pumps"], overrideDynamicGroups=False
    )
    assert groups("two") == ["red"]
    iot.delete_thing(thingName="two")
    assert things("lights", recursive=True) == ["one", "three"]
    iot.delete_thing_group(thingGroupName="blue")
    assert things("lights", recursive=True) == ["one"]
    assert groups("three") == []


def test_a_thing_is_in_one_group_of_a_tree_at_most(account: Account) -> None:
    iot = account.iot
    make_tree(account)
    iot.create_thing(thingName="one")
    iot.add_thing_to_thing_group(thingGroupName="incandescent", thingName="one")
    for other in ("red", "lights", "blue"):
        with pytest.raises(iot.exceptions.InvalidRequestException, match="in the same tree"):
            iot.add_thing_to_thing_group(thingGroupName=other, thingName="one")
    with pytest.raises(iot.exceptions.InvalidRequestException, match="in the same tree"):
        iot.update_thing_groups_for_thing(thingName="one", thingGroupsToAdd=["pumps", "blue"])
    assert [g["groupName"] for g in iot.list_thing_groups_for_thing(thingName="one")["thingGroups"]] == ["incandescent"]
    iot.update_thing_groups_for_thing(
        thingName="one", thingGroupsToAdd=["pumps", "blue"], thingGroupsToRemove=["incandescent"]
    )
    assert [g["groupName"] for g in iot.list_thing_groups_for_thing(thingName="one")["thingGroups"]] == [
        "pumps",
        "blue",
    ]


def test_each_refusal_has_its_class(account: Account, other_account: Account) -> None:
    iot = account.iot
    refused = iot.exceptions
    make_tree(other_account)
    iot.create_thing(thingName="one")
    for call in (
        lambda: iot.describe_thing_group(thingGroupName="lights"),
        lambda: iot.update_thing_group(thingGroupName="lights", thingGroupProperties={}),
        lambda: iot.list_thing_groups(parentGroup="lights"),
        lambda: iot.list_things_in_thing_group(thingGroupName="lights"),
        lambda: iot.add_thing_to_thing_group(thingGroupName="lights", thingName="one"),
        lambda: iot.remove_thing_from_thing_group(thingGroupName="lights", thingName="one"),
        lambda: iot.update_thing_groups_for_thing(thingName="one", thingGroupsToAdd=["lights"]),
    ):
        with pytest.raises(refused.ResourceNotFoundException, match="Thing group lights does not exist"):
            call()
    with pytest.raises(refused.InvalidRequestException, match="Parent thing group lights does not exist"):
        iot.create_thing_group(thingGroupName="red", parentGroupName="lights")
    iot.create_thing_group(thingGroupName="lights")
    for call in (
        lambda: iot.list_thing_groups_for_thing(thingName="two"),
        lambda: iot.add_thing_to_thing_group(thingGroupName="lights", thingName="two"),
        lambda: iot.remove_thing_from_thing_group(thingGroupName="lights", thingName="two"),
        lambda: iot.update_thing_groups_for_thing(thingName="two"),
    ):
        with pytest.raises(refused.ResourceNotFoundException, match="Thing two cannot be found"):
            call()
    with pytest.raises(refused.VersionConflictException):
        iot.update_thing_group(thingGroupName="lights", thingGroupProperties={}, expectedVersion=2)
    with pytest.raises(refused.VersionConflictException):
        iot.delete_thing_group(thingGroupName="lights", expectedVersion=2)
    with pytest.raises(refused.InvalidRequestException, match=other_account.realm.account_id):
        iot.add_thing_to_thing_group(thingGroupArn=arn.thing_group(other_account.realm, "lights"), thingName="one")
    with pytest.raises(refused.InvalidRequestException, match="not the ARN of a thinggroup"):
        iot.add_thing_to_thing_group(thingGroupArn=arn.thing(account.realm, "lights"), thingName="one")
    with pytest.raises(refused.InvalidRequestException, match="its name or its ARN"):
        iot.update_thing_groups_for_thing(thingGroupsToAdd=["lights"])


def test_policies_are_attached_to_groups_and_listed_along_the_tree(account: Account) -> None:
    iot = account.iot
    make_tree(account)
    for name in ("a", "b", "c", "d"):
        iot.create_policy(policyName=name, policyDocument=ANYTHING)

    def target(group: str) -> str:
        return arn.thing_group(account.realm, group)

    for policy, group in (("a", "lights"), ("b", "red"), ("c", "incandescent"), ("a", "incandescent")):
        iot.attach_policy(policyName=policy, target=target(group))
    with pytest.raises(iot.exceptions.LimitExceededException, match="2 policies"):
        iot.attach_policy(policyName="d", target=target("incandescent"))

    def listed(group: str, **options: Any) -> list[str]:
        pages = iot.get_paginator("list_attached_policies").paginate(
            target=target(group), **options, PaginationConfig={"PageSize": 2}
        )
        return [policy["policyName"] for page in pages for policy in page["policies"]]

    assert listed("incandescent") == ["c", "a"]
    assert listed("incandescent", recursive=True) == ["c", "a", "b"]
    assert listed("red", recursive=True) == ["b", "a"]
    assert listed("blue", recursive=True) == ["a"]
    assert iot.list_targets_for_policy(policyName="a")["targets"] == [target("lights"), target("incandescent")]
    with pytest.raises(iot.exceptions.DeleteConflictException):
        iot.delete_policy(policyName="c")
    iot.detach_policy(policyName="a", target=target("lights"))
    iot.delete_thing_group(thingGroupName="incandescent")
    assert iot.list_targets_for_policy(policyName="a")["targets"] == []
    iot.delete_policy(policyName="c")


def test_inherited_policies_are_effective(account: Account) -> None:
    iot = account.iot
    make_tree(account)
    principal = add_certificate(account)
    iot.create_thing(thingName="lamp")
    iot.attach_thing_principal(thingName="lamp", principal=principal)
    iot.add_thing_to_thing_group(thingGroupName="incandescent", thingName="lamp")
    topic = f"arn:aws:iot:eu-central-1:{account.realm.account_id}:topic/a"
    iot.create_policy(policyName="allows", policyDocument=document(allow("iot:Publish", topic)))
    iot.create_policy(policyName="denies", policyDocument=document(deny("iot:Publish", topic)))
    iot.attach_policy(policyName="allows", target=arn.thing_group(account.realm, "lights"))

    def effective(**options: Any) -> list[str]:
        return [policy["policyName"] for policy in iot.get_effective_policies(**options)["effectivePolicies"]]

    def decision(who: str = principal, **options: Any) -> str:
        [result] = iot.test_authorization(
            principal=who, authInfos=[{"actionType": "PUBLISH", "resources": [topic]}], **options
        )["authResults"]
        return result["authDecision"]

    assert effective(thingName="lamp") == ["allows"]
    assert effective(principal=principal, thingName="lamp") == ["allows"]
    assert effective(principal=principal) == []
    assert effective(principal=arn.thing_group(account.realm, "red")) == ["allows"]
    assert decision(clientId="lamp") == "ALLOWED"
    assert decision(clientId="another") == "IMPLICIT_DENY"
    assert decision(clientId="lamp", policyNamesToSkip=["allows"]) == "IMPLICIT_DENY"
    assert decision(arn.thing_group(account.realm, "red")) == "ALLOWED"
    iot.attach_policy(policyName="denies", target=arn.thing_group(account.realm, "incandescent"))
    assert effective(thingName="lamp") == ["denies", "allows"]
    assert decision(clientId="lamp") == "EXPLICIT_DENY"
    iot.remove_thing_from_thing_group(thingGroupName="incandescent", thingName="lamp")
    assert (effective(thingName="lamp"), decision(clientId="lamp")) == ([], "IMPLICIT_DENY")


def test_the_aws_cli_builds_a_tree_and_puts_a_thing_into_it(account: Account) -> None:
    account.iot.create_thing(thingName="lamp")
    for arguments in (
        ("create-thing-group", "--thing-group-name", "lights"),
        ("create-thing-group", "--thing-group-name", "red", "--parent-group-name", "lights"),
        ("add-thing-to-thing-group", "--thing-group-name", "red", "--thing-name", "lamp"),
    ):
        done = account.aws("iot", *arguments)
        assert done.returncode == 0, done.stderr
    listed = account.aws("iot", "list-things-in-thing-group", "--thing-group-name", "lights", "--recursive")
    assert json.loads(listed.stdout)["things"] == ["lamp"]
