"""Transfers of certificates between accounts, as boto3 sees them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.contract.arrange import ANYTHING
from tests.contract.conftest import Account
from tests.x509 import new_ca, new_device


def add_inactive(account: Account) -> str:
    """Create an inactive certificate in DEFAULT mode and return its id."""
    return account.iot.create_keys_and_certificate(setAsActive=False)["certificateId"]


def offer(source: Account, target: Account, message: str = "for you") -> str:
    """Create a certificate, offer it from ``source`` to ``target``, and return its id."""
    certificate_id = add_inactive(source)
    source.iot.transfer_certificate(
        certificateId=certificate_id, targetAwsAccount=target.realm.account_id, transferMessage=message
    )
    return certificate_id


def accept(account: Account, certificate_id: str) -> None:
    account.iot.accept_certificate_transfer(certificateId=certificate_id)


def reject(account: Account, certificate_id: str) -> None:
    account.iot.reject_certificate_transfer(certificateId=certificate_id)


def cancel(account: Account, certificate_id: str) -> None:
    account.iot.cancel_certificate_transfer(certificateId=certificate_id)


def described(account: Account, certificate_id: str) -> Any:
    return account.iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]


def listed(account: Account) -> dict[str, str]:
    found = account.iot.list_certificates()["certificates"]
    return {each["certificateId"]: each["status"] for each in found}


TRANSFER = "DEVICE_CERTIFICATE_PENDING_TRANSFER"
GONE = "DEVICE_CERTIFICATE_NOT_REGISTERED"
SWITCHED_OFF = "DEVICE_CERTIFICATE_INACTIVE"


def outgoing(account: Account) -> list[str]:
    return [each["certificateId"] for each in account.iot.list_outgoing_certificates()["outgoingCertificates"]]


def assert_announced(certificate_id: str, lost: Sequence[tuple[Account, str | None]]) -> None:
    """Check the reason in each account's last change, or None where it may connect. Clears the changes."""
    announced = lost[0][0].server.announced
    for account, reason in lost:
        *_, last = (each for each in announced if (each.realm, each.id) == (account.realm, certificate_id))
        assert last.lost == reason
    announced.clear()


def assert_refused(status: int, code: str, refusal: pytest.ExceptionInfo[ClientError]) -> None:
    response = refusal.value.response
    assert (response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]) == (status, code)


def test_an_offered_certificate_is_seen_by_both_accounts(account: Account, other_account: Account) -> None:
    certificate_id = add_inactive(account)
    account.server.announced.clear()
    made = account.iot.transfer_certificate(
        certificateId=certificate_id, targetAwsAccount=other_account.realm.account_id, transferMessage="for you"
    )
    assert_announced(certificate_id, [(account, TRANSFER), (other_account, TRANSFER)])
    source, target = described(account, certificate_id), described(other_account, certificate_id)
    assert made["transferredCertificateArn"] == source["certificateArn"]
    for each in (source, target):
        assert (each["status"], each["ownedBy"]) == ("PENDING_TRANSFER", account.realm.account_id)
        assert "previousOwnedBy" not in each
        assert each["transferData"] == {
            "transferMessage": "for you",
            "transferDate": source["lastModifiedDate"],
        }
    assert account.iot.list_outgoing_certificates()["outgoingCertificates"] == [
        {
            "certificateArn": source["certificateArn"],
            "certificateId": certificate_id,
            "transferredTo": other_account.realm.account_id,
            "transferDate": source["lastModifiedDate"],
            "transferMessage": "for you",
            "creationDate": source["creationDate"],
        }
    ]
    assert listed(account) == listed(other_account) == {certificate_id: "PENDING_TRANSFER"}
    assert outgoing(other_account) == []
    assert listed(other_account.elsewhere("us-east-1")) == {}


