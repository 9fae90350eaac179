"""Certificate providers, as boto3 sees them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sekisho.provisioning.handlers import HandlerFailed
from tests.contract.conftest import Account
from tests.x509 import around_now, new_ca, new_device, new_request, p256

FROM_CSR = "CreateCertificateFromCsr"


def function(account: Account, name: str = "sign") -> str:
    """Return an ARN that no other test uses."""
    return f"arn:aws:lambda:eu-central-1:{account.realm.account_id}:function:{name}"


def make(account: Account, name: str = "step-ca", **options: Any) -> Any:
    return account.iot.create_certificate_provider(
        **{
            "certificateProviderName": name,
            "lambdaFunctionArn": function(account),
            "accountDefaultForOperations": [FROM_CSR],
            **options,
        }
    )


def status_of(refusal: pytest.ExceptionInfo[ClientError]) -> int:
    return int(refusal.value.response["ResponseMetadata"]["HTTPStatusCode"])


def test_a_provider_is_made_described_changed_listed_and_deleted(account: Account) -> None:
    iot = account.iot
    made = make(account, tags=[{"Key": "site", "Value": "north"}], clientToken="t" * 36)
    provider_arn = f"arn:aws:iot:eu-central-1:{account.realm.account_id}:certificateprovider/step-ca"
    assert (made["certificateProviderName"], made["certificateProviderArn"]) == ("step-ca", provider_arn)
    described: dict[str, Any] = dict(iot.describe_certificate_provider(certificateProviderName="step-ca"))
    del described["ResponseMetadata"]
    created = described.pop("creationDate")
    assert abs(created - datetime.now(UTC)) < timedelta(minutes=5)
    assert described == {
        "certificateProviderName": "step-ca",
        "certificateProviderArn": provider_arn,
        "lambdaFunctionArn": function(account),
        "accountDefaultForOperations": [FROM_CSR],
        "lastModifiedDate": created,
    }
    assert iot.list_tags_for_resource(resourceArn=provider_arn)["tags"] == [{"Key": "site", "Value": "north"}]
    assert make(account, clientToken="t" * 36)["certificateProviderArn"] == provider_arn

    changed = iot.update_certificate_provider(
        certificateProviderName="step-ca", lambdaFunctionArn=function(account, "vault")
    )
    assert changed["certificateProviderArn"] == provider_arn
    described = dict(iot.describe_certificate_provider(certificateProviderName="step-ca"))
    assert described["lambdaFunctionArn"] == function(account, "vault")
    assert described["lastModifiedDate"] > created
    named = {"certificateProviderName": "step-ca", "certificateProviderArn": provider_arn}
    for ascending in (True, False):
        listed = iot.list_certificate_providers(ascendingOrder=ascending)
        assert listed["certificateProviders"] == [named]
        assert "nextToken" not in dict(listed)

    iot.delete_certificate_provider(certificateProviderName="step-ca")
    assert iot.list_certificate_providers()["certificateProviders"] == []
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.list_tags_for_resource(resourceArn=provider_arn)


def test_each_refusal_has_its_class(account: Account) -> None:
    iot = account.iot
    refused = iot.exceptions
    with pytest.raises(refused.InvalidRequestException, match="not the ARN of a Lambda function"):
        make(account, lambdaFunctionArn="sign")
    with pytest.raises(refused.InvalidRequestException):
        make(account, accountDefaultForOperations=["CreateKeysAndCertificate"])
    make(account)
    with pytest.raises(refused.ResourceAlreadyExistsException) as taken:
        make(account)
    assert taken.value.response["resourceId"] == "step-ca"
    with pytest.raises(refused.LimitExceededException) as full:
        make(account, "another")
    assert status_of(full) == 410
    for ask in (
        lambda: iot.describe_certificate_provider(certificateProviderName="none"),
        lambda: iot.update_certificate_provider(certificateProviderName="none", lambdaFunctionArn=function(account)),
        lambda: iot.delete_certificate_provider(certificateProviderName="none"),
    ):
        with pytest.raises(refused.ResourceNotFoundException, match="none does not exist"):
            ask()


def test_create_certificate_from_csr_returns_a_certificate_of_the_providers_ca(account: Account) -> None:
    iot = account.iot
    begins, ends = around_now()
    ca = new_ca()
    iot.register_ca_certificate(caCertificate=ca.pem, certificateMode="SNI_ONLY", setAsActive=True)
    device = new_device(ca, begins=begins, ends=ends)
    request = new_request(device.key)
    events: list[Mapping[str, Any]] = []

    def sign(event: Mapping[str, Any]) -> Any:
        events.append(event)
        return {"certificatePem": device.pem}

    account.server.functions.by_arn[function(account)] = sign
    make(account)
    made = iot.create_certificate_from_csr(certificateSigningRequest=request, setAsActive=True)
    assert events == [{"certificateSigningRequest": request, "principalId": account.realm.account_id, "clientId": ""}]
    assert (made["certificateId"], made["certificatePem"]) == (device.certificate_id, device.pem)
    described = iot.describe_certificate(certificateId=device.certificate_id)["certificateDescription"]
    assert (described["status"], described["certificateMode"]) == ("ACTIVE", "SNI_ONLY")
    assert described["caCertificateId"] == ca.certificate_id

    iot.delete_certificate_provider(certificateProviderName="step-ca")
    issued = iot.create_certificate_from_csr(certificateSigningRequest=request)
    assert issued["certificateId"] != device.certificate_id


def test_an_error_says_that_the_provider_returned_no_certificate(account: Account) -> None:
    iot = account.iot
    functions = account.server.functions.by_arn
    make(account)

    def ask() -> Any:
        return iot.create_certificate_from_csr(certificateSigningRequest=new_request(p256()))

    with pytest.raises(
        iot.exceptions.InvalidRequestException, match="step-ca did not sign the request: there is no handler"
    ):
        ask()
    functions[function(account)] = lambda _event: {"statusCode": 200}
    with pytest.raises(iot.exceptions.InvalidRequestException, match="an object with the members statusCode"):
        ask()
    begins, ends = around_now()
    functions[function(account)] = lambda _event: {"certificatePem": new_device(new_ca(), begins=begins, ends=ends).pem}
    with pytest.raises(iot.exceptions.InvalidRequestException, match="whose public key is not that of the request"):
        ask()

    def too_late(_event: Mapping[str, Any]) -> Any:
        raise HandlerFailed("no answer within 5 s")

    functions[function(account)] = too_late
    with pytest.raises(iot.exceptions.ServiceUnavailableException, match="no answer within 5 s"):
        ask()
    assert iot.list_certificates()["certificates"] == []
