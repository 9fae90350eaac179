"""Billing groups, as boto3 and the AWS CLI see them."""

from __future__ import annotations

import json

import pytest

from tests.contract.conftest import Account


def test_a_billing_group_is_made_described_changed_and_deleted(account: Account) -> None:
    iot = account.iot
    made = iot.create_billing_group(
        billingGroupName="north",
        billingGroupProperties={"billingGroupDescription": "plant"},
        tags=[{"Key": "cost", "Value": "1"}],
    )
    assert made["billingGroupArn"] == f"arn:aws:iot:eu-central-1:{account.realm.account_id}:billinggroup/north"
    found = iot.describe_billing_group(billingGroupName="north")
    assert (found["billingGroupId"], found["version"]) == (made["billingGroupId"], 1)
    assert found["billingGroupProperties"] == {"billingGroupDescription": "plant"}
    assert "creationDate" in found["billingGroupMetadata"]
    changed = iot.update_billing_group(
        billingGroupName="north", billingGroupProperties={"billingGroupDescription": "the plant"}, expectedVersion=1
    )
    assert changed["version"] == 2
    assert iot.describe_billing_group(billingGroupName="north")["billingGroupProperties"] == {
        "billingGroupDescription": "the plant"
    }
    assert iot.list_tags_for_resource(resourceArn=made["billingGroupArn"])["tags"] == [{"Key": "cost", "Value": "1"}]
    iot.delete_billing_group(billingGroupName="north", expectedVersion=2)
    iot.delete_billing_group(billingGroupName="north")
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.describe_billing_group(billingGroupName="north")


def test_the_same_billing_group_again_succeeds_and_another_of_its_name_conflicts(account: Account) -> None:
    iot = account.iot
    first = iot.create_billing_group(billingGroupName="north")
    assert iot.create_billing_group(billingGroupName="north")["billingGroupId"] == first["billingGroupId"]
    with pytest.raises(iot.exceptions.ResourceAlreadyExistsException) as refusal:
        iot.create_billing_group(billingGroupName="north", billingGroupProperties={"billingGroupDescription": "x"})
    assert refusal.value.response["resourceArn"] == first["billingGroupArn"]


def test_a_thing_is_in_one_billing_group_at_most(account: Account) -> None:
    iot = account.iot
    for name in ("north", "south"):
        iot.create_billing_group(billingGroupName=name)
    iot.create_thing(thingName="one", billingGroupName="north")
    made = iot.create_thing(thingName="two")
    iot.add_thing_to_billing_group(
        billingGroupArn=iot.describe_billing_group(billingGroupName="north")["billingGroupArn"],
        thingArn=made["thingArn"],
    )
    assert iot.describe_thing(thingName="two")["billingGroupName"] == "north"
    assert iot.list_things_in_billing_group(billingGroupName="north")["things"] == ["one", "two"]
    with pytest.raises(iot.exceptions.InvalidRequestException, match="things are in it"):
        iot.delete_billing_group(billingGroupName="north")

    iot.add_thing_to_billing_group(billingGroupName="south", thingName="two")
    assert iot.list_things_in_billing_group(billingGroupName="north")["things"] == ["one"]
    iot.remove_thing_from_billing_group(billingGroupName="north", thingName="two")
    assert iot.describe_thing(thingName="two")["billingGroupName"] == "south"
    iot.remove_thing_from_billing_group(billingGroupName="south", thingName="two")
    assert "billingGroupName" not in dict(iot.describe_thing(thingName="two"))
    iot.delete_thing(thingName="one")
    iot.delete_billing_group(billingGroupName="north")


def test_billing_groups_are_paged_and_found_by_the_beginning_of_their_names(account: Account) -> None:
    iot = account.iot
    names = ["plant-b", "plant-a", "office", "plant"]
    for name in names:
        iot.create_billing_group(billingGroupName=name)

    def listed(**options: str) -> list[str]:
        pages = iot.get_paginator("list_billing_groups").paginate(**options, PaginationConfig={"PageSize": 2})
        return [group["groupName"] for page in pages for group in page["billingGroups"]]

    assert listed() == names
    assert listed(namePrefixFilter="plant") == ["plant-b", "plant-a", "plant"]
    assert listed(namePrefixFilter="plant-") == ["plant-b", "plant-a"]


def test_each_refusal_has_its_class(account: Account, other_account: Account) -> None:
    iot = account.iot
    refused = iot.exceptions
    iot.create_thing(thingName="one")
    other_account.iot.create_billing_group(billingGroupName="north")
    for call in (
        lambda: iot.describe_billing_group(billingGroupName="north"),
        lambda: iot.update_billing_group(billingGroupName="north", billingGroupProperties={}),
        lambda: iot.list_things_in_billing_group(billingGroupName="north"),
        lambda: iot.add_thing_to_billing_group(billingGroupName="north", thingName="one"),
        lambda: iot.remove_thing_from_billing_group(billingGroupName="north", thingName="one"),
        lambda: iot.create_thing(thingName="two", billingGroupName="north"),
    ):
        with pytest.raises(refused.ResourceNotFoundException, match="Billing group north cannot be found"):
            call()
    made = iot.create_billing_group(billingGroupName="north")
    with pytest.raises(refused.ResourceNotFoundException, match="Thing two cannot be found"):
        iot.add_thing_to_billing_group(billingGroupName="north", thingName="two")
    with pytest.raises(refused.VersionConflictException):
        iot.update_billing_group(billingGroupName="north", billingGroupProperties={}, expectedVersion=2)
    with pytest.raises(refused.VersionConflictException):
        iot.delete_billing_group(billingGroupName="north", expectedVersion=2)
    with pytest.raises(refused.InvalidRequestException, match="its name or its ARN"):
        iot.add_thing_to_billing_group(thingName="one")
    with pytest.raises(refused.InvalidRequestException, match="two different resources"):
        iot.add_thing_to_billing_group(
            billingGroupName="south", billingGroupArn=made["billingGroupArn"], thingName="one"
        )


def test_the_aws_cli_puts_a_thing_into_a_billing_group(account: Account) -> None:
    account.iot.create_thing(thingName="one")
    for arguments in (
        ("create-billing-group", "--billing-group-name", "north"),
        ("add-thing-to-billing-group", "--billing-group-name", "north", "--thing-name", "one"),
    ):
        done = account.aws("iot", *arguments)
        assert done.returncode == 0, done.stderr
    listed = account.aws("iot", "list-things-in-billing-group", "--billing-group-name", "north")
    assert json.loads(listed.stdout)["things"] == ["one"]
