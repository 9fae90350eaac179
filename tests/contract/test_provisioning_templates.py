"""Provisioning templates, their versions and claims, as boto3 and the AWS CLI see them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.contract.conftest import Account
from tests.x509 import new_ca

ROLE = "arn:aws:iam::123456789012:role/provisioning"
FUNCTION = "arn:aws:lambda:eu-central-1:123456789012:function:hook"


def body(thing_name: str = "lamp") -> str:
    thing = {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": thing_name}}
    certificate = {
        "Type": "AWS::IoT::Certificate",
        "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "ACTIVE"},
    }
    parameters = {name: {"Type": "String"} for name in ("p", "AWS::IoT::Certificate::Id")}
    return json.dumps({"Parameters": parameters, "Resources": {"thing": thing, "certificate": certificate}}, indent=1)


def make(account: Account, name: str = "fleet", **options: Any) -> Any:
    return account.iot.create_provisioning_template(
        **{"templateName": name, "templateBody": body(), "provisioningRoleArn": ROLE, **options}
    )


def test_the_certificate_s_id_needs_no_declaration(account: Account) -> None:
    """As in Terraform's acceptance test and CloudFormation's sample."""
    given = json.loads(body())
    for parameters in ({"SerialNumber": {"Type": "String"}}, None):
        given["Parameters"] = parameters
        if parameters is None:
            del given["Parameters"]
        name = "declared-others" if parameters else "declared-none"
        make(account, name, templateBody=json.dumps(given))
        described = account.iot.describe_provisioning_template(templateName=name)
        assert json.loads(described["templateBody"]) == given


def status_of(refusal: pytest.ExceptionInfo[ClientError]) -> int:
    return int(refusal.value.response["ResponseMetadata"]["HTTPStatusCode"])


def test_a_template_is_made_described_changed_and_deleted(account: Account) -> None:
    iot = account.iot
    made = make(
        account,
        description="of the factory",
        preProvisioningHook={"targetArn": FUNCTION},
        tags=[{"Key": "site", "Value": "north"}],
    )
    template_arn = f"arn:aws:iot:eu-central-1:{account.realm.account_id}:provisioningtemplate/fleet"
    assert {name: made[name] for name in ("templateArn", "templateName", "defaultVersionId")} == {
        "templateArn": template_arn,
        "templateName": "fleet",
        "defaultVersionId": 1,
    }
    described: dict[str, Any] = dict(iot.describe_provisioning_template(templateName="fleet"))
    del described["ResponseMetadata"]
    created = described.pop("creationDate")
    assert abs(created - datetime.now(UTC)) < timedelta(minutes=5)
    assert described == {
        "templateArn": template_arn,
        "templateName": "fleet",
        "description": "of the factory",
        "lastModifiedDate": created,
        "defaultVersionId": 1,
        "templateBody": body(),
        "enabled": False,
        "provisioningRoleArn": ROLE,
        "preProvisioningHook": {"payloadVersion": "2020-04-01", "targetArn": FUNCTION},
        "type": "FLEET_PROVISIONING",
    }
    assert iot.list_tags_for_resource(resourceArn=template_arn)["tags"] == [{"Key": "site", "Value": "north"}]

    iot.create_provisioning_template_version(templateName="fleet", templateBody=body("pump"))
    iot.update_provisioning_template(
        templateName="fleet",
        description="changed",
        enabled=True,
        defaultVersionId=2,
        provisioningRoleArn=f"{ROLE}2",
        removePreProvisioningHook=True,
    )
    changed = iot.describe_provisioning_template(templateName="fleet")
    assert (changed["description"], changed["enabled"], changed["defaultVersionId"]) == ("changed", True, 2)
    assert (changed["templateBody"], changed["provisioningRoleArn"]) == (body("pump"), f"{ROLE}2")
    assert "preProvisioningHook" not in dict(changed)

    iot.delete_provisioning_template(templateName="fleet")
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.describe_provisioning_template(templateName="fleet")
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.list_tags_for_resource(resourceArn=template_arn)


def test_versions_are_added_put_in_force_listed_and_deleted(account: Account) -> None:
    iot = account.iot
    make(account)
    second = iot.create_provisioning_template_version(templateName="fleet", templateBody=body("second"))
    third = iot.create_provisioning_template_version(
        templateName="fleet", templateBody=body("third"), setAsDefault=True
    )
    assert (second["versionId"], second["isDefaultVersion"], second["templateName"]) == (2, False, "fleet")
    assert (third["versionId"], third["isDefaultVersion"]) == (3, True)
    assert third["templateArn"].endswith("provisioningtemplate/fleet")
    pages = iot.get_paginator("list_provisioning_template_versions").paginate(
        templateName="fleet", PaginationConfig={"PageSize": 2}
    )
    listed = [version for page in pages for version in page["versions"]]
    assert [(version["versionId"], version["isDefaultVersion"]) for version in listed] == [
        (1, False),
        (2, False),
        (3, True),
    ]
    read = iot.describe_provisioning_template_version(templateName="fleet", versionId=2)
    assert (read["versionId"], read["templateBody"], read["isDefaultVersion"]) == (2, body("second"), False)
    assert read["creationDate"] == listed[1]["creationDate"]
    iot.delete_provisioning_template_version(templateName="fleet", versionId=2)
    with pytest.raises(iot.exceptions.ResourceNotFoundException, match="no version 2"):
        iot.describe_provisioning_template_version(templateName="fleet", versionId=2)
    with pytest.raises(iot.exceptions.DeleteConflictException) as refusal:
        iot.delete_provisioning_template_version(templateName="fleet", versionId=3)
    assert status_of(refusal) == 409


def test_a_sixth_version_is_refused(account: Account) -> None:
    iot = account.iot
    make(account)
    for _ in range(4):
        iot.create_provisioning_template_version(templateName="fleet", templateBody=body())
    with pytest.raises(iot.exceptions.VersionsLimitExceededException) as refusal:
        iot.create_provisioning_template_version(templateName="fleet", templateBody=body())
    assert status_of(refusal) == 409


def test_each_refusal_has_its_class(account: Account) -> None:
    iot = account.iot
    refused = iot.exceptions
    make(account)
    with pytest.raises(refused.ResourceAlreadyExistsException) as taken:
        make(account)
    assert taken.value.response["resourceArn"].endswith("provisioningtemplate/fleet")
    with pytest.raises(refused.InvalidRequestException, match="line 1"):
        make(account, "broken", templateBody="{")
    with pytest.raises(refused.InvalidRequestException, match="line 2"):
        iot.create_provisioning_template_version(templateName="fleet", templateBody='{\n"Resources": }')
    with pytest.raises(refused.InvalidRequestException, match="not the ARN of a role"):
        make(account, "other", provisioningRoleArn="arn:aws:iam::123456789012:user/me")
    with pytest.raises(refused.InvalidRequestException, match="not the ARN of a Lambda function"):
        iot.update_provisioning_template(templateName="fleet", preProvisioningHook={"targetArn": "https://example.com"})
    with pytest.raises(refused.InvalidRequestException, match="removePreProvisioningHook"):
        iot.update_provisioning_template(
            templateName="fleet", preProvisioningHook={"targetArn": FUNCTION}, removePreProvisioningHook=True
        )
    for ask in (
        lambda: iot.describe_provisioning_template(templateName="none"),
        lambda: iot.update_provisioning_template(templateName="none"),
        lambda: iot.delete_provisioning_template(templateName="none"),
        lambda: iot.create_provisioning_template_version(templateName="none", templateBody=body()),
        lambda: iot.list_provisioning_template_versions(templateName="none"),
        lambda: iot.create_provisioning_claim(templateName="none"),
    ):
        with pytest.raises(refused.ResourceNotFoundException, match="none does not exist"):
            ask()


def test_templates_are_listed_page_by_page_and_each_account_has_its_own(
    account: Account, other_account: Account
) -> None:
    for name in ("one", "two", "three"):
        make(account, name, type="JITP" if name == "two" else "FLEET_PROVISIONING")
    make(other_account, "one")
    pages = account.iot.get_paginator("list_provisioning_templates").paginate(PaginationConfig={"PageSize": 2})
    listed = [template for page in pages for template in page["templates"]]
    assert [(template["templateName"], template["type"]) for template in listed] == [
        ("one", "FLEET_PROVISIONING"),
        ("two", "JITP"),
        ("three", "FLEET_PROVISIONING"),
    ]
    assert set(listed[0]) == {"templateArn", "templateName", "creationDate", "lastModifiedDate", "enabled", "type"}


def test_a_ca_certificate_names_a_template_of_type_jitp(account: Account) -> None:
    iot = account.iot
    make(account, "jitp", type="JITP")
    make(account, "fleet")
    ca = new_ca()
    register = {"caCertificate": ca.pem, "certificateMode": "SNI_ONLY"}
    with pytest.raises(iot.exceptions.ResourceNotFoundException, match="none does not exist"):
        iot.register_ca_certificate(**register, registrationConfig={"templateName": "none"})  # type: ignore[arg-type]
    with pytest.raises(iot.exceptions.InvalidRequestException, match="of type FLEET_PROVISIONING"):
        iot.register_ca_certificate(**register, registrationConfig={"templateName": "fleet"})  # type: ignore[arg-type]
    iot.register_ca_certificate(**register, registrationConfig={"templateName": "jitp"})  # type: ignore[arg-type]
    iot.register_ca_certificate(caCertificate=new_ca("Other").pem, certificateMode="SNI_ONLY")
    described = iot.describe_ca_certificate(certificateId=ca.certificate_id)
    assert described["registrationConfig"] == {"templateName": "jitp"}
    named = iot.list_ca_certificates(templateName="jitp")["certificates"]
    assert [each["certificateId"] for each in named] == [ca.certificate_id]

    with pytest.raises(iot.exceptions.DeleteConflictException, match=ca.certificate_id) as refusal:
        iot.delete_provisioning_template(templateName="jitp")
    assert status_of(refusal) == 409
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.update_ca_certificate(certificateId=ca.certificate_id, registrationConfig={"templateName": "none"})
    iot.update_ca_certificate(certificateId=ca.certificate_id, removeAutoRegistration=True)
    assert iot.list_ca_certificates(templateName="jitp")["certificates"] == []
    iot.delete_provisioning_template(templateName="jitp")


def test_a_claim_is_a_certificate_of_five_minutes_that_is_in_no_list(account: Account) -> None:
    iot = account.iot
    make(account)
    before = datetime.now(UTC).replace(microsecond=0)
    claim = iot.create_provisioning_claim(templateName="fleet")
    assert before + timedelta(minutes=5) <= claim["expiration"] <= datetime.now(UTC) + timedelta(minutes=5)
    certificate = x509.load_pem_x509_certificate(claim["certificatePem"].encode())
    assert certificate.not_valid_after_utc == claim["expiration"]
    key = load_pem_private_key(claim["keyPair"]["PrivateKey"].encode(), None)
    assert key.public_key() == certificate.public_key()
    assert claim["keyPair"]["PublicKey"].startswith("-----BEGIN PUBLIC KEY-----")
    assert iot.list_certificates()["certificates"] == []
    assert iot.list_policies()["policies"] == []
    assert iot.create_provisioning_claim(templateName="fleet")["certificateId"] != claim["certificateId"]
    make(account, "jitp", type="JITP")
    with pytest.raises(iot.exceptions.InvalidRequestException):
        iot.create_provisioning_claim(templateName="jitp")


def test_the_aws_cli_makes_a_template_from_a_file(account: Account, tmp_path: Path) -> None:
    (tmp_path / "template.json").write_text(body())
    made = account.aws(
        "iot", "create-provisioning-template", "--template-name", "widget-template", "--enabled",
        "--provisioning-role-arn", ROLE, "--template-body", f"file://{tmp_path}/template.json",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["defaultVersionId"] == 1
    assert account.iot.describe_provisioning_template(templateName="widget-template")["templateBody"] == body()
