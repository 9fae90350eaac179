"""Thing types, as boto3 and the AWS CLI see them."""

from __future__ import annotations

import json

import pytest

from tests.contract.conftest import Account


def test_a_thing_type_is_made_described_listed_and_changed(account: Account) -> None:
    iot = account.iot
    made = iot.create_thing_type(
        thingTypeName="pump",
        thingTypeProperties={
            "thingTypeDescription": "moves water",
            "searchableAttributes": ["site", "floor"],
            "mqtt5Configuration": {
                "propagatingAttributes": [
                    {"userPropertyKey": "site", "thingAttribute": "site"},
                    {"userPropertyKey": "client", "connectionAttribute": "iot:ClientId"},
                ]
            },
        },
        tags=[{"Key": "team", "Value": "north"}],
    )
    assert made["thingTypeArn"] == f"arn:aws:iot:eu-central-1:{account.realm.account_id}:thingtype/pump"
    found = iot.describe_thing_type(thingTypeName="pump")
    assert found["thingTypeId"] == made["thingTypeId"]
    assert found["thingTypeProperties"] == {
        "thingTypeDescription": "moves water",
        "searchableAttributes": ["site", "floor"],
        "mqtt5Configuration": {
            "propagatingAttributes": [
                {"userPropertyKey": "site", "thingAttribute": "site"},
                {"userPropertyKey": "client", "connectionAttribute": "iot:ClientId"},
            ]
        },
    }
    assert found["thingTypeMetadata"]["deprecated"] is False
    assert set(found["thingTypeMetadata"]) == {"deprecated", "creationDate"}
    assert iot.list_tags_for_resource(resourceArn=made["thingTypeArn"])["tags"] == [{"Key": "team", "Value": "north"}]

    iot.update_thing_type(thingTypeName="pump", thingTypeProperties={"mqtt5Configuration": {}})
    iot.create_thing_type(thingTypeName="valve")
    listed = iot.list_thing_types()["thingTypes"]
    assert [each["thingTypeName"] for each in listed] == ["pump", "valve"]
    assert listed[0]["thingTypeProperties"] == {
        "thingTypeDescription": "moves water",
        "searchableAttributes": ["site", "floor"],
    }
    assert [each["thingTypeName"] for each in iot.list_thing_types(thingTypeName="valve")["thingTypes"]] == ["valve"]
    assert iot.list_thing_types(thingTypeName="val")["thingTypes"] == []


def test_the_same_thing_type_again_succeeds_and_another_of_its_name_conflicts(account: Account) -> None:
    iot = account.iot
    first = iot.create_thing_type(thingTypeName="pump", thingTypeProperties={"searchableAttributes": ["a", "b"]})
    again = iot.create_thing_type(thingTypeName="pump", thingTypeProperties={"searchableAttributes": ["b", "a"]})
    assert again["thingTypeId"] == first["thingTypeId"]
    with pytest.raises(iot.exceptions.ResourceAlreadyExistsException) as refusal:
        iot.create_thing_type(thingTypeName="pump")
    assert refusal.value.response["resourceArn"] == first["thingTypeArn"]


def test_a_deprecated_type_gets_no_more_things_and_keeps_those_it_has(account: Account) -> None:
    iot = account.iot
    iot.create_thing_type(thingTypeName="pump")
    iot.create_thing(thingName="one", thingTypeName="pump", attributePayload={"attributes": dict.fromkeys("abcd", "1")})
    iot.create_thing(thingName="two")
    iot.deprecate_thing_type(thingTypeName="pump")
    assert iot.describe_thing_type(thingTypeName="pump")["thingTypeMetadata"]["deprecated"] is True
    assert "deprecationDate" in iot.describe_thing_type(thingTypeName="pump")["thingTypeMetadata"]
    text = "Can not create new thing with depreated thing type:pump"
    with pytest.raises(iot.exceptions.InvalidRequestException) as refusal:
        iot.create_thing(thingName="three", thingTypeName="pump")
    assert refusal.value.response["Error"]["Message"] == text
    with pytest.raises(iot.exceptions.InvalidRequestException, match=text):
        iot.update_thing(thingName="two", thingTypeName="pump")
    iot.update_thing(thingName="one", thingTypeName="pump", attributePayload={"attributes": {"a": "2"}})
    assert iot.describe_thing(thingName="one")["thingTypeName"] == "pump"
    assert [each["thingName"] for each in iot.list_things(thingTypeName="pump")["things"]] == ["one"]
    iot.deprecate_thing_type(thingTypeName="pump", undoDeprecate=True)
    iot.create_thing(thingName="three", thingTypeName="pump")


def test_a_type_is_deleted_only_some_time_after_it_was_deprecated(account: Account) -> None:
    """With the server's own clock; tests with a clock that can be moved show that it can be deleted later."""
    iot = account.iot
    iot.create_thing_type(thingTypeName="pump")
    with pytest.raises(iot.exceptions.InvalidRequestException, match="Deprecate it"):
        iot.delete_thing_type(thingTypeName="pump")
    iot.deprecate_thing_type(thingTypeName="pump")
    with pytest.raises(
        iot.exceptions.InvalidRequestException, match="Please wait for 5 minutes after deprecation and then retry"
    ):
        iot.delete_thing_type(thingTypeName="pump")


def test_each_refusal_has_its_class(account: Account, other_account: Account) -> None:
    iot = account.iot
    refused = iot.exceptions
    for call in (
        lambda: iot.describe_thing_type(thingTypeName="pump"),
        lambda: iot.update_thing_type(thingTypeName="pump"),
        lambda: iot.deprecate_thing_type(thingTypeName="pump"),
        lambda: iot.delete_thing_type(thingTypeName="pump"),
    ):
        with pytest.raises(refused.ResourceNotFoundException, match="Thing type pump cannot be found"):
            call()
    with pytest.raises(refused.InvalidRequestException, match="the maximum is 3"):
        iot.create_thing_type(thingTypeName="pump", thingTypeProperties={"searchableAttributes": list("abcd")})
    with pytest.raises(refused.InvalidRequestException, match="userPropertyKey"):
        iot.create_thing_type(
            thingTypeName="pump",
            thingTypeProperties={"mqtt5Configuration": {"propagatingAttributes": [{"userPropertyKey": "a"}]}},
        )
    other_account.iot.create_thing_type(thingTypeName="pump")
    assert iot.list_thing_types()["thingTypes"] == []


def test_the_aws_cli_makes_a_type_and_a_thing_of_it(account: Account) -> None:
    made = account.aws("iot", "create-thing-type", "--thing-type-name", "pump")
    assert made.returncode == 0, made.stderr
    made = account.aws("iot", "create-thing", "--thing-name", "one", "--thing-type-name", "pump")
    assert made.returncode == 0, made.stderr
    described = account.aws("iot", "describe-thing", "--thing-name", "one")
    assert json.loads(described.stdout)["thingTypeName"] == "pump"
