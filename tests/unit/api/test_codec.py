"""Requests that cannot be read, and forms of requests that botocore does not send."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from sekisho.api.codec import ResultError, codec_of
from sekisho.api.errors import SerializationException
from sekisho.api.http import HttpRequest
from sekisho.api.model import service_model


def parse(
    name: str,
    *,
    service: str = "iot",
    body: bytes = b"",
    query: str = "",
    headers: list[tuple[str, str]] | None = None,
    labels: dict[str, str] | None = None,
) -> dict[str, Any]:
    request = HttpRequest("POST", "/", query, headers or [], body)
    return codec_of(service_model(service).operation(name)).parse(request, labels or {})


def refusal(name: str, **request: Any) -> str:
    with pytest.raises(SerializationException) as refused:
        parse(name, **request)
    return refused.value.message


def body_refusal(content: Any) -> str:
    return refusal("CreateThing", labels={"thingName": "t"}, body=json.dumps(content).encode())


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "The body is not valid JSON: Expecting property name enclosed in double quotes at line 1, column 2."),
        (b"thing", "The body is not valid JSON: Expecting value at line 1, column 1."),
        (b'{"a": 1} {}', "The body is not valid JSON: Extra data at line 1, column 10."),
        (b"\xff\xfe{}", "The body is not UTF-8 (byte 0 of 4). Send JSON in UTF-8."),
        (b"[]", "The body must be a JSON object, not a list."),
        (b"null", "The body must be a JSON object, not null."),
        (b'"text"', "The body must be a JSON object, not a string."),
        (b'{"a": NaN}', "The body is not valid JSON: NaN is not a JSON value."),
        (b'{"a": -Infinity}', "The body is not valid JSON: -Infinity is not a JSON value."),
        (b"[" * 100_000, "The body is not acceptable JSON: it is nested too deeply."),
        (b'{"a": ' + b"1" * 5000 + b"}", "The body is not acceptable JSON: a number has too many digits."),
        (
            b'{"thingTypeName": "\\ud800"}',
            "The body holds half of a surrogate pair (\\ud800 to \\udfff), which is not a character.",
        ),
    ],
)
def test_an_unreadable_body_is_refused_with_the_reason(body: bytes, message: str) -> None:
    assert refusal("CreateThing", labels={"thingName": "t"}, body=body) == message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"thingTypeName": 1}, "'thingTypeName' must be a string, not a number."),
        ({"thingTypeName": ["a"]}, "'thingTypeName' must be a string, not a list."),
        ({"attributePayload": "a"}, "'attributePayload' must be an object, not a string."),
        ({"attributePayload": {"merge": "true"}}, "'attributePayload.merge' must be true or false, not a string."),
        ({"attributePayload": {"merge": 1}}, "'attributePayload.merge' must be true or false, not a number."),
        ({"attributePayload": {"attributes": []}}, "'attributePayload.attributes' must be an object, not a list."),
        (
            {"attributePayload": {"attributes": {"color": True}}},
            "'attributePayload.attributes.color' must be a string, not a boolean.",
        ),
    ],
)
def test_a_value_of_the_wrong_type_is_named(content: Any, message: str) -> None:
    assert body_refusal(content) == message


def test_a_list_must_be_a_list() -> None:
    body = json.dumps({"resourceArn": "a", "tags": {"Key": "k"}}).encode()
    assert refusal("TagResource", body=body) == "'tags' must be a list, not an object."
    body = json.dumps({"resourceArn": "a", "tags": ["k"]}).encode()
    assert refusal("TagResource", body=body) == "'tags.1' must be an object, not a string."


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("1", "'expectedVersion' must be a whole number, not a string."),
        (True, "'expectedVersion' must be a whole number, not a boolean."),
        (1.5, "'expectedVersion' must be a whole number."),
        (2**63, "'expectedVersion' does not fit into 64 bits."),
        (1e300, "'expectedVersion' does not fit into 64 bits."),
    ],
)
def test_a_long_must_be_a_whole_number_of_64_bits(version: Any, message: str) -> None:
    body = json.dumps({"expectedVersion": version}).encode()
    assert refusal("UpdateThing", labels={"thingName": "t"}, body=body) == message


def test_a_whole_number_may_be_written_as_a_float() -> None:
    assert parse("UpdateThing", labels={"thingName": "t"}, body=b'{"expectedVersion": 3.0}')["expectedVersion"] == 3


def test_a_blob_must_be_base64() -> None:
    body = b'{"mqttContext": {"password": "not base64!"}}'
    message = refusal("TestInvokeAuthorizer", labels={"authorizerName": "a"}, body=body)
    assert message == "'mqttContext.password' is not valid base64."


def test_null_members_are_dropped_and_unknown_ones_ignored() -> None:
    body = b'{"thingTypeName": null, "color": "red", "attributePayload": {"attributes": {"a": null, "b": ""}}}'
    assert parse("CreateThing", labels={"thingName": "t"}, body=body) == {
        "thingName": "t",
        "attributePayload": {"attributes": {"b": ""}},
    }


def test_a_missing_body_is_an_empty_one() -> None:
    assert parse("CreateThing", labels={"thingName": "t"}) == {"thingName": "t"}


@pytest.mark.parametrize("word", ["true", "True", "TRUE"])
def test_a_boolean_of_the_query_may_be_in_any_case(word: str) -> None:
    assert parse("RegisterCACertificate", query=f"setAsActive={word}")["setAsActive"] is True


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("setAsActive=yes", "'setAsActive' must be true or false."),
        ("setAsActive=", "'setAsActive' must be true or false."),
    ],
)
def test_a_boolean_of_the_query_has_no_other_value(query: str, message: str) -> None:
    assert refusal("RegisterCACertificate", query=query) == message


@pytest.mark.parametrize("number", ["", "x", "1.5", "--1", "１", "1_0", " 1", "9" * 400, "0x10"])
def test_a_number_of_the_query_is_a_whole_number(number: str) -> None:
    assert refusal("ListThings", query=f"maxResults={number}") == "'maxResults' must be a whole number."


def test_a_number_of_the_query_fits_its_type() -> None:
    assert refusal("ListThings", query="maxResults=2147483648") == "'maxResults' does not fit into 32 bits."


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31T12:00:00Z",
        "2026-01-31T12:00:00",
        "2026-01-31T21:00:00%2B09:00",
        "1769860800",
        "1769860800.0",
        "Sat, 31 Jan 2026 12:00:00 GMT",
    ],
)
def test_a_timestamp_may_have_any_of_its_three_forms(text: str) -> None:
    parsed = parse("ListAuditTasks", query=f"startTime={text}&endTime=0")
    assert parsed["startTime"] == datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "soon", "nan", "1e300", "-1e30", "2026-13-01"])
def test_a_timestamp_has_no_other_form(text: str) -> None:
    assert refusal("ListAuditTasks", query=f"startTime={text}").startswith("'startTime' ")


@pytest.mark.parametrize(
    "properties",
    ["not base64", base64.b64encode(b"not json").decode(), base64.b64encode(b'"not json either"').decode(), "/w=="],
)
def test_user_properties_must_be_json_in_base64(properties: str) -> None:
    headers = [("x-amz-mqtt5-user-properties", properties)]
    message = refusal("Publish", service="iot-data", labels={"topic": "t"}, headers=headers)
    assert message == "'userProperties' must be JSON text in base64."


def test_a_plus_sign_and_an_escaped_space_of_the_query_are_spaces() -> None:
    for query in ("attributeName=a+b", "attributeName=a%20b"):
        assert parse("ListThings", query=query)["attributeName"] == "a b"
    assert parse("ListThings", query="attributeName=a%2Bb")["attributeName"] == "a+b"


def test_a_query_must_be_utf_8() -> None:
    assert refusal("ListThings", query="attributeName=%FF").startswith("The query string is not UTF-8")
    assert parse("ListThings", query="attributeName=%EF%BF%BD")["attributeName"] == "\ufffd"


def test_a_payload_is_used_unchanged() -> None:
    for payload in (b"", b"\xff\x00", b"{", b" spaces \n"):
        assert parse("Publish", service="iot-data", labels={"topic": "t"}, body=payload)["payload"] == payload


def test_null_members_of_a_result_are_left_out_at_every_depth() -> None:
    codec = codec_of(service_model("iot").operation("DescribeThing"))
    result = {"thingName": "t", "thingTypeName": None, "attributes": {"color": "red", "size": None}}
    assert codec.write(result).body == b'{"thingName":"t","attributes":{"color":"red"}}'
    codec = codec_of(service_model("iot").operation("DescribeCertificate"))
    response = codec.write({"certificateDescription": {"certificateId": "a", "ownedBy": None}})
    assert response.body == b'{"certificateDescription":{"certificateId":"a"}}'


def test_a_result_without_a_place_in_the_output_is_a_bug() -> None:
    codec = codec_of(service_model("iot").operation("CreateThing"))
    with pytest.raises(ResultError, match="CreateThing has no member 'name'; it has thingName, thingArn, thingId"):
        codec.write({"name": "t"})


def test_a_timestamp_is_written_to_the_millisecond() -> None:
    codec = codec_of(service_model("iot").operation("DescribeEndpoint"))
    assert codec.write({"endpointAddress": "localhost"}).body == b'{"endpointAddress":"localhost"}'
    codec = codec_of(service_model("iot").operation("DescribeCertificate"))
    moment = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)
    written = json.loads(codec.write({"certificateDescription": {"creationDate": moment}}).body)
    assert written == {"certificateDescription": {"creationDate": 1769860800.123}}


def test_an_operation_without_output_may_answer_with_a_body() -> None:
    codec = codec_of(service_model("iot-data").operation("Publish"))
    assert codec.write({"message": "OK", "traceId": "1"}).body == b'{"message":"OK","traceId":"1"}'
    assert codec.write(None).body == b""


def test_the_status_of_a_response_may_be_a_member() -> None:
    codec = codec_of(service_model("iot").operation("DeleteCommand"))
    response = codec.write({"statusCode": 202})
    assert (response.status, response.body) == (202, b"{}")
