"""Provisioning templates and claims."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from sekisho.admission.model import Identity
from sekisho.admission.rules import Admission, AdmissionRequest
from sekisho.ca_certificates.model import RegistrationConfig
from sekisho.ca_certificates.rules import CACertificates
from sekisho.certificates.model import CertificateMode, CertificateStatus
from sekisho.change import Change, ChangeKind
from sekisho.errors import (
    AwsException,
    DeleteConflictException,
    InvalidRequestException,
    LimitExceededException,
    ResourceAlreadyExistsException,
    ResourceNotFoundException,
    VersionsLimitExceededException,
)
from sekisho.gateway.engine import RustPolicyEngine
from sekisho.pages import Window
from sekisho.pki import keys
from sekisho.pki.certificate import X509Certificate
from sekisho.pki.issuing import IssuingAuthority
from sekisho.policies.engine import Subject
from sekisho.provisioning.claims.store import ProvisioningClaimRows
from sekisho.provisioning.templates.model import ProvisioningHook, TemplateType
from sekisho.provisioning.templates.rules import ProvisioningTemplates
from sekisho.refusal import RefusalReason, Refused
from sekisho.store.store import Store
from tests.logs import captured_log
from tests.stores import empty_store
from tests.unit.features.arrange import HOME, OTHER_ACCOUNT, SAME_ACCOUNT_ELSEWHERE, SetClock
from tests.x509 import new_ca

pytestmark = pytest.mark.usefixtures("few_rsa_keys")

ROLE = "arn:aws:iam::123456789012:role/provisioning"
HOOK = ProvisioningHook("arn:aws:lambda:eu-central-1:123456789012:function:hook", "2020-04-01")
THING = {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": "t"}}
CERTIFICATE = {
    "Type": "AWS::IoT::Certificate",
    "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "ACTIVE"},
}
PARAMETERS = {"AWS::IoT::Certificate::Id": {"Type": "String"}}
BODY = json.dumps({"Parameters": PARAMETERS, "Resources": {"thing": THING, "certificate": CERTIFICATE}})
UNDECLARED = json.dumps({"Resources": {"thing": THING, "certificate": CERTIFICATE}})
SUBJECT = json.dumps(
    {
        "Resources": {
            "thing": {**THING, "Properties": {"ThingName": {"Ref": "AWS::IoT::Certificate::CommonName"}}},
            "certificate": CERTIFICATE,
        }
    }
)
TEXT_POLICY = {"Type": "AWS::IoT::Policy", "Properties": {"PolicyDocument": {"Fn::Sub": '{"Statement": "${P}"}'}}}
BUILT_AS_TEXT = json.dumps(
    {"Parameters": {"P": {"Type": "String"}}, "Resources": {"certificate": CERTIFICATE, "built": TEXT_POLICY}}
)
WITHOUT_CERTIFICATE = json.dumps({"Resources": {"thing": THING}})


@pytest.fixture
def announced() -> list[Change]:
    return []


@pytest.fixture
def store(announced: list[Change]) -> Iterator[Store]:
    with empty_store(announced.extend) as opened:
        yield opened


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def templates(store: Store, clock: SetClock, authority: IssuingAuthority) -> ProvisioningTemplates:
    return ProvisioningTemplates(store, clock, authority)


def test_only_given_properties_change(templates: ProvisioningTemplates, clock: SetClock) -> None:
    made = templates.create(HOME, "t", BODY, ROLE, description="d", hook=HOOK)
    clock.move(1)
    assert templates.update(HOME, "t") == made
    assert templates.update(HOME, "t", enabled=False, description="d") == made
    enabled = templates.update(HOME, "t", enabled=True)
    assert (enabled.enabled, enabled.description, enabled.hook, enabled.modified_at) == (True, "d", HOOK, clock.now)
    assert enabled.created_at == made.created_at
    assert templates.update(HOME, "t", description="").description == ""
    assert templates.update(HOME, "t", remove_hook=True).hook is None
    assert templates.get(HOME, "t")[0].hook is None


def test_version_numbers_rise_and_are_never_used_again(templates: ProvisioningTemplates) -> None:
    templates.create(HOME, "t", BODY, ROLE)
    for expected in (2, 3, 4, 5):
        assert templates.create_version(HOME, "t", BODY, set_as_default=expected == 3).version_id == expected
    with pytest.raises(VersionsLimitExceededException, match="t already has the maximum number of versions"):
        templates.create_version(HOME, "t", BODY)
    templates.delete_version(HOME, "t", 5)
    assert templates.create_version(HOME, "t", BODY).version_id == 6
    with pytest.raises(DeleteConflictException, match="Version 3 of provisioning template t is its default"):
        templates.delete_version(HOME, "t", 3)
    assert templates.get(HOME, "t")[1].version_id == 3


@pytest.mark.parametrize("version_id", [-1, 0, 7, 2**31, 2**70])
def test_a_missing_version_is_not_found(templates: ProvisioningTemplates, version_id: int) -> None:
    templates.create(HOME, "t", BODY, ROLE)
    with pytest.raises(ResourceNotFoundException, match=f"has no version {version_id}"):
        templates.get_version(HOME, "t", version_id)
    with pytest.raises(ResourceNotFoundException):
        templates.update(HOME, "t", default_version_id=version_id)


@pytest.mark.parametrize(
    ("wrong", "refusal", "says"),
    [
        ({"body": "{"}, InvalidRequestException, "templateBody.*line 1"),
        ({"role_arn": "arn:aws:iam::123456789012:user/provisioning"}, InvalidRequestException, "provisioningRoleArn"),
        ({"hook": ProvisioningHook("arn:aws:sns:::x", "2020-04-01")}, InvalidRequestException, "a Lambda function"),
        ({"hook": HOOK, "template_type": TemplateType.JITP}, InvalidRequestException, "this one is JITP"),
        ({"name": "there"}, ResourceAlreadyExistsException, "there exists already"),
    ],
)
def test_an_invalid_template_is_refused(
    templates: ProvisioningTemplates, wrong: dict[str, Any], refusal: type[AwsException], says: str
) -> None:
    there = templates.create(HOME, "there", BODY, ROLE)
    with pytest.raises(refusal, match=says):
        templates.create(HOME, **({"name": "t", "body": BODY, "role_arn": ROLE} | wrong), tags={"k": "v"})
    assert templates.list(HOME, Window(limit=5)).items == [there]


@pytest.mark.parametrize("template_type", TemplateType)
def test_the_certificate_s_id_needs_no_declaration(
    templates: ProvisioningTemplates, template_type: TemplateType
) -> None:
    templates.create(HOME, "t", UNDECLARED, ROLE, template_type=template_type)
    assert templates.create_version(HOME, "t", UNDECLARED).version_id == 2


def test_parameters_of_the_subject_are_only_for_type_jitp(templates: ProvisioningTemplates) -> None:
    templates.create(HOME, "jitp", SUBJECT, ROLE, template_type=TemplateType.JITP)
    assert templates.create_version(HOME, "jitp", SUBJECT).version_id == 2
    with pytest.raises(InvalidRequestException, match="The service supplies it to templates of type JITP"):
        templates.create(HOME, "fleet", SUBJECT, ROLE)
    templates.create(HOME, "fleet", BODY, ROLE)
    with pytest.raises(InvalidRequestException, match="The service supplies it to templates of type JITP"):
        templates.create_version(HOME, "fleet", SUBJECT)


def test_a_policy_document_built_as_text_logs_a_warning(templates: ProvisioningTemplates) -> None:
    with captured_log() as logged:
        templates.create(HOME, "t", BUILT_AS_TEXT, ROLE)
        templates.create_version(HOME, "t", BUILT_AS_TEXT)
        templates.create_version(HOME, "t", BODY)
    assert [(line["log_level"], line["template_name"]) for line in logged] == [("warning", "t")] * 2
    assert "line 1: the policy 'built' builds its PolicyDocument as JSON text" in logged[0]["reason"]


@pytest.mark.parametrize(
    ("certificate", "says"),
    [
        (None, "no certificate, which a template of type FLEET_PROVISIONING needs"),
        ({"CertificateSigningRequest": "request"}, "specifies its certificate as CertificateSigningRequest"),
        ({"CertificatePem": "pem"}, "specifies its certificate as CertificatePem"),
    ],
)
def test_a_fleet_template_must_name_its_certificate(
    templates: ProvisioningTemplates, certificate: dict[str, str] | None, says: str
) -> None:
    resources: dict[str, Any] = {"thing": THING}
    if certificate is not None:
        resources["certificate"] = {"Type": "AWS::IoT::Certificate", "Properties": certificate}
    body = json.dumps({"Resources": resources})
    with pytest.raises(InvalidRequestException, match=says):
        templates.create(HOME, "t", body, ROLE)
    templates.create(HOME, "t", BODY, ROLE)
    with pytest.raises(InvalidRequestException, match=says):
        templates.create_version(HOME, "t", body)
    assert len(templates.versions(HOME, "t", Window(limit=5))[1].items) == 1


def test_a_jitp_template_may_leave_the_certificate_inactive(
    templates: ProvisioningTemplates,
) -> None:
    templates.create(HOME, "jitp", WITHOUT_CERTIFICATE, ROLE, template_type=TemplateType.JITP)
    assert templates.create_version(HOME, "jitp", WITHOUT_CERTIFICATE).version_id == 2


def test_an_account_has_at_most_256_templates_in_a_region(
    templates: ProvisioningTemplates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sekisho.provisioning.templates.rules.MAX_TEMPLATES", 2)
    templates.create(HOME, "one", BODY, ROLE)
    templates.create(HOME, "two", BODY, ROLE)
    templates.create(SAME_ACCOUNT_ELSEWHERE, "three", BODY, ROLE)
    with pytest.raises(LimitExceededException):
        templates.create(HOME, "three", BODY, ROLE)
    assert len(templates.list(HOME, Window(limit=5)).items) == 2


def test_a_template_that_a_ca_names_cannot_be_deleted(
    templates: ProvisioningTemplates, store: Store, clock: SetClock
) -> None:
    templates.create(HOME, "t", BODY, ROLE, template_type=TemplateType.JITP)
    cas = CACertificates(store, clock)
    config = RegistrationConfig(template_name="t")
    ca = cas.register(HOME, new_ca().pem, mode=CertificateMode.SNI_ONLY, registration_config=config)
    with pytest.raises(DeleteConflictException, match=ca.certificate_id):
        templates.delete(HOME, "t")
    cas.update(HOME, ca.certificate_id, remove_auto_registration=True)
    templates.delete(HOME, "t")
    with pytest.raises(ResourceNotFoundException, match="t does not exist in account 123456789012"):
        templates.get(HOME, "t")


def test_a_claim_is_a_certificate_of_five_minutes_that_is_deleted_after_them(
    templates: ProvisioningTemplates, store: Store, clock: SetClock, announced: list[Change]
) -> None:
    templates.create(HOME, "t", BODY, ROLE)
    clock.move(0.75)
    created = templates.create_claim(HOME, "t")
    certificate = X509Certificate.from_pem(created.claim.certificate_pem)
    assert certificate.certificate_id == created.claim.certificate_id
    assert keys.fits(keys.load(created.private_key_pem), certificate.public_key)
    assert certificate.not_after == created.claim.not_after == clock.now.replace(microsecond=0) + timedelta(minutes=5)
    assert certificate.not_before < clock.now

    clock.move(300)
    assert templates.remove_expired_claims() == 1
    assert templates.remove_expired_claims() == 0
    for _ in range(2):
        templates.create_claim(HOME, "t")
        clock.move(301)
    with store.read() as tx:
        assert len(ProvisioningClaimRows(tx).of_template(HOME, "t")) == 1
    # A connection that provisions may finish.
    assert announced == []


def test_a_claim_is_for_an_existing_fleet_template(templates: ProvisioningTemplates) -> None:
    templates.create(HOME, "jitp", BODY, ROLE, template_type=TemplateType.JITP)
    with pytest.raises(InvalidRequestException, match="of type JITP"):
        templates.create_claim(HOME, "jitp")
    with pytest.raises(ResourceNotFoundException):
        templates.create_claim(OTHER_ACCOUNT, "jitp")


def answer(store: Store, created: Any, realm: Any) -> object:
    certificate = X509Certificate.from_pem(created.claim.certificate_pem)
    asked = AdmissionRequest(realm, certificate.certificate_id, certificate.der, (), "device")
    (answered,) = Admission(store).answer([asked])
    return answered


def test_admission_knows_a_claim_with_sni_and_without(templates: ProvisioningTemplates, store: Store) -> None:
    templates.create(HOME, "t", BODY, ROLE)
    created = templates.create_claim(HOME, "t")
    for realm in (HOME, None):
        identity = answer(store, created, realm)
        assert isinstance(identity, Identity)
        assert identity.certificate.status is CertificateStatus.ACTIVE
        assert identity.certificate.realm == HOME
        assert identity.things == ()
    elsewhere = answer(store, created, OTHER_ACCOUNT)
    assert isinstance(elsewhere, Refused)
    assert elsewhere.reason is RefusalReason.DEVICE_CERTIFICATE_NOT_REGISTERED
    assert elsewhere.detail is not None


def test_a_claim_is_deleted_with_its_template_and_announced(
    templates: ProvisioningTemplates, store: Store, announced: list[Change]
) -> None:
    templates.create(HOME, "t", BODY, ROLE)
    created = templates.create_claim(HOME, "t")
    templates.delete(HOME, "t")
    assert announced == [Change(HOME, ChangeKind.CERTIFICATE, created.claim.certificate_id)]
    assert isinstance(answer(store, created, HOME), Refused)


def test_a_claim_may_only_provision_through_its_template(templates: ProvisioningTemplates, store: Store) -> None:
    templates.create(HOME, "t", BODY, ROLE)
    created = templates.create_claim(HOME, "t")
    identity = answer(store, created, HOME)
    assert isinstance(identity, Identity)
    start = "arn:aws:iot:eu-central-1:123456789012:"
    provision = "$aws/provisioning-templates/t/provision/"
    topics = [
        f"$aws/certificates/{way}/{format_}" for way in ("create", "create-from-csr") for format_ in ("json", "x")
    ]
    allowed = [("iot:Connect", f"{start}client/whatever")]
    for topic in (*topics, f"{provision}json"):
        allowed += [("iot:Publish", f"{start}topic/{topic}"), ("iot:Receive", f"{start}topic/{topic}/accepted")]
        allowed += [
            ("iot:Subscribe", f"{start}topicfilter/{topic}/+"),
            ("iot:Subscribe", f"{start}topicfilter/{topic}/#"),
        ]
    denied = [
        ("iot:Publish", f"{start}topic/hello"),
        ("iot:Publish", f"{start}topic/$aws/provisioning-templates/other/provision/json"),
        ("iot:Publish", f"{start}topic/$aws/things/lamp/shadow/update"),
        ("iot:Publish", "arn:aws:iot:us-east-1:123456789012:topic/$aws/certificates/create/json"),
        ("iot:Subscribe", f"{start}topicfilter/#"),
        ("iot:Subscribe", f"{start}topicfilter/$aws/#"),
        ("iot:Receive", f"{start}topic/hello"),
        ("iot:RetainPublish", f"{start}topic/$aws/certificates/create/json"),
    ]
    engine = RustPolicyEngine()
    engine.check(identity.policies[0].document)
    subject = Subject(HOME, created.claim.certificate_pem, identity.policies)
    decisions = engine.evaluate(subject, "whatever", allowed + denied)
    assert [each.decision for each in decisions] == ["ALLOWED"] * len(allowed) + ["IMPLICIT_DENY"] * len(denied)
