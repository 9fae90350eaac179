"""The API as boto3 and the AWS CLI use it: a real server on a free port, with simple operations."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sysconfig
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from sekisho.api.app import build
from sekisho.api.connections import ServerLimits
from sekisho.api.http import MAX_BODY_BYTES
from sekisho.api.http_server import HttpServer
from sekisho.api.operation import Call, Operations, installed_operations
from sekisho.api.sigv4 import SecretKey
from sekisho.clock import utc_now
from sekisho.errors import ResourceAlreadyExistsException, ResourceNotFoundException
from sekisho.realm import Realm
from sekisho.server.health import Part
from sekisho.server.run_file import HEALTH_PATH, LIVE_PATH, READY_PATH
from sekisho.server.services import Services

KEY_ID, SECRET = "AKIASEKISHOEXAMPLE00", "a/secret+key"
KEY = SecretKey("123456789012", "arn:aws:iam::123456789012:root", "123456789012", SECRET)
CREATED = datetime(2026, 1, 31, 12, 0, 0, 500000, tzinfo=UTC)


class Received:
    """The parameters of the operations' calls, and the number of requests."""

    def __init__(self) -> None:
        self.calls: list[tuple[Call, Mapping[str, Any]]] = []
        self.requests = 0


def toy_operations(received: Received) -> Operations:
    operations = Operations()

    @operations.operation("iot", "CreateThing")
    def create_thing(call: Call, request: Mapping[str, Any]) -> Mapping[str, Any]:
        received.calls.append((call, request))
        return {"thingName": request["thingName"], "thingArn": str(call.realm)}

    @operations.operation("iot", "DescribeThing")
    def describe_thing(_call: Call, request: Mapping[str, Any]) -> None:
        raise ResourceNotFoundException(f"Thing {request['thingName']} is not there.")

    @operations.operation("iot", "CreatePolicy")
    def create_policy(_call: Call, _request: Mapping[str, Any]) -> None:
        raise ResourceAlreadyExistsException("It exists: 関所.", resource_id="p", resource_arn="arn:p")

    @operations.operation("iot", "DescribeCertificate")
    def describe_certificate(_call: Call, _request: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"certificateDescription": {"creationDate": CREATED, "ownedBy": None}}

    @operations.operation("iot", "AttachThingPrincipal")
    def attach_thing_principal(call: Call, request: Mapping[str, Any]) -> None:
        received.calls.append((call, request))

    @operations.operation("iot", "ListAttachedPolicies")
    def list_attached_policies(call: Call, request: Mapping[str, Any]) -> Mapping[str, Any]:
        received.calls.append((call, request))
        return {"policies": []}

    @operations.operation("iot", "DeleteThing")
    def delete_thing(_call: Call, _request: Mapping[str, Any]) -> None:
        raise RuntimeError("a secret of the inside")

    @operations.operation("iot-data", "Publish")
    def publish(call: Call, request: Mapping[str, Any]) -> Mapping[str, Any]:
        received.calls.append((call, request))
        return {"message": "OK", "traceId": call.request_id}

    identity = installed_operations().handler("sts", "GetCallerIdentity")
    assert identity is not None
    operations.operation("sts", "GetCallerIdentity")(identity)
    return operations


class AlwaysOk:
    """The health of a server whose parts are all ok."""

    def live(self) -> list[Part]:
        return []

    def ready(self) -> list[Part]:
        return []

    def report(self, *, is_detailed: bool) -> Mapping[str, Any]:
        return {"status": "ok", "version": "1", "detailed": is_detailed}


@contextlib.contextmanager
def serving(received: Received, *, any_credentials: bool = False) -> Iterator[str]:
    """Serve the operations; yields the endpoint URL."""
    application = build(
        cast(Services, None),
        {KEY_ID: KEY}.get,
        utc_now,
        default_realm=Realm("000000000000", "us-west-2"),
        any_credentials=any_credentials,
        health=AlwaysOk(),
        operations=toy_operations(received),
    )

    async def counting(scope: Any, receive: Any, send: Any) -> None:
        received.requests += scope["type"] == "http"
        await application(scope, receive, send)

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        server = HttpServer(counting, ServerLimits())
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            deadline = time.monotonic() + 10
            while not server.started:
                assert time.monotonic() < deadline, "the server did not start"
                thread.join(0.01)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)


