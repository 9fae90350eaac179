"""CA certificates, as boto3 and the AWS CLI see them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.contract.conftest import Account
from tests.x509 import KeyAndCertificate, new_ca, new_device, openssl, v1

TEMPLATE = json.dumps({"Resources": {"thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": "t"}}}})
ROLE = "arn:aws:iam::123456789012:role/provisioning"


def register(account: Account, ca: KeyAndCertificate | None = None, **options: Any) -> str:
    """Register in SNI_ONLY mode and return the id."""
    return account.iot.register_ca_certificate(
        caCertificate=(ca or new_ca()).pem, certificateMode="SNI_ONLY", **options
    )["certificateId"]


def status_of(refusal: pytest.ExceptionInfo[ClientError]) -> int:
    return int(refusal.value.response["ResponseMetadata"]["HTTPStatusCode"])


def test_a_ca_is_registered_described_changed_and_deleted(account: Account) -> None:
    iot = account.iot
    ca = new_ca()
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    made = iot.register_ca_certificate(
        caCertificate=ca.pem,
        certificateMode="SNI_ONLY",
        setAsActive=True,
        allowAutoRegistration=True,
        tags=[{"Key": "site", "Value": "north"}],
    )
    assert made["certificateId"] == ca.certificate_id
    assert made["certificateArn"] == f"arn:aws:iot:eu-central-1:{account.realm.account_id}:cacert/{ca.certificate_id}"

    answer = iot.describe_ca_certificate(certificateId=ca.certificate_id)
    assert "registrationConfig" not in dict(answer)
    described = answer["certificateDescription"]
    assert before <= described["creationDate"] <= datetime.now(UTC)
    assert described["generationId"]
    assert {name: value for name, value in described.items() if name not in ("creationDate", "generationId")} == {
        "certificateArn": made["certificateArn"],
        "certificateId": ca.certificate_id,
        "status": "ACTIVE",
        "certificatePem": ca.pem,
        "ownedBy": account.realm.account_id,
        "autoRegistrationStatus": "ENABLE",
        "lastModifiedDate": described["creationDate"],
        "customerVersion": 1,
        "validity": {
            "notBefore": ca.certificate.not_valid_before_utc,
            "notAfter": ca.certificate.not_valid_after_utc,
        },
        "certificateMode": "SNI_ONLY",
    }
    assert iot.list_tags_for_resource(resourceArn=made["certificateArn"])["tags"] == [{"Key": "site", "Value": "north"}]

    with pytest.raises(iot.exceptions.CertificateStateException, match="must be deactivated") as refusal:
        iot.delete_ca_certificate(certificateId=ca.certificate_id)
    assert status_of(refusal) == 406
    iot.update_ca_certificate(
        certificateId=ca.certificate_id, newStatus="INACTIVE", newAutoRegistrationStatus="DISABLE"
    )
    changed = iot.describe_ca_certificate(certificateId=ca.certificate_id)["certificateDescription"]
    assert (changed["status"], changed["autoRegistrationStatus"]) == ("INACTIVE", "DISABLE")
    assert changed["customerVersion"] == 2
    iot.delete_ca_certificate(certificateId=ca.certificate_id)
    for call in (iot.describe_ca_certificate, iot.delete_ca_certificate, iot.update_ca_certificate):
        with pytest.raises(iot.exceptions.ResourceNotFoundException) as gone:
            call(certificateId=ca.certificate_id)
        assert status_of(gone) == 404
        assert account.realm.account_id in str(gone.value)


def test_the_registration_config_of_a_ca_is_set_and_removed(account: Account) -> None:
    iot = account.iot
    config = {"templateBody": TEMPLATE, "roleArn": ROLE}
    ca = register(account, registrationConfig=config)
    assert iot.describe_ca_certificate(certificateId=ca)["registrationConfig"] == config
    other = {"templateBody": TEMPLATE.replace('"t"', '"u"'), "roleArn": ROLE}
    iot.update_ca_certificate(certificateId=ca, registrationConfig=other)  # type: ignore[arg-type]
    assert iot.describe_ca_certificate(certificateId=ca)["registrationConfig"] == other
    iot.update_ca_certificate(certificateId=ca, removeAutoRegistration=True, newAutoRegistrationStatus="DISABLE")
    assert "registrationConfig" not in iot.describe_ca_certificate(certificateId=ca)
    with pytest.raises(iot.exceptions.InvalidRequestException, match="templateBody: line 1, column 2: not JSON"):
        iot.update_ca_certificate(certificateId=ca, registrationConfig={"templateBody": "{", "roleArn": ROLE})
    with pytest.raises(iot.exceptions.ResourceNotFoundException, match="template factory does not exist"):
        iot.update_ca_certificate(certificateId=ca, registrationConfig={"templateName": "factory"})


def test_in_default_mode_the_key_is_proved_by_the_registration_code(account: Account, other_account: Account) -> None:
    iot = account.iot
    code = iot.get_registration_code()["registrationCode"]
    assert len(code) == 64
    assert iot.get_registration_code()["registrationCode"] == code
    ca = new_ca()
    verification = v1(new_device(ca, code), ca)
    made = iot.register_ca_certificate(caCertificate=ca.pem, verificationCertificate=verification)
    described = iot.describe_ca_certificate(certificateId=made["certificateId"])["certificateDescription"]
    assert (described["certificateMode"], described["status"]) == ("DEFAULT", "INACTIVE")

    other_code = other_account.iot.get_registration_code()["registrationCode"]
    with pytest.raises(iot.exceptions.InvalidRequestException, match="Cannot accept this CACertificate") as refusal:
        other_account.iot.register_ca_certificate(
            caCertificate=ca.pem, verificationCertificate=new_device(ca, other_code).pem
        )
    assert status_of(refusal) == 400
    register(other_account, ca)

    iot.delete_registration_code()
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.delete_registration_code()
    assert iot.get_registration_code()["registrationCode"] != code


def test_each_refusal_has_its_class_and_status(account: Account) -> None:
    iot = account.iot
    refused = iot.exceptions
    ca = new_ca()
    code = iot.get_registration_code()["registrationCode"]
    cases: list[tuple[type[Exception], int, str, dict[str, Any]]] = [
        (refused.InvalidRequestException, 400, "verificationCertificate is missing", {"caCertificate": ca.pem}),
        (
            refused.InvalidRequestException,
            400,
            "certificateMode is SNI_ONLY",
            {"caCertificate": ca.pem, "certificateMode": "SNI_ONLY", "verificationCertificate": ca.pem},
        ),
        (
            refused.RegistrationCodeValidationException,
            400,
            f"is 'wrong'; expected the registration code '{code}'",
            {"caCertificate": ca.pem, "verificationCertificate": new_device(ca, "wrong").pem},
        ),
        (
            refused.CertificateValidationException,
            400,
            "It is self-signed",
            {"caCertificate": ca.pem, "verificationCertificate": new_device(None, code).pem},
        ),
        (
            refused.CertificateValidationException,
            400,
            "The CA certificate does not have the basicConstraints extension as true",
            {"caCertificate": new_device(None).pem, "certificateMode": "SNI_ONLY"},
        ),
        (
            refused.CertificateValidationException,
            400,
            "contains a private key",
            {"caCertificate": ca.key_pem, "certificateMode": "SNI_ONLY"},
        ),
        (
            refused.InvalidRequestException,
            400,
            "failed to satisfy constraint",
            {"caCertificate": ca.pem, "certificateMode": "BOTH"},
        ),
        (
            refused.InvalidRequestException,
            400,
            "failed to satisfy constraint",
            {"caCertificate": "x" * 65537, "certificateMode": "SNI_ONLY"},
        ),
    ]
    for kind, status, message, parameters in cases:
        with pytest.raises(ClientError) as refusal:
            iot.register_ca_certificate(**parameters)
        assert isinstance(refusal.value, kind), refusal.value
        assert status_of(refusal) == status
        assert message in str(refusal.value)
        assert ca.key_pem.splitlines()[1] not in str(refusal.value)
    assert iot.list_ca_certificates()["certificates"] == []


def test_a_registered_ca_is_refused_and_so_is_an_eleventh_of_one_subject(account: Account) -> None:
    iot = account.iot
    ca = new_ca()
    made = iot.register_ca_certificate(caCertificate=ca.pem, certificateMode="SNI_ONLY")
    with pytest.raises(iot.exceptions.ResourceAlreadyExistsException) as refusal:
        register(account, ca)
    assert status_of(refusal) == 409
    assert refusal.value.response["resourceId"] == made["certificateId"]
    assert refusal.value.response["resourceArn"] == made["certificateArn"]
    for _ in range(9):
        register(account)
    with pytest.raises(
        iot.exceptions.LimitExceededException,
        match="Limit reached for number of CA Certificates with same subject",
    ) as limit:
        register(account)
    assert status_of(limit) == 410


def test_lists_come_in_pages_newest_first(account: Account, other_account: Account) -> None:
    made = [register(account, new_ca(f"CA {number}")) for number in range(5)]
    register(other_account)
    register(account.elsewhere("us-east-1"))
    pages = list(account.iot.get_paginator("list_ca_certificates").paginate(PaginationConfig={"PageSize": 2}))
    assert [len(page["certificates"]) for page in pages] == [2, 2, 1]
    assert [each["certificateId"] for page in pages for each in page["certificates"]] == made[::-1]
    assert set(pages[0]["certificates"][0]) == {"certificateArn", "certificateId", "status", "creationDate"}
    ascending = account.iot.list_ca_certificates(ascendingOrder=True, pageSize=3)
    assert [each["certificateId"] for each in ascending["certificates"]] == made[:3]
    assert account.iot.list_ca_certificates(templateName="factory")["certificates"] == []
    with pytest.raises(account.iot.exceptions.InvalidRequestException, match="is not one that this service returned"):
        account.iot.list_ca_certificates(marker="c29tZXRoaW5n")
    with pytest.raises(account.iot.exceptions.InvalidRequestException):
        account.iot.list_ca_certificates(pageSize=251)


def test_the_article_registers_its_ca_by_the_aws_cli(account: Account, tmp_path: Path) -> None:
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "ca.key", cwd=tmp_path)
    openssl("req", "-x509", "-new", "-nodes", "-key", "ca.key", "-sha256", "-days", "1024", "-subj", "/CN=MyCA",
            "-out", "ca.crt", cwd=tmp_path)  # fmt: skip
    registered = account.aws(
        "iot", "register-ca-certificate", "--ca-certificate", f"file://{tmp_path}/ca.crt",
        "--certificate-mode", "SNI_ONLY", "--set-as-active", "--query", "certificateId", "--output", "text",
    )  # fmt: skip
    assert registered.returncode == 0, registered.stderr
    certificate_id = registered.stdout.strip()
    fingerprint = openssl("x509", "-in", "ca.crt", "-noout", "-fingerprint", "-sha256", cwd=tmp_path)
    assert certificate_id == fingerprint.strip().split("=")[1].replace(":", "").lower()

    described = account.aws("iot", "describe-ca-certificate", "--certificate-id", certificate_id)
    assert described.returncode == 0, described.stderr
    description = json.loads(described.stdout)["certificateDescription"]
    assert (description["status"], description["certificateMode"]) == ("ACTIVE", "SNI_ONLY")
    assert description["autoRegistrationStatus"] == "DISABLE"
    assert description["certificatePem"] == (tmp_path / "ca.crt").read_text()

    again = account.aws(
        "iot", "register-ca-certificate", "--ca-certificate", f"file://{tmp_path}/ca.crt",
        "--certificate-mode", "SNI_ONLY",
    )  # fmt: skip
    assert again.returncode != 0
    assert "(ResourceAlreadyExistsException)" in again.stderr


def test_the_guides_default_mode_registration_works_by_the_aws_cli(account: Account, tmp_path: Path) -> None:
    code = account.aws("iot", "get-registration-code", "--query", "registrationCode", "--output", "text").stdout.strip()
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-days", "1024", "-subj", "/CN=MyCA",
            "-out", "ca.crt", cwd=tmp_path)  # fmt: skip
    openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "v.key", "-subj", f"/CN={code}", "-out", "v.csr",
            cwd=tmp_path)  # fmt: skip
    openssl("x509", "-req", "-in", "v.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-out", "v.crt",
            "-days", "500", "-sha256", cwd=tmp_path)  # fmt: skip
    registered = account.aws(
        "iot", "register-ca-certificate", "--ca-certificate", f"file://{tmp_path}/ca.crt",
        "--verification-certificate", f"file://{tmp_path}/v.crt", "--set-as-active", "--allow-auto-registration",
    )  # fmt: skip
    assert registered.returncode == 0, registered.stderr
    described = account.iot.describe_ca_certificate(certificateId=json.loads(registered.stdout)["certificateId"])
    assert described["certificateDescription"]["certificateMode"] == "DEFAULT"
    assert described["certificateDescription"]["autoRegistrationStatus"] == "ENABLE"
