"""RegisterThing, as boto3 and the AWS CLI see it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from cryptography import x509

from tests.contract.arrange import ANYTHING, add_certificate
from tests.contract.conftest import Account
from tests.x509 import around_now, new_ca, new_device, new_request, p256

PARAMETERS: dict[str, Any] = {
    "ThingName": {"Type": "String"},
    "Location": {"Type": "String", "Default": "north"},
    "Csr": {"Type": "String", "Default": ""},
    "AWS::IoT::Certificate::Id": {"Type": "String", "Default": ""},
}
THING: dict[str, Any] = {
    "Type": "AWS::IoT::Thing",
    "Properties": {"ThingName": {"Ref": "ThingName"}, "AttributePayload": {"location": {"Ref": "Location"}}},
}
BY_CSR: dict[str, Any] = {
    "Type": "AWS::IoT::Certificate",
    "Properties": {"CertificateSigningRequest": {"Ref": "Csr"}, "Status": "ACTIVE"},
}
BY_ID: dict[str, Any] = {
    "Type": "AWS::IoT::Certificate",
    "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "Active"},
}
POLICY: dict[str, Any] = {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "telemetry"}}


def body(**resources: Any) -> str:
    return json.dumps({"Parameters": PARAMETERS, "Resources": resources}, indent=1)


def status_of(refusal: pytest.ExceptionInfo[ClientError]) -> int:
    return int(refusal.value.response["ResponseMetadata"]["HTTPStatusCode"])


def test_thing_certificate_and_policy_are_made_and_attached(account: Account) -> None:
    iot = account.iot
    iot.create_policy(policyName="telemetry", policyDocument=ANYTHING)
    key = p256()
    made = iot.register_thing(
        templateBody=body(thing=THING, certificate=BY_CSR, policy=POLICY),
        parameters={"ThingName": "pump", "Csr": new_request(key, "pump"), "Never": "declared"},
    )
    start = f"arn:aws:iot:eu-central-1:{account.realm.account_id}:"
    arns = made["resourceArns"]
    assert set(arns) == {"thing", "certificate", "policy"}
    assert (arns["thing"], arns["policy"]) == (f"{start}thing/pump", f"{start}policy/telemetry")
    certificate = x509.load_pem_x509_certificate(made["certificatePem"].encode())
    assert certificate.public_key() == key.public_key()
    assert iot.describe_thing(thingName="pump")["attributes"] == {"location": "north"}
    assert iot.list_thing_principals(thingName="pump")["principals"] == [arns["certificate"]]
    attached = iot.list_attached_policies(target=arns["certificate"])["policies"]
    assert [policy["policyName"] for policy in attached] == ["telemetry"]
    described = iot.describe_certificate(certificateId=arns["certificate"].rpartition("/")[2])
    assert described["certificateDescription"]["status"] == "ACTIVE"
    assert described["certificateDescription"]["certificatePem"] == made["certificatePem"]


def test_a_certificate_of_the_accounts_ca_is_registered_with_it(account: Account) -> None:
    iot = account.iot
    begins, ends = around_now()
    ca = new_ca()
    iot.register_ca_certificate(caCertificate=ca.pem, certificateMode="SNI_ONLY", setAsActive=True)
    device = new_device(ca, begins=begins, ends=ends)
    certificate = {
        "Type": "AWS::IoT::Certificate",
        "Properties": {"CertificatePem": device.pem, "CACertificatePem": ca.pem},
    }
    made = iot.register_thing(templateBody=body(certificate=certificate))
    assert made["certificatePem"] == device.pem
    described = iot.describe_certificate(certificateId=device.certificate_id)["certificateDescription"]
    assert (described["status"], described["caCertificateId"]) == ("ACTIVE", ca.certificate_id)


def test_a_registered_certificate_is_named_by_its_id(account: Account, other_account: Account) -> None:
    iot = account.iot
    own, strange = (add_certificate(each) for each in (account, other_account))
    template = body(thing=THING, certificate=BY_ID)

    def register(certificate_arn: str, thing_name: str) -> Any:
        certificate_id = certificate_arn.rpartition("/")[2]
        parameters = {"ThingName": thing_name, "AWS::IoT::Certificate::Id": certificate_id, "Location": "south"}
        return iot.register_thing(templateBody=template, parameters=parameters)

    assert register(own, "pump")["resourceArns"]["certificate"] == own
    assert iot.describe_thing(thingName="pump")["attributes"] == {"location": "south"}
    with pytest.raises(iot.exceptions.ResourceRegistrationFailureException, match="There is no certificate") as refusal:
        register(strange, "lamp")
    assert status_of(refusal) == 400


def test_a_quote_in_a_parameter_adds_no_statement_to_a_policy(account: Account) -> None:
    statement = {"Effect": "Allow", "Action": "iot:Publish", "Resource": "arn:aws:iot:eu-central-1:1:topic/${Location}"}
    text = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    policy = {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "built", "PolicyDocument": {"Fn::Sub": text}}}
    location = 'x"},{"Effect":"Allow","Action":"*","Resource":"*'
    account.iot.register_thing(templateBody=body(policy=policy), parameters={"Location": location})
    document = json.loads(account.iot.get_policy(policyName="built")["policyDocument"])
    assert document["Statement"] == [{**statement, "Resource": f"arn:aws:iot:eu-central-1:1:topic/{location}"}]


def test_a_thing_without_a_certificate_is_registered(account: Account) -> None:
    made: dict[str, Any] = dict(
        account.iot.register_thing(templateBody=body(thing=THING), parameters={"ThingName": "pump"})
    )
    assert "certificatePem" not in made
    assert list(made["resourceArns"]) == ["thing"]


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("", "line 1"),
        ('{\n "Resources": }', "line 2"),
        ('{"Resources": {}}', "nothing to provision"),
        (body(thing=THING), "ThingName"),
        (body(thing={"Type": "AWS::S3::Bucket"}), "AWS::IoT::Thing"),
    ],
)
def test_an_invalid_template_is_refused_with_its_line(account: Account, template: str, says: str) -> None:
    iot = account.iot
    with pytest.raises(iot.exceptions.InvalidRequestException, match=says) as refusal:
        iot.register_thing(templateBody=template)
    assert "line " in refusal.value.response["Error"]["Message"]


def test_a_failure_leaves_nothing_behind(account: Account) -> None:
    iot = account.iot
    with pytest.raises(iot.exceptions.ResourceRegistrationFailureException, match=r"'policy'.*telemetry") as refusal:
        iot.register_thing(
            templateBody=body(thing=THING, certificate=BY_CSR, policy=POLICY),
            parameters={"ThingName": "pump", "Csr": new_request(p256())},
        )
    assert status_of(refusal) == 400
    assert iot.list_things()["things"] == []
    assert iot.list_certificates()["certificates"] == []


def test_an_existing_thing_with_other_attributes_conflicts_where_the_template_says_so(account: Account) -> None:
    iot = account.iot
    iot.create_thing(thingName="pump", attributePayload={"attributes": {"location": "south"}})
    strict = {**THING, "OverrideSettings": {"AttributePayload": "FAIL"}}
    with pytest.raises(iot.exceptions.ConflictingResourceUpdateException, match="pump") as refusal:
        iot.register_thing(templateBody=body(thing=strict), parameters={"ThingName": "pump"})
    assert status_of(refusal) == 409
    iot.register_thing(templateBody=body(thing=THING), parameters={"ThingName": "pump"})
    assert iot.describe_thing(thingName="pump")["attributes"] == {"location": "south"}


def test_the_aws_cli_registers_a_thing(account: Account) -> None:
    made = account.aws(
        "iot", "register-thing", "--template-body", body(thing=THING), "--parameters", '{"ThingName": "pump"}'
    )
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["resourceArns"]["thing"].endswith(":thing/pump")