@pytest.fixture(scope="module")
def received() -> Received:
    return Received()


@pytest.fixture(scope="module")
def endpoint(received: Received) -> Iterator[str]:
    with serving(received) as url:
        yield url


@pytest.fixture(scope="module")
def open_endpoint() -> Iterator[str]:
    with serving(Received(), any_credentials=True) as url:
        yield url


def client(service: str, endpoint: str, *, secret: str = SECRET, key_id: str = KEY_ID, **config: Any) -> Any:
    return boto3.client(
        cast(Any, service),
        endpoint_url=endpoint,
        region_name="eu-central-1",
        aws_access_key_id=key_id,
        aws_secret_access_key=secret,
        config=Config(**{"retries": {"total_max_attempts": 1}, **config}),
    )


def test_parameters_and_results_pass_between_boto3_and_an_operation(endpoint: str, received: Received) -> None:
    answer = client("iot", endpoint).create_thing(
        thingName="t", attributePayload={"attributes": {"color": "red"}, "merge": True}
    )
    call, request = received.calls[-1]
    assert request == {"thingName": "t", "attributePayload": {"attributes": {"color": "red"}, "merge": True}}
    assert answer["thingArn"] == "123456789012/eu-central-1"
    assert answer["ResponseMetadata"]["RequestId"] == call.request_id
    assert (call.caller.access_key_id, call.source_ip) == (KEY_ID, "127.0.0.1")


def test_members_in_headers_and_labels_arrive(endpoint: str, received: Received) -> None:
    iot = client("iot", endpoint)
    arn = "arn:aws:iot:eu-central-1:123456789012:cert/ab"
    iot.attach_thing_principal(thingName="t", principal=arn)
    assert received.calls[-1][1] == {"thingName": "t", "principal": arn}
    iot.list_attached_policies(target=arn, recursive=False, pageSize=5)
    assert received.calls[-1][1] == {"target": arn, "recursive": False, "pageSize": 5}


def test_a_timestamp_arrives_as_the_same_moment(endpoint: str) -> None:
    described = client("iot", endpoint).describe_certificate(certificateId="a" * 64)
    assert described["certificateDescription"] == {"creationDate": CREATED}


@pytest.mark.parametrize("payload", [b"", b'{"t": 21}', bytes(range(256))])
def test_a_message_is_published_unchanged(endpoint: str, received: Received, payload: bytes) -> None:
    client("iot-data", endpoint).publish(
        topic="a/b c/関所/$x",
        qos=1,
        retain=True,
        payload=payload,
        contentType="text/plain; a=b+c",
        userProperties=json.dumps([{"device": "é"}]),
        payloadFormatIndicator="UTF8_DATA",
        correlationData="YWJj",
        messageExpiry=30,
    )
    assert received.calls[-1][1] == {
        "topic": "a/b c/関所/$x",
        "qos": 1,
        "retain": True,
        "payload": payload,
        "contentType": "text/plain; a=b+c",
        "userProperties": json.dumps([{"device": "é"}]),
        "payloadFormatIndicator": "UTF8_DATA",
        "correlationData": "YWJj",
        "messageExpiry": 30,
    }


def test_a_refusal_is_caught_as_its_modelled_exception(endpoint: str) -> None:
    iot = client("iot", endpoint)
    with pytest.raises(iot.exceptions.ResourceNotFoundException, match=r": Thing x is not there\.$"):
        iot.describe_thing(thingName="x")
    with pytest.raises(iot.exceptions.ResourceAlreadyExistsException) as refused:
        iot.create_policy(policyName="p", policyDocument="{}")
    assert refused.value.response["Error"]["Message"] == "It exists: 関所."
    assert (refused.value.response["resourceId"], refused.value.response["resourceArn"]) == ("p", "arn:p")


def test_the_server_checks_a_constraint_that_boto3_does_not_check(endpoint: str) -> None:
    iot = client("iot", endpoint)
    with pytest.raises(iot.exceptions.InvalidRequestException, match="regular expression pattern"):
        iot.create_thing(thingName="a b")