@pytest.mark.parametrize(("active", "status"), [(True, "ACTIVE"), (False, "INACTIVE")])
def test_an_accepted_certificate_belongs_to_the_target(
    account: Account, other_account: Account, active: bool, status: str
) -> None:
    certificate_id = offer(account, other_account)
    account.server.announced.clear()
    other_account.iot.accept_certificate_transfer(certificateId=certificate_id, setAsActive=active)
    assert_announced(certificate_id, [(account, GONE), (other_account, None if active else SWITCHED_OFF)])
    accepted = described(other_account, certificate_id)
    assert (accepted["status"], accepted["ownedBy"]) == (status, other_account.realm.account_id)
    assert accepted["previousOwnedBy"] == account.realm.account_id
    assert accepted["transferData"]["acceptDate"] == accepted["lastModifiedDate"]
    assert accepted["transferData"]["transferMessage"] == "for you"
    assert listed(account) == {}
    assert outgoing(account) == []
    for step, asking in (
        (cancel, account),
        (accept, other_account),
        (reject, other_account),
    ):
        with pytest.raises(ClientError) as refusal:
            step(asking, certificate_id)
        assert_refused(410, "TransferAlreadyCompletedException", refusal)


def test_a_rejected_certificate_returns_with_the_reason(account: Account, other_account: Account) -> None:
    certificate_id = offer(account, other_account)
    account.server.announced.clear()
    other_account.iot.reject_certificate_transfer(certificateId=certificate_id, rejectReason="not ours")
    assert_announced(certificate_id, [(account, SWITCHED_OFF), (other_account, GONE)])
    returned = described(account, certificate_id)
    assert (returned["status"], returned["ownedBy"]) == ("INACTIVE", account.realm.account_id)
    assert returned["transferData"]["rejectReason"] == "not ours"
    assert returned["transferData"]["rejectDate"] == returned["lastModifiedDate"]
    assert "previousOwnedBy" not in returned
    assert listed(other_account) == {}
    assert outgoing(account) == []
    for step, asking in (
        (cancel, account),
        (accept, other_account),
        (reject, other_account),
    ):
        with pytest.raises(ClientError) as refusal:
            step(asking, certificate_id)
        assert_refused(410, "TransferAlreadyCompletedException", refusal)


def test_a_cancelled_certificate_returns_and_may_be_offered_again(account: Account, other_account: Account) -> None:
    certificate_id = offer(account, other_account)
    account.server.announced.clear()
    account.iot.cancel_certificate_transfer(certificateId=certificate_id)
    assert_announced(certificate_id, [(account, SWITCHED_OFF), (other_account, GONE)])
    assert listed(account) == {certificate_id: "INACTIVE"}
    assert listed(other_account) == {}
    assert outgoing(account) == []
    for step, asking in (
        (cancel, account),
        (accept, other_account),
    ):
        with pytest.raises(ClientError) as refusal:
            step(asking, certificate_id)
        assert_refused(410, "TransferAlreadyCompletedException", refusal)
    account.iot.transfer_certificate(certificateId=certificate_id, targetAwsAccount=other_account.realm.account_id)
    assert "transferMessage" not in described(account, certificate_id)["transferData"]
    other_account.iot.accept_certificate_transfer(certificateId=certificate_id)
    other_account.iot.transfer_certificate(certificateId=certificate_id, targetAwsAccount=account.realm.account_id)
    account.iot.accept_certificate_transfer(certificateId=certificate_id, setAsActive=True)
    back = described(account, certificate_id)
    assert (back["status"], back["previousOwnedBy"]) == ("ACTIVE", other_account.realm.account_id)


def test_policies_and_things_attached_while_a_transfer_is_pending_are_detached(
    account: Account, other_account: Account
) -> None:
    certificate_id = offer(account, other_account)
    arns = [described(each, certificate_id)["certificateArn"] for each in (account, other_account)]
    for each, certificate_arn in zip((account, other_account), arns, strict=True):
        each.iot.create_policy(policyName="all", policyDocument=ANYTHING)
        each.iot.create_thing(thingName="pump")
        each.iot.attach_policy(policyName="all", target=certificate_arn)
        each.iot.attach_thing_principal(thingName="pump", principal=certificate_arn)
    other_account.iot.accept_certificate_transfer(certificateId=certificate_id)
    assert account.iot.list_targets_for_policy(policyName="all")["targets"] == []
    assert account.iot.list_thing_principals(thingName="pump")["principals"] == []
    assert other_account.iot.list_targets_for_policy(policyName="all")["targets"] == [arns[1]]


