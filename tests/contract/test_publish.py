"""Publish of ``iot-data``, as boto3, the AWS CLI and a plain HTTP client see it."""

from __future__ import annotations

import base64
import http.client
import json
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from sekisho.messaging.publishing import Message
from tests.contract.conftest import Account


def delivered(account: Account) -> list[Message]:
    return [message for realm, message in account.server.published if realm == account.realm]


def post(account: Account, path: str, body: bytes, headers: dict[str, str] | None = None) -> Any:
    """Send a signed POST without boto3 and return the JSON answer."""
    request = AWSRequest("POST", account.server.url + path, data=body, headers=headers or {})
    key = account.key
    SigV4Auth(Credentials(key.access_key_id, key.secret_access_key), "iotdata", account.region).add_auth(request)
    prepared = urllib.request.Request(request.url, data=body, headers=dict(request.headers.items()), method="POST")
    with urllib.request.urlopen(prepared, timeout=10) as response:
        return json.load(response), response.headers["x-amzn-RequestId"]


def test_a_message_with_all_properties_arrives_unchanged(account: Account) -> None:
    account.data.publish(
        topic="a/b c/é",
        qos=1,
        retain=True,
        payload=b"\x00\xff",
        userProperties=json.dumps([{"deviceName": "alpha"}, {"deviceName": "β"}]),
        payloadFormatIndicator="UTF8_DATA",
        contentType="text/plain",
        responseTopic="r/t",
        correlationData=base64.b64encode(b"\x01\x02").decode(),
        messageExpiry=0,
    )
    assert delivered(account) == [
        Message(
            topic="a/b c/é",
            payload=b"\x00\xff",
            qos=1,
            retain=True,
            payload_is_utf8=True,
            content_type="text/plain",
            response_topic="r/t",
            correlation_data=b"\x01\x02",
            expiry_seconds=1,
            user_properties=(("deviceName", "alpha"), ("deviceName", "β")),
        )
    ]


def test_a_message_may_have_only_a_topic(account: Account) -> None:
    account.data.publish(topic="a")
    assert delivered(account) == [Message("a")]


def test_slashes_may_be_escaped_and_the_answer_is_that_of_aws(account: Account) -> None:
    escaped, request_id = post(account, "/topics/a%2Fb?qos=1", b"1")
    assert escaped == {"message": "OK", "traceId": request_id}
    post(account, "/topics/a/b?qos=1", b"2")
    assert delivered(account) == [Message("a/b", b"1", qos=1), Message("a/b", b"2", qos=1)]


def test_user_properties_may_be_encoded_once(account: Account) -> None:
    encoded = base64.b64encode(b'[{"a": "1"}]').decode()
    post(account, "/topics/a", b"", {"x-amz-mqtt5-user-properties": encoded})
    assert delivered(account) == [Message("a", user_properties=(("a", "1"),))]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"topic": "a/#"}, "wildcard '#'"),
        ({"topic": "a/b/c/d/e/f/g/h/i"}, "the maximum is 7"),
        ({"qos": 2}, "less than or equal to 1"),
        ({"userProperties": '{"a": "1"}'}, "is not a list"),
        ({"correlationData": "not base64"}, "correlationData is not valid base64"),
        ({"responseTopic": "r/+"}, "responseTopic"),
        ({"messageExpiry": -1}, "messageExpiry"),
        ({"payloadFormatIndicator": "UTF7"}, "enum value set"),
    ],
)
def test_a_message_that_breaks_a_rule_is_an_invalid_request(
    account: Account, change: dict[str, Any], says: str
) -> None:
    with pytest.raises(account.data.exceptions.InvalidRequestException) as refusal:
        account.data.publish(**{"topic": "a", **change})
    assert says in refusal.value.response["Error"]["Message"]
    assert delivered(account) == []


def test_a_payload_of_more_than_128_kb_is_too_large(account: Account) -> None:
    account.data.publish(topic="a", payload=b"x" * 131072)
    with pytest.raises(ClientError) as refusal:
        account.data.publish(topic="a", payload=b"x" * 131073)
    assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413
    assert len(delivered(account)) == 1


