"""Sekisho's own operations over HTTP: signed as botocore signs, answered and refused as AWS does."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.httpsession import URLLib3Session

from sekisho.certificates.model import CertificateStatus
from tests.contract.arrange import ANYTHING
from tests.contract.conftest import Account
from tests.x509 import KeyAndCertificate, around_now, new_ca, new_device

BEGINS, ENDS = around_now()


@dataclass
class Answer:
    status: int
    headers: Any
    content: Any

    @property
    def error(self) -> str:
        return str(self.headers["x-amzn-errortype"]).rstrip(":")

    @property
    def message(self) -> str:
        return str(self.content["message"])


def ask(
    account: Account,
    method: str,
    path: str = "",
    content: Any = None,
    *,
    secret: str | None = None,
    service: str = "iot",
    signed: bool = True,
    **query: Any,
) -> Answer:
    key = account.key
    body = content if isinstance(content, bytes) else None if content is None else json.dumps(content).encode()
    request = AWSRequest(method, f"{account.server.url}/_sekisho/rotations{path}", data=body, params=query)
    if signed:
        credentials = Credentials(key.access_key_id, secret or key.secret_access_key)
        SigV4Auth(credentials, service, account.region).add_auth(request)
    response = URLLib3Session().send(request.prepare())
    return Answer(response.status_code, response.headers, json.loads(response.content))


def new_fleet_ca(account: Account, name: str = "Fleet") -> KeyAndCertificate:
    ca = new_ca(name, begins=BEGINS, ends=ENDS)
    account.iot.register_ca_certificate(caCertificate=ca.pem, certificateMode="SNI_ONLY", setAsActive=True)
    return ca


def issue(ca: KeyAndCertificate) -> KeyAndCertificate:
    return new_device(ca, begins=BEGINS, ends=ENDS)


def register(account: Account, ca: KeyAndCertificate) -> KeyAndCertificate:
    device = issue(ca)
    account.iot.register_certificate(certificatePem=device.pem, status="ACTIVE")
    return device


def begin(account: Account, old: KeyAndCertificate, new: KeyAndCertificate, **others: str) -> Answer:
    return ask(
        account, "POST", content={"oldCertificateId": old.certificate_id, "newCertificatePem": new.pem, **others}
    )


def test_a_rotation_is_started_listed_and_finished(account: Account) -> None:
    ca = new_fleet_ca(account)
    old, new = register(account, ca), issue(ca)
    arn = account.iot.describe_certificate(certificateId=old.certificate_id)["certificateDescription"]["certificateArn"]
    account.iot.create_policy(policyName="p", policyDocument=ANYTHING)
    account.iot.attach_policy(policyName="p", target=arn)
    account.iot.create_thing(thingName="lamp")
    account.iot.attach_thing_principal(thingName="lamp", principal=arn, thingPrincipalType="EXCLUSIVE_THING")

    begun = begin(account, old, new)

    assert begun.status == 200
    assert begun.headers["content-type"] == "application/json"
    assert len(begun.headers["x-amzn-requestid"]) == 36
    assert isinstance(begun.content.pop("startedAt"), float)
    assert begun.content == {
        "oldCertificateId": old.certificate_id,
        "newCertificateId": new.certificate_id,
        "caCertificateId": ca.certificate_id,
        "state": "PENDING",
    }
    described = account.iot.describe_certificate(certificateId=new.certificate_id)["certificateDescription"]
    assert (described["status"], described["caCertificateId"]) == ("ACTIVE", ca.certificate_id)
    new_arn = described["certificateArn"]
    assert [each["policyName"] for each in account.iot.list_attached_policies(target=new_arn)["policies"]] == ["p"]
    assert account.iot.list_principal_things_v2(principal=new_arn)["principalThingObjects"] == [
        {"thingName": "lamp", "thingPrincipalType": "EXCLUSIVE_THING"}
    ]
    assert begin(account, old, new).content["state"] == "PENDING"
    assert ask(account, "GET", "/progress").content == {"pending": 1, "done": 0, "cancelled": 0}

    account.server.services.rotations.connected([(account.realm, new.certificate_id)])

    assert ask(account, "GET").content == {"rotations": []}
    [done] = ask(account, "GET", state="DONE", caCertificateId=ca.certificate_id).content["rotations"]
    assert done["state"] == "DONE"
    assert done["finishedAt"] >= done["startedAt"]
    described = account.iot.describe_certificate(certificateId=old.certificate_id)["certificateDescription"]
    assert described["status"] == "INACTIVE"
    assert ask(account, "GET", "/progress", caCertificateId=ca.certificate_id.upper()).content["done"] == 1
    assert ask(account, "GET", "/progress", caCertificateId="ab" * 32).content["done"] == 0


def test_pending_rotations_are_listed_in_pages(account: Account) -> None:
    ca = new_fleet_ca(account)
    pairs = [(register(account, ca), issue(ca)) for _ in range(3)]
    for old, new in pairs:
        begin(account, old, new)
    first = ask(account, "GET", pageSize=2).content
    second = ask(account, "GET", pageSize=2, marker=first["nextMarker"]).content
    listed = [each["newCertificateId"] for each in first["rotations"] + second["rotations"]]
    assert listed == [new.certificate_id for _, new in pairs]
    assert "nextMarker" not in second


def test_a_rotation_is_cancelled_by_its_old_certificate(account: Account) -> None:
    ca = new_fleet_ca(account)
    old, new = register(account, ca), issue(ca)
    begin(account, old, new)
    cancelled = ask(account, "DELETE", f"/{old.certificate_id}")
    assert (cancelled.status, cancelled.content["state"]) == (200, "CANCELLED")
    assert account.server.services.certificates.describe(account.realm, new.certificate_id).status is (
        CertificateStatus.INACTIVE
    )
    again = ask(account, "DELETE", f"/{old.certificate_id}")
    assert (again.status, again.error) == (404, "ResourceNotFoundException")
    assert "CANCELLED since" in again.message


def test_rotations_of_other_accounts_and_regions_are_not_visible(account: Account, other_account: Account) -> None:
    ca = new_fleet_ca(account)
    old, new = register(account, ca), issue(ca)
    begin(account, old, new)
    for other in (other_account, account.elsewhere("us-east-1")):
        assert ask(other, "GET").content == {"rotations": []}
        assert ask(other, "DELETE", f"/{old.certificate_id}").error == "ResourceNotFoundException"
        assert begin(other, old, new).error == "ResourceNotFoundException"


def test_a_request_can_name_one_of_two_ca_certificates(account: Account) -> None:
    ca = new_fleet_ca(account)
    old, new = register(account, ca), issue(ca)
    twin = new_ca("Fleet", key=ca.key, begins=BEGINS, ends=ENDS)
    account.iot.register_ca_certificate(caCertificate=twin.pem, certificateMode="SNI_ONLY", setAsActive=True)
    conflict = begin(account, old, new)
    assert (conflict.status, conflict.error) == (409, "CertificateConflictException")
    assert begin(account, old, new, caCertificatePem=twin.pem).status == 200
    described = account.iot.describe_certificate(certificateId=new.certificate_id)["certificateDescription"]
    assert described["caCertificateId"] == twin.certificate_id


def test_errors_of_the_domain_are_returned_in_the_form_of_aws(account: Account) -> None:
    ca = new_fleet_ca(account)
    old, new = register(account, ca), issue(ca)
    begin(account, old, new)
    busy = begin(account, old, issue(ca))
    assert (busy.status, busy.error, busy.content["resourceId"]) == (409, "ConflictException", old.certificate_id)
    account.iot.update_certificate(certificateId=old.certificate_id, newStatus="INACTIVE")
    ask(account, "DELETE", f"/{old.certificate_id}")
    inactive = begin(account, old, issue(ca))
    assert (inactive.status, inactive.error) == (406, "CertificateStateException")
    assert "INACTIVE" in inactive.message


def test_only_signed_requests_are_answered(account: Account) -> None:
    for method, path in (("GET", ""), ("GET", "/progress"), ("POST", ""), ("DELETE", f"/{'ab' * 32}")):
        unsigned = ask(account, method, path, signed=False)
        assert (unsigned.status, unsigned.error) == (403, "MissingAuthenticationTokenException")
        forged = ask(account, method, path, secret="a guess")
        assert (forged.status, forged.error) == (403, "InvalidSignatureException")
        other = ask(account, method, path, service="iotdata")
        assert (other.status, other.error) == (403, "InvalidSignatureException")
        assert "'iot'" in other.message


@pytest.mark.parametrize(
    ("method", "path", "query", "status", "error"),
    [
        ("GET", "", {"state": "WAITING"}, 400, "InvalidRequestException"),
        ("GET", "", {"pageSize": "many"}, 400, "InvalidRequestException"),
        ("GET", "", {"pageSize": "0"}, 400, "InvalidRequestException"),
        ("GET", "", {"pageSize": "9" * 10_000}, 400, "InvalidRequestException"),
        ("GET", "", {"marker": "mine"}, 400, "InvalidRequestException"),
        ("GET", "", {"caCertificateId": "Fleet"}, 400, "InvalidRequestException"),
        ("GET", "", {"ca": "ab" * 32}, 400, "InvalidRequestException"),
        ("GET", "/progress", {"state": "DONE"}, 400, "InvalidRequestException"),
        ("POST", "", {}, 400, "SerializationException"),
        ("PUT", "", {}, 405, "MethodNotAllowedException"),
        ("DELETE", "/progress", {}, 405, "MethodNotAllowedException"),
        ("GET", f"/{'ab' * 32}", {}, 405, "MethodNotAllowedException"),
        ("DELETE", "/mine", {}, 404, "UnknownOperationException"),
        ("GET", "/a/b", {}, 404, "UnknownOperationException"),
    ],
)
def test_an_invalid_request_is_refused_with_the_reason(
    account: Account, method: str, path: str, query: dict[str, Any], status: int, error: str
) -> None:
    answer = ask(account, method, path, content=b"[", **query)
    assert (answer.status, answer.error) == (status, error)
    assert answer.message
