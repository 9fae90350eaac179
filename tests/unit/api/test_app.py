"""The steps of a request through `Api`, in one process."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, cast
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from sekisho.api.app import Api, is_change
from sekisho.api.coverage import coverage
from sekisho.api.http import HttpRequest, HttpResponse
from sekisho.api.model import SERVICES, ModelError, service_model
from sekisho.api.operation import Call, Operations, installed_operations
from sekisho.api.sigv4 import SecretKey
from sekisho.errors import (
    ConflictException,
    ForbiddenException,
    ResourceAlreadyExistsException,
    ThrottlingException,
    UnsupportedDocumentEncodingException,
)
from sekisho.realm import Realm
from sekisho.regions import Regions
from sekisho.server.services import Services
from sekisho.store.errors import StoreError
from tests.logs import captured_log, lines_of

HOME = Realm("123456789012", "eu-central-1")
NO_SERVICES = cast(Services, None)
SECRET = "the secret of the key"
KEY = SecretKey("210987654321", "arn:aws:iam::210987654321:root", "210987654321", SECRET)
SCOPED = "AWS4-HMAC-SHA256 Credential={key}/20260101/{region}/{service}/aws4_request, SignedHeaders=host, Signature=0"


def toy_operations() -> Operations:
    operations = Operations()

    @operations.operation("iot", "CreateThing")
    def create_thing(call: Call, request: Mapping[str, Any]) -> Mapping[str, Any]:
        name = request["thingName"]
        if name == "taken":
            raise ResourceAlreadyExistsException("Thing taken exists.", resource_id="taken", resource_arn="arn:taken")
        if name == "broken":
            raise RuntimeError("a secret of the inside")
        if name == "full":
            raise StoreError("/the/folder/sekisho.db: the disk is full.")
        if name == "throttled":
            raise ThrottlingException("Too fast.")
        if name == "undeclared":
            raise ForbiddenException("No.")
        return {"thingName": name, "thingArn": str(call.realm), "thingId": call.caller.access_key_id}

    @operations.operation("iot-data", "Publish")
    def publish(call: Call, request: Mapping[str, Any]) -> Mapping[str, Any]:
        if request["topic"] == "throttled":
            raise ThrottlingException("Too fast.")
        if request["topic"] == "conflict":
            raise ConflictException("Version.", resource_id="not a member here")
        if request["topic"] == "encoding":
            raise UnsupportedDocumentEncodingException("Not UTF-8.")
        return {"message": "OK", "traceId": call.request_id}

    @operations.operation("iot-jobs-data", "DescribeJobExecution")
    def describe_job_execution(_call: Call, _request: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"execution": {"jobId": "from the data plane"}}

    return operations


def api(*, any_credentials: bool = True, operations: Operations | None = None) -> Api:
    return Api(
        NO_SERVICES,
        {"AKIAKNOWN": KEY}.get,
        lambda: datetime(2026, 1, 1, tzinfo=UTC),
        default_realm=HOME,
        any_credentials=any_credentials,
        operations=operations or toy_operations(),
    )


def request(method: str, path: str, body: bytes = b"", *, authorization: str = "") -> HttpRequest:
    headers = [("host", "localhost"), ("x-amz-date", "20260101T000000Z")]
    if authorization:
        headers.append(("authorization", authorization))
    return HttpRequest(method, path, "", headers, body)


def scoped(service: str, *, key: str = "AKIAKNOWN", region: str = "us-east-1") -> str:
    return SCOPED.format(key=key, region=region, service=service)


def header(response: HttpResponse, name: str) -> str:
    [value] = [value for sent, value in response.headers if sent == name]
    return value


def code(response: HttpResponse) -> str:
    return header(response, "x-amzn-errortype").rstrip(":")


def test_an_operation_answers_with_its_result_and_a_request_id() -> None:
    response = api().answer(request("POST", "/things/a"))
    assert response.status == 200
    assert json.loads(response.body) == {"thingName": "a", "thingArn": "123456789012/eu-central-1", "thingId": ""}
    assert len(header(response, "x-amzn-requestid")) == 36


def test_any_credentials_use_the_region_of_the_scope_and_the_account_of_a_known_key() -> None:
    known = api().answer(request("POST", "/things/a", authorization=scoped("iot")))
    assert json.loads(known.body)["thingArn"] == "210987654321/us-east-1"
    unknown = api().answer(request("POST", "/things/a", authorization=scoped("iot", key="test")))
    assert json.loads(unknown.body)["thingArn"] == "123456789012/us-east-1"


def test_any_credentials_use_no_account_and_no_region_of_a_presigned_query() -> None:
    # A web page can make a browser send any query, but not an Authorization header.
    scope = "AKIAKNOWN%2F20260101%2Fus-east-1%2Fiot%2Faws4_request"
    query = (
        f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={scope}&X-Amz-Date=20260101T000000Z"
        "&X-Amz-SignedHeaders=host&X-Amz-Signature=0"
    )
    sent = HttpRequest("POST", "/things/a", query, [("host", "localhost")], b"")
    assert json.loads(api().answer(sent).body)["thingArn"] == "123456789012/eu-central-1"


@pytest.mark.parametrize("region", ["tokyo", "us-east-9", "aws-global", "plant-2"])
def test_any_credentials_use_no_region_that_is_not_in_the_list(region: str) -> None:
    response = api().answer(request("POST", "/things/a", authorization=scoped("iot", region=region)))
    assert (response.status, code(response)) == (403, "InvalidSignatureException")
    message = json.loads(response.body)["message"]
    assert message.startswith(f"Credential should be scoped to a valid region. {region!r} is neither a region of AWS")
    assert f"SEKISHO_REGIONS={region}" in message


@pytest.mark.parametrize("signer", [SigV4Auth, SigV4QueryAuth])
def test_a_signed_request_for_a_region_that_is_not_in_the_list_is_refused(signer: Any) -> None:
    sent = AWSRequest("POST", "http://localhost/things/a", headers={"host": "localhost"})
    signer(Credentials("AKIAKNOWN", SECRET), "iot", "plant-2").add_auth(sent)
    headers = [(name.lower(), value) for name, value in sent.headers.items()]
    signed = HttpRequest("POST", "/things/a", urlsplit(sent.url).query, headers, b"")
    serving = partial(Api, NO_SERVICES, {"AKIAKNOWN": KEY}.get, lambda: datetime.now(UTC), default_realm=HOME)
    refused = serving(operations=toy_operations()).answer(signed)
    assert (refused.status, code(refused)) == (403, "InvalidSignatureException")
    assert "'plant-2' is neither a region of AWS" in json.loads(refused.body)["message"]
    taken = serving(operations=toy_operations(), regions=Regions(("plant-2",))).answer(signed)
    assert json.loads(taken.body)["thingArn"] == "210987654321/plant-2"


def test_without_any_credentials_an_unsigned_request_is_refused() -> None:
    response = api(any_credentials=False).answer(request("POST", "/things/a"))
    assert (response.status, code(response)) == (403, "MissingAuthenticationTokenException")


def test_without_any_credentials_a_wrong_signature_is_refused() -> None:
    response = api(any_credentials=False).answer(request("POST", "/things/a", authorization=scoped("iot")))
    assert (response.status, code(response)) == (403, "InvalidSignatureException")
    assert SECRET not in response.body.decode()


def test_without_any_credentials_an_unknown_key_is_refused() -> None:
    authorization = scoped("iot", key="test")
    response = api(any_credentials=False).answer(request("POST", "/things/a", authorization=authorization))
    assert (response.status, code(response)) == (403, "UnrecognizedClientException")


def test_a_scope_of_another_service_is_refused() -> None:
    response = api().answer(request("POST", "/things/a", authorization=scoped("s3")))
    assert (response.status, code(response)) == (403, "InvalidSignatureException")
    assert "not to 's3'" in json.loads(response.body)["message"]


def test_a_scope_reaches_only_its_own_service() -> None:
    response = api().answer(request("POST", "/topics/a", authorization=scoped("iot")))
    assert (response.status, code(response)) == (404, "UnknownOperationException")


@pytest.mark.parametrize("service", ["iotdata", "iotdevicegateway"])
def test_the_data_plane_is_reached_under_both_of_its_signing_names(service: str) -> None:
    response = api().answer(request("POST", "/topics/a/b", authorization=scoped(service)))
    assert response.status == 200
    assert json.loads(response.body) == {"message": "OK", "traceId": header(response, "x-amzn-requestid")}


@pytest.mark.parametrize("service", ["iot-jobs-data", "iotdevicegateway"])
def test_a_route_of_two_services_goes_to_the_one_in_the_scope(service: str) -> None:
    response = api().answer(request("GET", "/things/t/jobs/j", authorization=scoped(service)))
    assert json.loads(response.body) == {"execution": {"jobId": "from the data plane"}}
    control = api().answer(request("GET", "/things/t/jobs/j", authorization=scoped("iot")))
    assert code(control) == "NotImplementedException"


def test_a_missing_operation_is_named() -> None:
    response = api().answer(request("PUT", "/jobs/j", b'{"targets": []}'))
    assert (response.status, code(response)) == (501, "NotImplementedException")
    assert json.loads(response.body) == {
        "message": "CreateJob is an AWS IoT operation that Sekisho does not have yet; "
        "`sekisho api coverage` lists those it has."
    }


@pytest.mark.parametrize("service", SERVICES)
def test_every_missing_operation_of_the_models_answers_501(service: str) -> None:
    model = service_model(service)
    nothing = api(operations=Operations())
    for name, method, uri in model.routes():
        path = uri.replace("{", "").replace("+}", "").replace("}", "")
        body = f"Action={name}&Version=2011-06-15".encode() if service == "sts" else b""
        answer = nothing.answer(request(method, path, body, authorization=scoped(model.signing_name)))
        assert answer.status == 501, name
        assert name in answer.body.decode()


def test_an_exception_has_the_members_and_the_status_of_the_model() -> None:
    response = api().answer(request("POST", "/things/taken"))
    assert (response.status, code(response)) == (409, "ResourceAlreadyExistsException")
    assert json.loads(response.body) == {
        "message": "Thing taken exists.",
        "resourceId": "taken",
        "resourceArn": "arn:taken",
    }


def test_one_exception_has_the_status_of_the_service_that_answers_it() -> None:
    assert api().answer(request("POST", "/things/throttled")).status == 400
    assert api().answer(request("POST", "/topics/throttled")).status == 429
    assert api().answer(request("POST", "/topics/encoding")).status == 415


def test_a_member_that_the_service_does_not_have_is_left_out() -> None:
    content = json.loads(api().answer(request("POST", "/topics/conflict")).body)
    assert content.keys() == {"message", "traceId"}


def test_an_exception_that_the_service_does_not_declare_keeps_its_status() -> None:
    response = api().answer(request("POST", "/things/undeclared"))
    assert (response.status, code(response)) == (403, "ForbiddenException")


def test_an_unexpected_exception_reveals_nothing() -> None:
    response = api().answer(request("POST", "/things/broken"))
    assert (response.status, code(response)) == (500, "InternalFailureException")
    assert b"secret" not in response.body
    assert header(response, "x-amzn-requestid") in response.body.decode()


def test_an_unusable_registry_is_answered_with_an_error_that_clients_retry() -> None:
    response = api().answer(request("POST", "/things/full"))
    assert (response.status, code(response)) == (503, "ServiceUnavailableException")
    assert b"/the/folder" not in response.body
    assert header(response, "x-amzn-requestid") in response.body.decode()


def test_a_failed_look_up_of_a_key_is_not_answered_as_an_unknown_key() -> None:
    def locked(_access_key_id: str) -> SecretKey | None:
        raise StoreError("it is locked")

    closed = Api(NO_SERVICES, locked, lambda: datetime(2026, 1, 1, tzinfo=UTC), default_realm=HOME)
    response = closed.answer(request("POST", "/things/a", authorization=scoped("iot")))
    assert (response.status, code(response)) == (503, "ServiceUnavailableException")
    response = closed.answer(request("POST", "/", b"Action=GetCallerIdentity", authorization=scoped("sts")))
    assert response.status == 503
    assert b"<Type>Receiver</Type><Code>ServiceUnavailableException</Code>" in response.body


def test_a_constraint_of_the_model_is_checked_before_the_operation_runs() -> None:
    response = api().answer(request("POST", "/things/a%20b"))
    assert (response.status, code(response)) == (400, "InvalidRequestException")
    assert "Value 'a b' at 'thingName'" in json.loads(response.body)["message"]


def test_an_unreadable_body_is_an_error_of_the_caller() -> None:
    response = api().answer(request("POST", "/things/a", b"{"))
    assert (response.status, code(response)) == (400, "SerializationException")


def sts(body: bytes, *, any_credentials: bool = True, authorization: str = "") -> tuple[int, ElementTree.Element]:
    server = api(any_credentials=any_credentials, operations=installed_operations())
    response = server.answer(request("POST", "/", body, authorization=authorization))
    assert header(response, "content-type") == "text/xml"
    return response.status, ElementTree.fromstring(response.body)  # noqa: S314 - our own answer


def found(root: ElementTree.Element, name: str) -> str | None:
    return root.findtext(f".//{{https://sts.amazonaws.com/doc/2011-06-15/}}{name}")


def test_get_caller_identity_returns_the_signer() -> None:
    status, root = sts(b"Action=GetCallerIdentity&Version=2011-06-15", authorization=scoped("sts"))
    assert status == 200
    assert (found(root, "Account"), found(root, "Arn")) == (KEY.account_id, KEY.arn)


@pytest.mark.parametrize(
    ("body", "status", "expected"),
    [
        (b"Action=AssumeRole&Version=2011-06-15", 501, "NotImplemented"),
        (b"Action=Nothing", 404, "InvalidAction"),
        (b"", 404, "InvalidAction"),
        (b"\xff\xfe", 400, "MalformedInput"),
    ],
)
def test_sts_answers_errors_in_xml(body: bytes, status: int, expected: str) -> None:
    answered, root = sts(body)
    assert (answered, found(root, "Code")) == (status, expected)
    assert found(root, "RequestId")


def test_sts_names_a_wrong_signature_by_its_own_error() -> None:
    status, root = sts(b"", any_credentials=False, authorization=scoped("sts"))
    assert (status, found(root, "Code")) == (403, "SignatureDoesNotMatch")


def test_an_operation_that_no_model_has_is_refused_at_the_start() -> None:
    operations = Operations()
    operations.operation("iot", "CreateThingg")(lambda _call, _request: None)
    with pytest.raises(ModelError, match="no operation iot:CreateThingg"):
        api(operations=operations)


def test_an_operation_has_one_function() -> None:
    operations = toy_operations()
    with pytest.raises(ValueError, match="Two functions answer iot:CreateThing"):
        operations.operation("iot", "CreateThing")(lambda _call, _request: None)


def test_every_installed_operation_is_one_of_the_models() -> None:
    for service, name in installed_operations():
        assert name in service_model(service).operation_names


def test_coverage_lists_every_operation_once_with_whether_it_is_implemented() -> None:
    rows = coverage(toy_operations())
    assert len(rows) == len({(row.service, row.operation) for row in rows})
    assert {(row.service, row.operation) for row in rows if row.implemented} == set(toy_operations())
    assert len(rows) == sum(len(service_model(service).operation_names) for service in SERVICES)


def test_an_empty_part_of_the_query_is_ignored() -> None:
    answer = api().answer(replace(request("POST", "/things/a"), query_string="&&x"))
    assert answer.status == 200


# What the log says


@pytest.fixture
def lines() -> Iterator[list[MutableMapping[str, Any]]]:
    with captured_log() as lines:
        yield lines


def test_a_change_is_a_line_that_says_who_made_it_where(lines: list[MutableMapping[str, Any]]) -> None:
    changing = replace(request("POST", "/things/a", authorization=scoped("iot")), source_ip="192.0.2.7")
    response = api().answer(changing)
    [line] = lines_of(lines, "api_change_made")
    assert {name: value for name, value in line.items() if value is not None} == {
        "code": "api_change_made",
        "event": "an API request made a change",
        "log_level": "info",
        "operation": "CreateThing",
        "account_id": "210987654321",
        "region": "us-east-1",
        "access_key_id": "AKIAKNOWN",
        "source_ip": "192.0.2.7",
        "request_id": header(response, "x-amzn-requestid"),
        "http_status": 200,
    }


def test_a_refused_change_is_a_line_with_the_error(lines: list[MutableMapping[str, Any]]) -> None:
    api().answer(request("POST", "/things/taken", authorization=scoped("iot")))
    [line] = lines_of(lines, "api_request_refused", operation="CreateThing", access_key_id="AKIAKNOWN")
    assert (line["error_code"], line["http_status"]) == ("ResourceAlreadyExistsException", 409)
    assert line["reason"] == "Thing taken exists."
    assert lines_of(lines, "api_change_made") == []


def test_a_request_that_is_refused_before_it_is_known_is_a_line_with_its_path(
    lines: list[MutableMapping[str, Any]],
) -> None:
    api(any_credentials=False).answer(request("POST", "/things/a", authorization=scoped("iot")))
    [line] = lines_of(lines, "api_request_refused", http_method="POST", path="/things/a")
    assert line["operation"] is None
    # It is claimed and not verified.
    assert line["access_key_id"] is None


def test_publishing_is_no_change_of_the_registry(lines: list[MutableMapping[str, Any]]) -> None:
    api().answer(request("POST", "/topics/a", authorization=scoped("iotdata")))
    [line] = lines_of(lines, "api_request_answered", operation="Publish")
    assert line["log_level"] == "debug"


def test_the_secret_of_a_key_is_in_no_line(lines: list[MutableMapping[str, Any]]) -> None:
    signed = AWSRequest("POST", "https://localhost/things/broken", headers={"host": "localhost"})
    SigV4Auth(Credentials("AKIAKNOWN", SECRET), "iot", "us-east-1").add_auth(signed)
    response = api().answer(HttpRequest("POST", "/things/broken", "", [*signed.headers.items()], b""))
    assert response.status == 500
    assert lines_of(lines, "api_request_failed", operation="CreateThing")
    assert SECRET not in str(lines)


def test_operations_that_read_by_another_method_than_get_are_no_changes() -> None:
    methods = {name: method for name, method, _ in service_model("iot").routes()}
    names = {name for service, name in installed_operations() if service == "iot"}
    reads = {name for name in names if not is_change("iot", name)}
    assert {name for name in names if methods[name] == "GET"} <= reads
    assert {name for name in reads if methods[name] != "GET"} == {
        "GetEffectivePolicies",
        "ListAttachedPolicies",
        "ListTargetsForPolicy",
        "TestAuthorization",
    }
