"""Tags, as boto3 sees them."""

from __future__ import annotations

import pytest

from tests.contract.arrange import ANYTHING, add_certificate
from tests.contract.conftest import Account


def test_a_policy_is_tagged_at_its_creation_and_later(account: Account) -> None:
    iot = account.iot
    made = iot.create_policy(
        policyName="telemetry", policyDocument=ANYTHING, tags=[{"Key": "team", "Value": "north"}, {"Key": "old"}]
    )
    resource = made["policyArn"]
    iot.tag_resource(resourceArn=resource, tags=[{"Key": "team", "Value": "south"}, {"Key": "階", "Value": "2"}])
    iot.untag_resource(resourceArn=resource, tagKeys=["old", "never there"])
    tags = iot.list_tags_for_resource(resourceArn=resource)["tags"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {"team": "south", "階": "2"}


def test_each_refusal_has_its_class(account: Account, other_account: Account) -> None:
    iot = account.iot
    refused = iot.exceptions
    resource = iot.create_policy(policyName="telemetry", policyDocument=ANYTHING)["policyArn"]
    strange = other_account.iot.create_policy(policyName="telemetry", policyDocument=ANYTHING)["policyArn"]
    with pytest.raises(refused.LimitExceededException):
        iot.tag_resource(resourceArn=resource, tags=[{"Key": str(number)} for number in range(51)])
    with pytest.raises(refused.InvalidRequestException, match="twice"):
        iot.tag_resource(resourceArn=resource, tags=[{"Key": "a"}, {"Key": "a"}])
    with pytest.raises(refused.ResourceNotFoundException):
        iot.list_tags_for_resource(resourceArn=resource + "-2")
    with pytest.raises(refused.InvalidRequestException, match=other_account.realm.account_id):
        iot.list_tags_for_resource(resourceArn=strange)
    with pytest.raises(refused.InvalidRequestException, match="cannot have tags"):
        iot.tag_resource(resourceArn=add_certificate(account), tags=[{"Key": "a"}])
    with pytest.raises(refused.InvalidRequestException, match="nextToken"):
        iot.list_tags_for_resource(resourceArn=resource, nextToken="more")


def test_a_policy_with_refused_tags_is_not_created(account: Account) -> None:
    iot = account.iot
    with pytest.raises(iot.exceptions.InvalidRequestException, match="reserved"):
        iot.create_policy(policyName="telemetry", policyDocument=ANYTHING, tags=[{"Key": "aws:a"}])
    assert iot.list_policies()["policies"] == []
