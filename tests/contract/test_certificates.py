"""Device certificates, as boto3 and the AWS CLI see them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from sekisho.change import Change, ChangeKind
from tests.contract.arrange import ANYTHING
from tests.contract.conftest import Account
from tests.x509 import KeyAndCertificate, new_ca, new_device, new_request, openssl, p256, signed_by_openssl, v1


def add_ca(account: Account, ca: KeyAndCertificate | None = None) -> KeyAndCertificate:
    """Register an active CA in SNI_ONLY mode."""
    ca = ca or new_ca()
    account.iot.register_ca_certificate(caCertificate=ca.pem, certificateMode="SNI_ONLY", setAsActive=True)
    return ca


def status_of(refusal: pytest.ExceptionInfo[ClientError]) -> int:
    return int(refusal.value.response["ResponseMetadata"]["HTTPStatusCode"])


def test_a_certificate_of_a_registered_ca_is_registered_and_described(account: Account) -> None:
    iot = account.iot
    ca = add_ca(account)
    device = new_device(ca)
    pem = v1(device, ca)
    made = iot.register_certificate(certificatePem=pem, caCertificatePem=ca.pem, setAsActive=True)
    account_id = account.realm.account_id
    assert made["certificateArn"] == f"arn:aws:iot:eu-central-1:{account_id}:cert/{made['certificateId']}"
    described = iot.describe_certificate(certificateId=made["certificateId"])["certificateDescription"]
    dates = ("creationDate", "lastModifiedDate")
    assert described["creationDate"] == described["lastModifiedDate"] <= datetime.now(UTC)
    assert described["generationId"]
    assert {name: value for name, value in described.items() if name not in (*dates, "generationId")} == {
        "certificateArn": made["certificateArn"],
        "certificateId": made["certificateId"],
        "caCertificateId": ca.certificate_id,
        "status": "ACTIVE",
        "certificatePem": pem,
        "ownedBy": account_id,
        "customerVersion": 1,
        "validity": {
            "notBefore": device.certificate.not_valid_before_utc,
            "notAfter": device.certificate.not_valid_after_utc,
        },
        "certificateMode": "SNI_ONLY",
    }
    assert Change(account.realm, ChangeKind.CERTIFICATE, made["certificateId"]) in account.server.announced


def test_a_certificate_without_its_ca_is_registered_in_many_accounts(account: Account, other_account: Account) -> None:
    device = new_device(new_ca())
    for each in (account, other_account, account.elsewhere("us-east-1")):
        made = each.iot.register_certificate_without_ca(certificatePem=device.pem, status="ACTIVE")
        described = each.iot.describe_certificate(certificateId=made["certificateId"])["certificateDescription"]
        assert (described["status"], described["certificateMode"]) == ("ACTIVE", "SNI_ONLY")
        assert described["ownedBy"] == each.realm.account_id
        assert "caCertificateId" not in described
        assert "transferData" not in described
    assert account.iot.register_certificate_without_ca(certificatePem=new_device(None).pem)


def test_each_refusal_to_register_has_its_class_and_status(account: Account) -> None:
    iot = account.iot
    refused = iot.exceptions
    ca = add_ca(account)
    renewed = add_ca(account, new_ca(key=add_ca(account, key_of := new_ca("Renewed")).key, name="Renewed"))
    assert renewed.certificate_id != key_of.certificate_id
    inactive = new_ca("Inactive")
    iot.register_ca_certificate(caCertificate=inactive.pem, certificateMode="SNI_ONLY")
    device = new_device(ca)
    cases: list[tuple[type[Exception], int, str, dict[str, Any]]] = [
        (refused.CertificateStateException, 406, "No CA certificate exists for the given certificate",
         {"certificatePem": new_device(new_ca("Unknown")).pem}),
        (refused.CertificateStateException, 406, "No CA certificate exists for the given certificate",
         {"certificatePem": device.pem, "caCertificatePem": new_ca().pem}),
        (refused.CertificateStateException, 406, "is INACTIVE since", {"certificatePem": new_device(inactive).pem}),
        (refused.CertificateStateException, 406, "Not allowed to register certificate with PENDING_ACTIVATION status",
         {"certificatePem": device.pem, "status": "PENDING_ACTIVATION"}),
        (refused.CertificateConflictException, 409, "caCertificatePem", {"certificatePem": new_device(renewed).pem}),
        (refused.CertificateValidationException, 400, "not signed by the key",
         {"certificatePem": new_device(new_ca()).pem}),
        (refused.CertificateValidationException, 400, "a key of the kind Ed25519",
         {"certificatePem": new_device(ca, key=ed25519.Ed25519PrivateKey.generate()).pem}),
        (refused.CertificateValidationException, 400, "expired on",
         {"certificatePem": new_device(ca, ends=datetime(2026, 1, 1, tzinfo=UTC)).pem}),
        (refused.CertificateValidationException, 400, "certificatePem: The text contains 2 objects",
         {"certificatePem": device.pem + ca.pem}),
        (refused.CertificateValidationException, 400, "contains a private key", {"certificatePem": device.key_pem}),
        (refused.InvalidRequestException, 400, "failed to satisfy constraint",
         {"certificatePem": device.pem, "status": "SLEEPING"}),
    ]  # fmt: skip
    for kind, status, message, parameters in cases:
        with pytest.raises(ClientError) as refusal:
            iot.register_certificate(**parameters)
        assert isinstance(refusal.value, kind), refusal.value
        assert status_of(refusal) == status
        assert message in str(refusal.value)
        assert device.key_pem.splitlines()[1] not in str(refusal.value)
    assert iot.list_certificates()["certificates"] == []


def test_a_registered_certificate_is_refused_with_the_id_of_the_first(account: Account) -> None:
    iot = account.iot
    device = new_device(add_ca(account))
    made = iot.register_certificate(certificatePem=device.pem)
    for again in (iot.register_certificate, iot.register_certificate_without_ca):
        with pytest.raises(
            iot.exceptions.ResourceAlreadyExistsException,
            match="The certificate is already provisioned or registered",
        ) as refusal:
            again(certificatePem=device.pem)
        assert status_of(refusal) == 409
        assert refusal.value.response["resourceId"] == made["certificateId"]
        assert refusal.value.response["resourceArn"] == made["certificateArn"]


def test_a_default_mode_certificate_belongs_to_one_account(account: Account, other_account: Account) -> None:
    ca = new_ca()
    code = account.iot.get_registration_code()["registrationCode"]
    account.iot.register_ca_certificate(
        caCertificate=ca.pem, verificationCertificate=new_device(ca, code).pem, setAsActive=True
    )
    device = new_device(ca)
    made = account.iot.register_certificate(certificatePem=device.pem)
    described = account.iot.describe_certificate(certificateId=made["certificateId"])["certificateDescription"]
    assert described["certificateMode"] == "DEFAULT"
    account.iot.update_ca_certificate(certificateId=ca.certificate_id, newStatus="INACTIVE")
    account.iot.delete_ca_certificate(certificateId=ca.certificate_id)
    other_code = other_account.iot.get_registration_code()["registrationCode"]
    other_account.iot.register_ca_certificate(
        caCertificate=ca.pem, verificationCertificate=new_device(ca, other_code).pem, setAsActive=True
    )
    with pytest.raises(other_account.iot.exceptions.InvalidRequestException, match="This request is not valid"):
        other_account.iot.register_certificate(certificatePem=device.pem)


def test_a_key_pair_is_issued_with_its_certificate(account: Account) -> None:
    made = account.iot.create_keys_and_certificate(setAsActive=True)
    pair = made["keyPair"]
    assert pair["PrivateKey"].startswith("-----BEGIN RSA PRIVATE KEY-----\n")
    assert pair["PublicKey"].startswith("-----BEGIN PUBLIC KEY-----\n")
    certificate = x509.load_pem_x509_certificate(made["certificatePem"].encode())
    public = load_pem_private_key(pair["PrivateKey"].encode(), None).public_key()
    assert certificate.public_key() == public == load_pem_public_key(pair["PublicKey"].encode())
    described = account.iot.describe_certificate(certificateId=made["certificateId"])["certificateDescription"]
    assert (described["status"], described["certificateMode"]) == ("ACTIVE", "DEFAULT")
    assert described["certificatePem"] == made["certificatePem"]
    assert described["validity"]["notAfter"] == datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)


def test_each_call_with_a_signing_request_returns_another_certificate(account: Account) -> None:
    iot = account.iot
    key = p256()
    first, second = (
        iot.create_certificate_from_csr(certificateSigningRequest=new_request(key, "pump")) for _ in range(2)
    )
    assert first["certificateId"] != second["certificateId"]
    certificate = x509.load_pem_x509_certificate(first["certificatePem"].encode())
    assert certificate.public_key() == key.public_key()
    assert certificate.subject.rfc4514_string() == "CN=pump"
    assert (
        iot.describe_certificate(certificateId=first["certificateId"])["certificateDescription"]["status"] == "INACTIVE"
    )
    with pytest.raises(iot.exceptions.InvalidRequestException, match="not a certificate signing request") as refusal:
        iot.create_certificate_from_csr(certificateSigningRequest="hello")
    assert status_of(refusal) == 400
    with pytest.raises(iot.exceptions.InvalidRequestException, match="failed to satisfy constraint"):
        iot.create_certificate_from_csr(certificateSigningRequest="x" * 4097)


def test_a_certificate_goes_from_active_to_deleted(account: Account) -> None:
    iot = account.iot
    made = iot.register_certificate_without_ca(certificatePem=new_device(None).pem, status="ACTIVE")
    certificate_id, certificate_arn = made["certificateId"], made["certificateArn"]
    iot.create_thing(thingName="pump")
    iot.attach_thing_principal(thingName="pump", principal=certificate_arn)
    iot.create_policy(policyName="p1", policyDocument=ANYTHING)
    iot.attach_policy(policyName="p1", target=certificate_arn)

    with pytest.raises(iot.exceptions.CertificateStateException, match=r"must be deactivated \(not ACTIVE\)") as active:
        iot.delete_certificate(certificateId=certificate_id)
    assert status_of(active) == 406
    iot.update_certificate(certificateId=certificate_id, newStatus="INACTIVE")
    with pytest.raises(
        iot.exceptions.DeleteConflictException, match="Things must be detached before deletion"
    ) as thing:
        iot.delete_certificate(certificateId=certificate_id, forceDelete=True)
    assert status_of(thing) == 409
    iot.detach_thing_principal(thingName="pump", principal=certificate_arn)
    with pytest.raises(iot.exceptions.DeleteConflictException, match="Certificate policies must be detached"):
        iot.delete_certificate(certificateId=certificate_id)
    iot.delete_certificate(certificateId=certificate_id, forceDelete=True)
    assert iot.list_targets_for_policy(policyName="p1")["targets"] == []
    calls: list[Callable[[], object]] = [
        lambda: iot.describe_certificate(certificateId=certificate_id),
        lambda: iot.update_certificate(certificateId=certificate_id, newStatus="ACTIVE"),
        lambda: iot.delete_certificate(certificateId=certificate_id),
    ]
    for call in calls:
        with pytest.raises(iot.exceptions.ResourceNotFoundException) as gone:
            call()
        assert status_of(gone) == 404


def test_a_revoked_certificate_stays_revoked(account: Account) -> None:
    iot = account.iot
    certificate_id = iot.register_certificate_without_ca(certificatePem=new_device(None).pem)["certificateId"]
    iot.update_certificate(certificateId=certificate_id, newStatus="REVOKED")
    with pytest.raises(
        iot.exceptions.CertificateStateException, match="REVOKED certificate cannot be set to ACTIVE"
    ) as refusal:
        iot.update_certificate(certificateId=certificate_id, newStatus="ACTIVE")
    assert status_of(refusal) == 406
    with pytest.raises(iot.exceptions.CertificateStateException, match="cannot be set to PENDING_ACTIVATION"):
        iot.update_certificate(certificateId=certificate_id, newStatus="PENDING_ACTIVATION")
    iot.delete_certificate(certificateId=certificate_id)


def test_certificates_are_listed_in_pages_newest_first_and_by_ca(account: Account, other_account: Account) -> None:
    iot = account.iot
    ca = add_ca(account)
    mine = [iot.register_certificate(certificatePem=new_device(ca).pem)["certificateId"] for _ in range(3)]
    apart = iot.register_certificate_without_ca(certificatePem=new_device(ca).pem)["certificateId"]
    other_account.iot.register_certificate_without_ca(certificatePem=new_device(ca).pem)

    pages = list(iot.get_paginator("list_certificates").paginate(PaginationConfig={"PageSize": 3}))
    assert [each["certificateId"] for page in pages for each in page["certificates"]] == [apart, *mine[::-1]]
    assert [len(page["certificates"]) for page in pages] == [3, 1]
    assert set(pages[0]["certificates"][0]) == {
        "certificateArn", "certificateId", "status", "certificateMode", "creationDate"
    }  # fmt: skip
    by_ca = iot.get_paginator("list_certificates_by_ca").paginate(
        caCertificateId=ca.certificate_id, ascendingOrder=True, PaginationConfig={"PageSize": 2}
    )
    assert [each["certificateId"] for page in by_ca for each in page["certificates"]] == mine
    assert iot.list_certificates_by_ca(caCertificateId="f" * 64)["certificates"] == []
    with pytest.raises(iot.exceptions.InvalidRequestException, match="is not one that this service returned"):
        iot.list_certificates(marker="c29tZXRoaW5n")


@pytest.mark.parametrize("certificate_id", ["g" * 64, "f" * 65])
def test_an_invalid_certificate_id_is_refused(account: Account, certificate_id: str) -> None:
    iot = account.iot
    with pytest.raises(iot.exceptions.InvalidRequestException, match="failed to satisfy constraint"):
        iot.describe_certificate(certificateId=certificate_id)


def test_an_id_in_capital_letters_is_the_same_id(account: Account) -> None:
    made = account.iot.register_certificate_without_ca(certificatePem=new_device(None).pem)
    answer = account.iot.describe_certificate(certificateId=made["certificateId"].upper())
    assert answer["certificateDescription"]["certificateId"] == made["certificateId"]


@pytest.mark.parametrize("option", ["with the CA", "without it"])
def test_the_article_registers_its_device_by_the_aws_cli(account: Account, tmp_path: Path, option: str) -> None:
    signed_by_openssl(tmp_path, add_ca(account), "-sha256")
    if option == "with the CA":
        registering = [
            "register-certificate", "--set-as-active", "--certificate-pem", f"file://{tmp_path}/d.crt",
            "--ca-certificate-pem", f"file://{tmp_path}/ca.crt",
        ]  # fmt: skip
    else:
        registering = [
            "register-certificate-without-ca", "--status", "ACTIVE", "--certificate-pem", f"file://{tmp_path}/d.crt",
        ]  # fmt: skip
    registered = account.aws("iot", *registering)
    assert registered.returncode == 0, registered.stderr
    made = json.loads(registered.stdout)
    fingerprint = openssl("x509", "-in", "d.crt", "-noout", "-fingerprint", "-sha256", cwd=tmp_path)
    assert made["certificateId"] == fingerprint.strip().split("=")[1].replace(":", "").lower()

    query = f"certificates[?certificateId=='{made['certificateId']}'].certificateArn"
    found = account.aws("iot", "list-certificates", "--query", query, "--output", "text")
    assert found.stdout.strip() == made["certificateArn"]

    again = account.aws("iot", "register-certificate-without-ca", "--certificate-pem", f"file://{tmp_path}/d.crt")
    assert again.returncode != 0
    assert "(ResourceAlreadyExistsException)" in again.stderr
    assert "The certificate is already provisioned or registered" in again.stderr
