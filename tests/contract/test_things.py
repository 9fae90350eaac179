"""Things, as boto3 and the AWS CLI see them."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

from tests.contract.arrange import add_certificate
from tests.contract.conftest import Account

IDENTITY = "eu-central-1:0a1b2c3d-0000-4000-8000-00000000abcd"


def test_a_thing_is_made_described_changed_and_deleted(account: Account) -> None:
    iot = account.iot
    made = iot.create_thing(thingName="pump", attributePayload={"attributes": {"site": "north"}})
    assert made["thingArn"] == f"arn:aws:iot:eu-central-1:{account.realm.account_id}:thing/pump"
    described = iot.describe_thing(thingName="pump")
    assert described["thingId"] == made["thingId"]
    assert described["defaultClientId"] == "pump"
    assert (described["version"], described["attributes"]) == (1, {"site": "north"})
    assert "thingTypeName" not in dict(described)
    iot.update_thing(
        thingName="pump", attributePayload={"attributes": {"site": "", "floor": "2"}, "merge": True}, expectedVersion=1
    )
    described = iot.describe_thing(thingName="pump")
    assert (described["version"], described["attributes"]) == (2, {"floor": "2"})
    iot.delete_thing(thingName="pump", expectedVersion=2)
    iot.delete_thing(thingName="pump")
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.describe_thing(thingName="pump")


def test_the_same_thing_again_succeeds_and_another_of_its_name_conflicts(account: Account) -> None:
    iot = account.iot
    first = iot.create_thing(thingName="pump")
    assert iot.create_thing(thingName="pump")["thingId"] == first["thingId"]
    with pytest.raises(iot.exceptions.ResourceAlreadyExistsException) as refusal:
        iot.create_thing(thingName="pump", attributePayload={"attributes": {"site": "north"}})
    assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == 409
    assert refusal.value.response["resourceArn"] == first["thingArn"]


def test_each_refusal_has_its_class(account: Account) -> None:
    iot = account.iot
    iot.create_thing(thingName="pump")
    refused = iot.exceptions
    with pytest.raises(refused.ResourceNotFoundException):
        iot.create_thing(thingName="valve", thingTypeName="boiler")
    with pytest.raises(refused.VersionConflictException):
        iot.update_thing(thingName="pump", expectedVersion=7)
    with pytest.raises(refused.VersionConflictException):
        iot.delete_thing(thingName="pump", expectedVersion=7)
    with pytest.raises(refused.ResourceNotFoundException):
        iot.update_thing(thingName="valve")
    with pytest.raises(refused.InvalidRequestException, match="failed to satisfy constraint"):
        iot.create_thing(thingName="no spaces")
    with pytest.raises(refused.InvalidRequestException, match="the maximum is 3"):
        iot.create_thing(thingName="valve", attributePayload={"attributes": dict.fromkeys("abcd", "1")})


def test_a_thing_with_a_principal_cannot_be_deleted(account: Account) -> None:
    iot = account.iot
    iot.create_thing(thingName="pump")
    iot.attach_thing_principal(thingName="pump", principal=add_certificate(account))
    with pytest.raises(iot.exceptions.InvalidRequestException) as refusal:
        iot.delete_thing(thingName="pump")
    message = "Cannot delete. Thing pump is still attached to one or more principals"
    assert refusal.value.response["Error"]["Message"] == message


def test_things_are_paged_in_the_order_of_their_creation(account: Account) -> None:
    iot = account.iot
    names = [f"thing-{number:02}" for number in range(30)]
    for name in names:
        iot.create_thing(thingName=name)
    assert len(iot.list_things()["things"]) == 25
    pages = list(iot.get_paginator("list_things").paginate(PaginationConfig={"PageSize": 7}))
    assert [len(page["things"]) for page in pages] == [7, 7, 7, 7, 2]
    assert [thing["thingName"] for page in pages for thing in page["things"]] == names
    assert "nextToken" not in dict(pages[-1])


def test_things_are_found_by_attribute(account: Account) -> None:
    iot = account.iot
    iot.create_thing(thingName="pump", attributePayload={"attributes": {"site": "north-1"}})
    iot.create_thing(thingName="valve", attributePayload={"attributes": {"site": "north-2"}})
    assert [
        thing["thingName"] for thing in iot.list_things(attributeName="site", attributeValue="north-2")["things"]
    ] == ["valve"]
    found = iot.list_things(attributeName="site", attributeValue="north", usePrefixAttributeValue=True)["things"]
    assert [thing["thingName"] for thing in found] == ["pump", "valve"]
    assert found[0]["attributes"] == {"site": "north-1"}


def test_an_unknown_token_is_refused(account: Account) -> None:
    with pytest.raises(account.iot.exceptions.InvalidRequestException, match="is not one that this service returned"):
        account.iot.list_things(nextToken="page 2")


def test_things_of_other_accounts_and_regions_are_not_visible(account: Account, other_account: Account) -> None:
    account.iot.create_thing(thingName="pump")
    for other in (other_account, account.elsewhere("us-east-1")):
        with pytest.raises(other.iot.exceptions.ResourceNotFoundException):
            other.iot.describe_thing(thingName="pump")
        assert other.iot.list_things()["things"] == []


def test_principals_are_attached_listed_from_both_ends_and_detached(account: Account) -> None:
    iot = account.iot
    iot.create_thing(thingName="pump")
    iot.create_thing(thingName="valve")
    shared, own = add_certificate(account), add_certificate(account)
    iot.attach_thing_principal(thingName="pump", principal=shared)
    iot.attach_thing_principal(thingName="valve", principal=shared, thingPrincipalType="NON_EXCLUSIVE_THING")
    iot.attach_thing_principal(thingName="pump", principal=own, thingPrincipalType="EXCLUSIVE_THING")
    assert iot.list_thing_principals(thingName="pump")["principals"] == [shared, own]
    assert iot.list_principal_things(principal=shared)["things"] == ["pump", "valve"]
    assert iot.list_thing_principals_v2(thingName="pump")["thingPrincipalObjects"] == [
        {"principal": shared, "thingPrincipalType": "NON_EXCLUSIVE_THING"},
        {"principal": own, "thingPrincipalType": "EXCLUSIVE_THING"},
    ]
    assert iot.list_thing_principals_v2(thingName="pump", thingPrincipalType="EXCLUSIVE_THING")[
        "thingPrincipalObjects"
    ] == [{"principal": own, "thingPrincipalType": "EXCLUSIVE_THING"}]
    assert iot.list_principal_things_v2(principal=own)["principalThingObjects"] == [
        {"thingName": "pump", "thingPrincipalType": "EXCLUSIVE_THING"}
    ]
    iot.detach_thing_principal(thingName="pump", principal=shared)
    assert iot.list_principal_things(principal=shared)["things"] == ["valve"]


def test_a_cognito_identity_is_attached_like_a_certificate(account: Account) -> None:
    account.iot.create_thing(thingName="pump")
    account.iot.attach_thing_principal(thingName="pump", principal=IDENTITY)
    assert account.iot.list_thing_principals(thingName="pump")["principals"] == [IDENTITY]


def test_attachments_are_paged(account: Account) -> None:
    iot = account.iot
    principal = add_certificate(account)
    names = [f"thing-{number}" for number in range(5)]
    for name in names:
        iot.create_thing(thingName=name)
        iot.attach_thing_principal(thingName=name, principal=principal)
    paginator = iot.get_paginator("list_principal_things")
    pages = list(paginator.paginate(principal=principal, PaginationConfig={"PageSize": 2}))
    assert [page["things"] for page in pages] == [names[:2], names[2:4], names[4:]]


def test_a_principal_of_another_account_is_refused_by_its_account(account: Account, other_account: Account) -> None:
    account.iot.create_thing(thingName="pump")
    with pytest.raises(ClientError, match=other_account.realm.account_id) as refusal:
        account.iot.attach_thing_principal(thingName="pump", principal=add_certificate(other_account))
    assert refusal.value.response["Error"]["Code"] == "InvalidRequestException"


def test_the_aws_cli_makes_a_thing_and_attaches_a_certificate(account: Account) -> None:
    principal = add_certificate(account)
    made = account.aws("iot", "create-thing", "--thing-name", "pump", "--attribute-payload", "attributes={site=north}")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["thingName"] == "pump"
    attached = account.aws("iot", "attach-thing-principal", "--thing-name", "pump", "--principal", principal)
    assert (attached.returncode, attached.stdout) == (0, "")
    listed = account.aws(
        "iot", "list-thing-principals", "--thing-name", "pump", "--query", "principals[0]", "--output", "text"
    )
    assert listed.stdout.strip() == principal
    missing = account.aws("iot", "describe-thing", "--thing-name", "valve")
    assert missing.returncode != 0
    assert "(ResourceNotFoundException) when calling the DescribeThing operation: Thing valve cannot be found." in (
        missing.stderr
    )


def test_principals_of_a_missing_thing_are_refused_as_on_aws(account: Account) -> None:
    words = "Failed to list principals for thing ghost because the thing does not exist in your account"
    for call in (account.iot.list_thing_principals, account.iot.list_thing_principals_v2):
        with pytest.raises(account.iot.exceptions.ResourceNotFoundException) as refused:
            call(thingName="ghost")
        assert refused.value.response["Error"]["Message"] == words