def test_an_unexpected_failure_is_an_internal_failure(endpoint: str) -> None:
    iot = client("iot", endpoint)
    with pytest.raises(iot.exceptions.InternalFailureException) as failed:
        iot.delete_thing(thingName="x")
    assert "secret" not in str(failed.value)


@pytest.mark.parametrize("mode", ["legacy", "standard", "adaptive"])
def test_a_missing_operation_is_requested_only_once(endpoint: str, received: Received, mode: str) -> None:
    iot = client("iot", endpoint, retries={"mode": mode, "total_max_attempts": 5})
    before = received.requests
    with pytest.raises(
        ClientError, match="CreateJob is an AWS IoT operation that Sekisho does not have yet"
    ) as refused:
        iot.create_job(jobId="j", targets=["arn"])
    assert refused.value.response["Error"]["Code"] == "NotImplementedException"
    assert received.requests == before + 1


def test_sts_returns_the_identity_to_boto3(endpoint: str) -> None:
    identity = client("sts", endpoint).get_caller_identity()
    assert (identity["Account"], identity["Arn"], identity["UserId"]) == (KEY.account_id, KEY.arn, KEY.user_id)


@pytest.mark.parametrize(
    ("service", "expected"), [("iot", "InvalidSignatureException"), ("sts", "SignatureDoesNotMatch")]
)
def test_a_wrong_secret_is_refused(endpoint: str, service: str, expected: str) -> None:
    refused_client = client(service, endpoint, secret="wrong")
    with pytest.raises(ClientError, match="The request signature we calculated") as refused:
        refused_client.list_things() if service == "iot" else refused_client.get_caller_identity()
    assert refused.value.response["Error"]["Code"] == expected
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


@pytest.mark.parametrize(
    ("service", "expected"), [("iot", "UnrecognizedClientException"), ("sts", "InvalidClientTokenId")]
)
def test_an_unknown_access_key_is_refused(endpoint: str, service: str, expected: str) -> None:
    refused_client = client(service, endpoint, key_id="AKIAUNKNOWN")
    with pytest.raises(ClientError) as refused:
        refused_client.list_things() if service == "iot" else refused_client.get_caller_identity()
    assert refused.value.response["Error"]["Code"] == expected


def test_any_credentials_accept_unsigned_requests_and_unknown_keys() -> None:
    with serving(Received(), any_credentials=True) as endpoint:
        unsigned = client("iot", endpoint, signature_version=UNSIGNED).create_thing(thingName="t")
        assert unsigned["thingArn"] == "000000000000/us-west-2"
        unknown = client("iot", endpoint, key_id="test", secret="test").create_thing(thingName="t")
        assert unknown["thingArn"] == "000000000000/eu-central-1"
        assert client("sts", endpoint, key_id="test").get_caller_identity()["Account"] == "000000000000"


CROSS_SITE = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
PREFLIGHT = {"Origin": "https://example.com", "Access-Control-Request-Method": "POST"}


@pytest.mark.parametrize("path", ["/things", "/", "/_sekisho/rotations", "/_sekisho/health", "/_sekisho/reports/a/b/c"])
@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", CROSS_SITE),
        ("HEAD", CROSS_SITE),
        ("GET", {"Host": "rebound.example:5883"}),
        ("GET", {"Host": "rebound.example:5883", "Sec-Fetch-Site": "same-origin"}),
        ("POST", {"Origin": "https://example.com", "Content-Type": "text/plain"}),
        ("POST", {"Origin": "null", "Content-Type": "application/x-www-form-urlencoded"}),
        ("OPTIONS", PREFLIGHT),
    ],
)
def test_a_web_page_gets_no_access(open_endpoint: str, method: str, path: str, headers: dict[str, str]) -> None:
    status, answered, body = exchange(open_endpoint, method, path, headers=headers)
    assert status == 403
    assert answered["x-amzn-errortype"] == "AccessDeniedException:"
    assert not [name for name in answered if name.startswith("access-control-")]
    assert method == "HEAD" or "any_credentials" in json.loads(body)["message"]


