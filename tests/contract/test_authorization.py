"""TestAuthorization and GetEffectivePolicies, as boto3 and the AWS CLI see them, decided by the real engine."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.contract.arrange import ANYTHING, add_certificate, allow, deny, document
from tests.contract.conftest import Account


def topic(account: Account, name: str, kind: str = "topic") -> str:
    return f"arn:aws:iot:{account.region}:{account.realm.account_id}:{kind}/{name}"


def prepared(account: Account, **documents: str) -> str:
    """Register a certificate of CN=pump with these policies and return its ARN."""
    principal = add_certificate(account, "pump")
    for name, text in documents.items():
        account.iot.create_policy(policyName=name, policyDocument=text)
        account.iot.attach_policy(policyName=name, target=principal)
    return principal


def names(policies: list[Any]) -> list[str]:
    return [policy["policyName"] for policy in policies]


def test_decisions_name_their_policies_in_the_order_of_the_requests(account: Account) -> None:
    principal = prepared(
        account,
        telemetry=document(allow("iot:Publish", topic(account, "pump/*"))),
        quiet=document(deny("iot:Publish", topic(account, "pump/secret"))),
    )
    answer = account.iot.test_authorization(
        principal=principal,
        authInfos=[
            {"actionType": "PUBLISH", "resources": [topic(account, "pump/pressure")]},
            {"actionType": "PUBLISH", "resources": [topic(account, "pump/secret")]},
            {"actionType": "PUBLISH", "resources": [topic(account, "fan/pressure")]},
            {"actionType": "PUBLISH", "resources": [topic(account, "pump/pressure"), topic(account, "fan/pressure")]},
            {"actionType": "SUBSCRIBE", "resources": [topic(account, "pump/#", "topicfilter")]},
        ],
    )
    results = answer["authResults"]
    assert [result["authDecision"] for result in results] == [
        "ALLOWED",
        "EXPLICIT_DENY",
        "IMPLICIT_DENY",
        "IMPLICIT_DENY",
        "IMPLICIT_DENY",
    ]
    assert results[0]["authInfo"] == {"actionType": "PUBLISH", "resources": [topic(account, "pump/pressure")]}
    assert names(results[0]["allowed"]["policies"]) == ["telemetry"]
    assert results[0]["allowed"]["policies"][0]["policyArn"].endswith(":policy/telemetry")
    assert names(results[1]["denied"]["explicitDeny"]["policies"]) == ["quiet"]
    assert names(results[2]["denied"]["implicitDeny"]["policies"]) == ["telemetry", "quiet"]
    assert names(results[3]["allowed"]["policies"]) == ["telemetry"]


def test_only_a_client_id_and_a_certificate_give_values_to_their_variables(account: Account) -> None:
    principal = prepared(
        account,
        by_client=document(allow("iot:Connect", topic(account, "${iot:ClientId}", "client"))),
        by_name=document(allow("iot:Publish", topic(account, "${iot:Certificate.Subject.CommonName}/data"))),
        by_thing=document(allow("iot:Receive", topic(account, "${iot:Connection.Thing.ThingName}/data"))),
    )
    questions: list[Any] = [
        {"actionType": "CONNECT", "resources": [topic(account, "pump", "client")]},
        {"actionType": "PUBLISH", "resources": [topic(account, "pump/data")]},
        {"actionType": "RECEIVE", "resources": [topic(account, "pump/data")]},
    ]

    def decide(client_id: str) -> list[Any]:
        results = account.iot.test_authorization(principal=principal, authInfos=questions, clientId=client_id)
        return list(results["authResults"])

    connect, publish, receive = decide("pump")
    assert [result["authDecision"] for result in (connect, publish, receive)] == [
        "ALLOWED",
        "ALLOWED",
        "IMPLICIT_DENY",
    ]
    assert receive["missingContextValues"] == ["iot:Connection.Thing.ThingName"]
    account.iot.create_thing(thingName="pump")
    account.iot.attach_thing_principal(thingName="pump", principal=principal)
    assert [result["authDecision"] for result in decide("pump")] == ["ALLOWED"] * 3
    assert [result["authDecision"] for result in decide("fan")] == ["IMPLICIT_DENY", "ALLOWED", "IMPLICIT_DENY"]


def test_policies_are_added_and_skipped_only_for_the_test(account: Account) -> None:
    principal = prepared(account, telemetry=document(allow("iot:Publish", topic(account, "a"))))
    account.iot.create_policy(policyName="quiet", policyDocument=document(deny("iot:*", "*")))
    questions: list[Any] = [{"actionType": "PUBLISH", "resources": [topic(account, "a")]}]

    def decide(**how: Any) -> str:
        results = account.iot.test_authorization(authInfos=questions, **how)["authResults"]
        return str(results[0]["authDecision"])

    assert decide(principal=principal) == "ALLOWED"
    assert decide(principal=principal, policyNamesToAdd=["quiet"]) == "EXPLICIT_DENY"
    assert decide(principal=principal, policyNamesToSkip=["telemetry"]) == "IMPLICIT_DENY"
    assert decide(policyNamesToAdd=["telemetry"]) == "ALLOWED"


def test_each_refusal_has_its_class(account: Account, other_account: Account) -> None:
    iot = account.iot
    refused = iot.exceptions
    principal = prepared(account, telemetry=ANYTHING)
    questions: list[Any] = [{"actionType": "PUBLISH", "resources": [topic(account, "a")]}]
    with pytest.raises(refused.ResourceNotFoundException, match="certificate given in the principal"):
        iot.test_authorization(principal=principal[:-64] + "0" * 64, authInfos=questions)
    with pytest.raises(refused.ResourceNotFoundException, match="Policy nothing"):
        iot.test_authorization(principal=principal, authInfos=questions, policyNamesToAdd=["nothing"])
    with pytest.raises(refused.InvalidRequestException, match=other_account.realm.account_id):
        iot.test_authorization(principal=add_certificate(other_account), authInfos=questions)
    with pytest.raises(refused.InvalidRequestException, match="names neither a principal nor policies"):
        iot.test_authorization(authInfos=questions)
    with pytest.raises(refused.InvalidRequestException, match="not an ARN"):
        iot.test_authorization(principal=principal, authInfos=[{"actionType": "PUBLISH", "resources": ["a"]}])
    with pytest.raises(refused.InvalidRequestException, match="actionType"):
        iot.test_authorization(principal=principal, authInfos=[{"resources": [topic(account, "a")]}])
    with pytest.raises(refused.InvalidRequestException, match="less than or equal to 10"):
        iot.test_authorization(principal=principal, authInfos=questions * 11)


def test_effective_policies_are_those_in_force(account: Account) -> None:
    iot = account.iot
    principal = prepared(account, telemetry=ANYTHING)
    only_connect = document(allow("iot:Connect", "*"))
    iot.create_policy_version(policyName="telemetry", policyDocument=only_connect, setAsDefault=True)
    [effective] = iot.get_effective_policies(principal=principal)["effectivePolicies"]
    assert (effective["policyName"], effective["policyDocument"]) == ("telemetry", only_connect)
    iot.create_thing(thingName="pump")
    assert iot.get_effective_policies(thingName="pump")["effectivePolicies"] == []
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.get_effective_policies(thingName="fan")
    with pytest.raises(iot.exceptions.InvalidRequestException):
        iot.get_effective_policies()


def test_the_aws_cli_tests_authorization(account: Account) -> None:
    principal = prepared(account, telemetry=ANYTHING)
    asked = account.aws(
        *("iot", "test-authorization", "--principal", principal, "--client-id", "pump"),
        *("--auth-infos", f"actionType=CONNECT,resources={topic(account, 'pump', 'client')}"),
    )
    assert asked.returncode == 0, asked.stderr
    assert json.loads(asked.stdout)["authResults"][0]["authDecision"] == "ALLOWED"