def test_a_message_stays_in_its_account_and_region(account: Account, other_account: Account) -> None:
    account.elsewhere("us-east-1").data.publish(topic="a")
    other_account.data.publish(topic="a")
    assert delivered(account) == []


def test_the_aws_cli_publishes_a_file(account: Account, tmp_path: Path) -> None:
    (tmp_path / "payload").write_bytes(b"\x00hello")
    published = account.aws(
        *("iot-data", "publish", "--topic", "a/b", "--qos", "1", "--payload", f"fileb://{tmp_path}/payload"),
    )
    assert (published.returncode, published.stdout) == (0, ""), published.stderr
    assert delivered(account) == [Message("a/b", b"\x00hello", qos=1)]


@pytest.mark.parametrize(
    "topic", ["a/../b", "../a", "a/..", "./a", "a/./b", "a//b", "/a", "a/", "//", "a%2Fb", "a &?=~"]
)
def test_every_level_of_a_topic_arrives_unchanged(account: Account, topic: str) -> None:
    account.data.publish(topic=topic, qos=1, payload=b"x")
    assert delivered(account) == [Message(topic, b"x", qos=1)]


@pytest.mark.parametrize("topic", [".", ".."])
def test_a_topic_that_boto3_does_not_sign_is_refused(account: Account, topic: str) -> None:
    with pytest.raises(ClientError, match=r"signed for the path .* sent with the path") as refused:
        account.data.publish(topic=topic, payload=b"x")
    assert refused.value.response["Error"]["Code"] == "InvalidSignatureException"
    assert delivered(account) == []


def sent_as(account: Account, path: str, sent: str, **added: str) -> tuple[int, str]:
    """Sign a Publish for `path`, and send it as `sent` with more headers; returns status, error type."""
    url = urlsplit(account.server.url)
    request = AWSRequest("POST", account.server.url + path, data=b"x")
    key = account.key
    SigV4Auth(Credentials(key.access_key_id, key.secret_access_key), "iotdata", account.region).add_auth(request)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=10)
    headers = {name: str(value) for name, value in request.headers.items()} | {
        name.replace("_", "-"): value for name, value in added.items()
    }
    connection.request("POST", sent, b"x", headers)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status, (response.headers["x-amzn-errortype"] or "").rstrip(":")


@pytest.mark.parametrize(
    ("sent", "added"),
    [
        ("/topics/x/../y?qos=0&retain=false", {}),
        ("/topics//y?qos=0&retain=false", {}),
        ("/topics/./y?qos=0&retain=false", {}),
        ("/topics/y/?qos=0&retain=false", {}),
        ("/topics/x%2F..%2Fy?qos=0&retain=false", {}),
        ("/topics/%79?qos=0&retain=false", {}),
        ("/topics/y?qos=1&retain=false", {}),
        ("/topics/y?qos=0&retain=true", {}),
        ("/topics/y?qos=0&retain=false&retain=true", {}),
        ("/topics/y?qos=0", {}),
        ("/topics/y?qos=0&retain=false", {"X_Amz_Mqtt5_User_Properties": "W3siYSI6ImIifV0="}),
        ("/topics/y?qos=0&retain=false", {"X_Amz_Mqtt5_Payload_Format_Indicator": "UTF8_DATA"}),
        ("/topics/y?qos=0&retain=false", {"X_Amz_Mqtt5_Correlation_Data": "YQ=="}),
    ],
)
def test_a_change_of_a_signed_publish_is_detected(account: Account, sent: str, added: dict[str, str]) -> None:
    signed = "/topics/y?qos=0&retain=false"
    assert sent_as(account, signed, signed) == (200, "")
    status, code = sent_as(account, signed, sent, **added)
    assert (status, code) == (403, "InvalidSignatureException")
    assert delivered(account) == [Message("y", b"x")]


def test_a_parameter_that_is_signed_twice_is_refused(account: Account) -> None:
    # The signature covers a query in sorted order, so it does not say which of the two was last.
    query = "/topics/y?qos=0&qos=1"
    assert sent_as(account, query, query) == (400, "SerializationException")
    assert delivered(account) == []