def test_a_browser_may_open_the_health_report(open_endpoint: str) -> None:
    assert exchange(open_endpoint, "GET", HEALTH_PATH, headers={"Sec-Fetch-Site": "none"})[0] == 200


def test_without_any_credentials_a_page_is_refused_for_a_missing_signature(endpoint: str) -> None:
    for headers in (CROSS_SITE, {"Host": "rebound.example"}, PREFLIGHT):
        assert exchange(endpoint, "GET", "/things", headers=headers)[0] == 403
    # A reverse proxy may send a health probe with its own host name.
    assert exchange(endpoint, "GET", HEALTH_PATH, headers={"Host": "iot.example.com"})[0] == 200


def exchange(endpoint: str, method: str, path: str, **request: Any) -> tuple[int, Mapping[str, str], bytes]:
    connection = http.client.HTTPConnection(endpoint.removeprefix("http://"), timeout=10)
    try:
        connection.request(method, path, **request)
        response = connection.getresponse()
        return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
    finally:
        connection.close()


def test_health_needs_no_signature(endpoint: str) -> None:
    status, _, body = exchange(endpoint, "GET", HEALTH_PATH)
    assert (status, json.loads(body)) == (200, {"status": "ok", "version": "1", "detailed": True})
    for path in (LIVE_PATH, READY_PATH):
        status, _, body = exchange(endpoint, "GET", path)
        assert (status, json.loads(body)["status"]) == (200, "ok")


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_over_the_limit_is_refused(endpoint: str, declared: bool) -> None:
    body = b"x" * (MAX_BODY_BYTES + 1)
    content: Any = body if declared else iter([body[:1000], body[1000:]])
    status, headers, answer = exchange(
        endpoint,
        "POST",
        "/things/t",
        body=content,
        encode_chunked=not declared,
        headers={} if declared else {"Transfer-Encoding": "chunked"},
    )
    assert status == 413
    assert headers["x-amzn-errortype"] == "RequestEntityTooLargeException:"
    assert str(MAX_BODY_BYTES) in json.loads(answer)["message"]


def test_a_body_that_is_declared_too_large_is_refused_before_it_is_sent(endpoint: str) -> None:
    host, _, port = endpoint.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), 10) as peer:
        peer.sendall(
            b"POST /things/t HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000000\r\nExpect: 100-continue\r\n\r\n"
        )
        assert peer.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_a_body_at_the_limit_is_read(endpoint: str, received: Received) -> None:
    client("iot-data", endpoint).publish(topic="t", payload=b"x" * MAX_BODY_BYTES)
    assert len(received.calls[-1][1]["payload"]) == MAX_BODY_BYTES


@pytest.mark.parametrize("target", ["OPTIONS *", "CONNECT localhost:1", "GET http://localhost/things", "GET things"])
def test_a_target_that_is_not_a_path_is_refused_as_on_aws(endpoint: str, target: str) -> None:
    host, _, port = endpoint.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), 10) as peer:
        peer.sendall(f"{target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while chunk := peer.recv(65536):
            answer += chunk
    assert answer.startswith(b"HTTP/1.1 4")
    assert b"x-amzn-errortype: " in answer


def test_a_websocket_is_refused(endpoint: str) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    status, _, _ = exchange(endpoint, "GET", "/mqtt", headers=upgrade)
    assert status == 403


def aws(endpoint: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the AWS CLI with this configuration only."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    command = [str(Path(sysconfig.get_path("scripts")) / "aws"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_the_aws_cli_gets_an_answer(endpoint: str, received: Received) -> None:
    done = aws(endpoint, "iot", "create-thing", "--thing-name", "from-cli", "--output", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"thingName": "from-cli", "thingArn": "123456789012/eu-central-1"}
    assert received.calls[-1][1] == {"thingName": "from-cli"}


def test_the_aws_cli_shows_a_refusal_as_one_line(endpoint: str) -> None:
    done = aws(endpoint, "iot", "describe-job", "--job-id", "j")
    assert done.returncode != 0
    [line] = done.stderr.strip().splitlines()
    assert "(NotImplementedException) when calling the DescribeJob operation" in line
    assert line.endswith("does not have yet; `sekisho api coverage` lists those it has.")