def test_each_refusal_to_offer_has_its_class_and_status(account: Account, other_account: Account) -> None:
    iot, target = account.iot, other_account.realm.account_id
    certificate_id = add_inactive(account)

    def refusal(status: int, code: str, certificate_id: str = certificate_id, to: str = target) -> str:
        with pytest.raises(ClientError) as refused:
            iot.transfer_certificate(certificateId=certificate_id, targetAwsAccount=to)
        assert_refused(status, code, refused)
        return str(refused.value)

    assert "no certificate" in refusal(404, "ResourceNotFoundException", "0" * 64)
    assert "no account 000000000000 on this server" in refusal(404, "ResourceNotFoundException", to="000000000000")
    assert "another account" in refusal(400, "InvalidRequestException", to=account.realm.account_id)

    certificate_arn = described(account, certificate_id)["certificateArn"]
    iot.create_policy(policyName="all", policyDocument=ANYTHING)
    iot.attach_policy(policyName="all", target=certificate_arn)
    assert "policies must be detached" in refusal(409, "TransferConflictException")
    iot.detach_policy(policyName="all", target=certificate_arn)
    iot.create_thing(thingName="pump")
    iot.attach_thing_principal(thingName="pump", principal=certificate_arn)
    assert "Things must be detached" in refusal(409, "TransferConflictException")
    iot.detach_thing_principal(thingName="pump", principal=certificate_arn)

    iot.update_certificate(certificateId=certificate_id, newStatus="ACTIVE")
    assert "ACTIVE cannot be transferred" in refusal(406, "CertificateStateException")
    iot.update_certificate(certificateId=certificate_id, newStatus="REVOKED")
    assert "REVOKED cannot be transferred" in refusal(406, "CertificateStateException")

    pending = offer(account, other_account)
    assert "PENDING_TRANSFER already" in refusal(409, "TransferConflictException", pending)

    shared = new_device(new_ca()).pem
    for each in (account, other_account):
        made = each.iot.register_certificate_without_ca(certificatePem=shared, status="INACTIVE")
    assert "has registered" in refusal(409, "TransferConflictException", made["certificateId"])
    assert listed(account)[made["certificateId"]] == "INACTIVE", "a refused transfer left something behind"


def test_only_the_target_accepts_and_only_the_source_cancels(account: Account, other_account: Account) -> None:
    certificate_id = offer(account, other_account)
    third_account = account.server.new_account()
    for step, asking, status, code in (
        (accept, account, 400, "InvalidRequestException"),
        (reject, account, 400, "InvalidRequestException"),
        (cancel, other_account, 400, "InvalidRequestException"),
        (accept, third_account, 404, "ResourceNotFoundException"),
        (reject, third_account, 404, "ResourceNotFoundException"),
        (cancel, third_account, 404, "ResourceNotFoundException"),
    ):
        with pytest.raises(ClientError) as refusal:
            step(asking, certificate_id)
        assert_refused(status, code, refusal)
    never = add_inactive(account)
    for step in (accept, reject, cancel):
        with pytest.raises(ClientError, match="not being transferred") as refusal:
            step(account, never)
        assert_refused(400, "InvalidRequestException", refusal)
    assert listed(other_account) == {certificate_id: "PENDING_TRANSFER"}


def test_a_pending_certificate_is_neither_updated_nor_deleted(account: Account, other_account: Account) -> None:
    certificate_id = offer(account, other_account)
    for each in (account, other_account):
        with pytest.raises(ClientError) as refusal:
            each.iot.update_certificate(certificateId=certificate_id, newStatus="ACTIVE")
        assert_refused(406, "CertificateStateException", refusal)
        with pytest.raises(ClientError) as refusal:
            each.iot.delete_certificate(certificateId=certificate_id, forceDelete=True)
        assert_refused(406, "CertificateStateException", refusal)


def test_outgoing_certificates_are_listed_in_pages(account: Account, other_account: Account) -> None:
    offered = [offer(account, other_account) for _ in range(3)]
    add_inactive(account)
    first = account.iot.list_outgoing_certificates(pageSize=2, ascendingOrder=True)
    assert [each["certificateId"] for each in first["outgoingCertificates"]] == offered[:2]
    second = account.iot.list_outgoing_certificates(pageSize=2, ascendingOrder=True, marker=first["nextMarker"])
    assert [each["certificateId"] for each in second["outgoingCertificates"]] == offered[2:]
    assert second.get("nextMarker") is None
    assert outgoing(account) == offered[::-1]
