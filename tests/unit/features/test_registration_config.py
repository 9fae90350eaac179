"""The registration configuration of a CA certificate, for just-in-time provisioning."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sekisho.ca_certificates.model import RegistrationConfig
from sekisho.ca_certificates.registration_config import checked, require_template
from sekisho.errors import InvalidRequestException, ResourceNotFoundException
from sekisho.provisioning.templates.model import TemplateType
from sekisho.provisioning.templates.store import ProvisioningTemplateRows
from sekisho.store.store import Store
from tests.logs import captured_log
from tests.store.builders import HOME, OTHER_ACCOUNT, provisioning_template, template_version

ROLE = "arn:aws:iam::123456789012:role/provisioning"
THING: dict[str, Any] = {
    "Type": "AWS::IoT::Thing",
    "Properties": {"ThingName": {"Ref": "AWS::IoT::Certificate::CommonName"}},
}
REQUEST: dict[str, Any] = {
    "Type": "AWS::IoT::Certificate",
    "Properties": {"CertificateSigningRequest": "request"},
}
TEMPLATE: dict[str, Any] = {
    "Parameters": {
        "AWS::IoT::Certificate::CommonName": {"Type": "String"},
        "AWS::IoT::Certificate::Id": {"Type": "String"},
    },
    "Resources": {
        "thing": THING,
        "certificate": {
            "Type": "AWS::IoT::Certificate",
            "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}},
        },
    },
}


def body(template: object) -> RegistrationConfig:
    return RegistrationConfig(template_body=json.dumps(template), role_arn=ROLE)


def test_a_valid_template_is_kept() -> None:
    config = body(TEMPLATE)
    assert checked(config) is config


def test_parameters_of_the_certificate_need_no_declaration() -> None:
    config = body({"Resources": TEMPLATE["Resources"]})
    assert checked(config) is config


def test_a_policy_document_built_as_text_logs_a_warning() -> None:
    document = {"Fn::Sub": '{"Statement": "${AWS::IoT::Certificate::CommonName}"}'}
    policy = {"Type": "AWS::IoT::Policy", "Properties": {"PolicyDocument": document}}
    with captured_log() as logged:
        checked(body({"Resources": {**TEMPLATE["Resources"], "built": policy}}))
        checked(body(TEMPLATE))
    assert [line["log_level"] for line in logged] == ["warning"]
    assert "the policy 'built' builds its PolicyDocument as JSON text" in logged[0]["reason"]


def test_an_empty_configuration_is_no_configuration() -> None:
    assert checked(None) is None
    assert checked(RegistrationConfig()) is None
    assert checked(RegistrationConfig(template_body="")) is None


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (RegistrationConfig(template_name="t", role_arn=ROLE), "either templateName, or templateBody with roleArn"),
        (RegistrationConfig(template_name="t", template_body="{}"), "either templateName"),
        (RegistrationConfig(role_arn=ROLE), "a roleArn and no template"),
        (RegistrationConfig(template_body="{}"), "no roleArn"),
        (RegistrationConfig(template_body="{}", role_arn="arn:aws:iam::1:user/x-x-x-x-x"), "not the ARN of a role"),
        (
            RegistrationConfig(template_body='{"Resources": }', role_arn=ROLE),
            "templateBody: line 1, column 15: not JSON: a value",
        ),
        (RegistrationConfig(template_body="[" * 10000, role_arn=ROLE), "nested too deeply"),
        (body(json.dumps(TEMPLATE)), "JSON text inside JSON text"),
        (body([]), "the template has to be an object"),
        (
            body({"templateBody": json.dumps(TEMPLATE), "roleArn": ROLE}),
            "contains a templateBody: the whole configuration",
        ),
        (body({}), "has no Resources"),
        (body({"Resources": []}), "Resources has to be an object"),
        (body({"Resources": {}}), "nothing to provision"),
        (body({"Resources": {"t": "AWS::IoT::Thing"}}), "the resource 't' has to be an object whose Type"),
        (body({"Resources": {"t": {"Type": "AWS::S3::Bucket"}}}), "AWS::IoT::Thing, AWS::IoT::Certificate"),
        (body({"Resources": {"t": {"Type": "AWS::IoT::Thing", "Properties": 1}}}), "Properties has to be an object"),
        (body({"Parameters": [], "Resources": {"t": THING}}), "Parameters has to be an object"),
        (body({"Parameters": {"p": {"Type": "Number"}}, "Resources": {"t": THING}}), "parameter 'p'"),
        (
            body({"Resources": {"c": {**REQUEST, "Properties": {"CertificatePem": "pem"}}}}),
            "The device has its certificate already",
        ),
        (body({"Resources": {"c": REQUEST}}), "specifies its certificate as CertificateSigningRequest"),
    ],
)
def test_an_invalid_configuration_is_refused_with_the_reason(config: RegistrationConfig, message: str) -> None:
    with pytest.raises(InvalidRequestException, match=message):
        checked(config)


def test_a_named_template_must_exist_and_have_the_type_jitp(store: Store) -> None:
    jitp = RegistrationConfig(template_name="factory")
    fleet = RegistrationConfig(template_name="fleet")
    assert checked(jitp) is jitp
    with store.write() as tx:
        with pytest.raises(ResourceNotFoundException, match="Provisioning template factory does not exist"):
            require_template(tx, HOME, jitp)
        for template in (provisioning_template("factory", type=TemplateType.JITP), provisioning_template("fleet")):
            ProvisioningTemplateRows(tx).add(template, template_version(template.name))
        require_template(tx, HOME, jitp)
        require_template(tx, HOME, None)
        require_template(tx, HOME, body(TEMPLATE))
        with pytest.raises(ResourceNotFoundException):
            require_template(tx, OTHER_ACCOUNT, jitp)
        with pytest.raises(InvalidRequestException, match="fleet is of type FLEET_PROVISIONING"):
            require_template(tx, HOME, fleet)
