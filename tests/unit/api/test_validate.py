"""Each kind of constraint, broken on operations of the model that have it."""

from __future__ import annotations

from typing import Any

import pytest

from sekisho.api.echo import MAX_ECHO
from sekisho.api.model import Operation, service_model
from sekisho.api.validate import MAX_FAILURES, validate
from sekisho.errors import InvalidRequestException, ValidationException

IOT = service_model("iot")
PRIVATE_KEY = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg"


def refusal(name: str, parameters: dict[str, Any], *, service: str = "iot") -> str:
    operation: Operation = service_model(service).operation(name)
    with pytest.raises(InvalidRequestException) as refused:
        validate(operation, parameters)
    return refused.value.message


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        (
            "CreateThing",
            {},
            "1 validation error detected: Value null at 'thingName' failed to satisfy constraint: "
            "Member must not be null",
        ),
        (
            "DescribeCertificate",
            {"certificateId": "ab"},
            "1 validation error detected: Value 'ab' at 'certificateId' failed to satisfy constraint: "
            "Member must have length greater than or equal to 64",
        ),
        (
            "CreateThing",
            {"thingName": "a" * 129},
            f"1 validation error detected: Value '{'a' * 100}…' at 'thingName' failed to satisfy constraint: "
            "Member must have length less than or equal to 128",
        ),
        (
            "CreateThing",
            {"thingName": "a/b"},
            "1 validation error detected: Value 'a/b' at 'thingName' failed to satisfy constraint: "
            "Member must satisfy regular expression pattern: [a-zA-Z0-9:_-]+",
        ),
        (
            "ListThings",
            {"maxResults": 251},
            "1 validation error detected: Value '251' at 'maxResults' failed to satisfy constraint: "
            "Member must have value less than or equal to 250",
        ),
        (
            "ListThings",
            {"maxResults": 0},
            "1 validation error detected: Value '0' at 'maxResults' failed to satisfy constraint: "
            "Member must have value greater than or equal to 1",
        ),
        (
            "RegisterCACertificate",
            {"caCertificate": "x", "certificateMode": "BOTH"},
            "1 validation error detected: Value 'BOTH' at 'certificateMode' failed to satisfy constraint: "
            "Member must satisfy enum value set: [DEFAULT, SNI_ONLY]",
        ),
        (
            "TestAuthorization",
            {"authInfos": []},
            "1 validation error detected: Value '<0 items>' at 'authInfos' failed to satisfy constraint: "
            "Member must have length greater than or equal to 1",
        ),
        (
            "TestAuthorization",
            {"authInfos": [{"resources": []}] * 11},
            "1 validation error detected: Value '<11 items>' at 'authInfos' failed to satisfy constraint: "
            "Member must have length less than or equal to 10",
        ),
        (
            "TestAuthorization",
            {"authInfos": [{"actionType": "PUBLISH"}]},
            "1 validation error detected: Value null at 'authInfos.1.member.resources' failed to satisfy "
            "constraint: Member must not be null",
        ),
        (
            "TagResource",
            {"resourceArn": "arn", "tags": [{"Key": "a", "Value": "b"}, {"Key": "semi;colon", "Value": ""}]},
            "1 validation error detected: Value 'semi;colon' at 'tags.2.member.Key' failed to satisfy constraint: "
            r"Member must satisfy regular expression pattern: ^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$",
        ),
        (
            "CreateThing",
            {"thingName": "t", "attributePayload": {"attributes": {"a b": "c"}}},
            "1 validation error detected: Value 'a b' at 'attributePayload.attributes' failed to satisfy constraint: "
            r"Map keys must satisfy constraint: [Member must satisfy regular expression pattern: "
            r"[a-zA-Z0-9_.,@/:#-]+]",
        ),
        (
            "CreateThing",
            {"thingName": "t", "attributePayload": {"attributes": {"color": "very red"}}},
            "1 validation error detected: Value 'very red' at 'attributePayload.attributes.color.member' failed to "
            r"satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.,@/:#=\[\]-]*",
        ),
        (
            "UntagResource",
            {"resourceArn": "arn", "tagKeys": ["a", None]},
            "1 validation error detected: Value null at 'tagKeys.2.member' failed to satisfy constraint: "
            "Member must not be null",
        ),
    ],
)
def test_a_broken_constraint_is_named_in_the_words_of_aws(name: str, parameters: dict[str, Any], message: str) -> None:
    assert refusal(name, parameters) == message


def test_valid_parameters_pass() -> None:
    validate(
        IOT.operation("CreateThing"),
        {"thingName": "a" * 128, "attributePayload": {"attributes": {"color": "red", "empty": ""}, "merge": True}},
    )
    validate(IOT.operation("ListThings"), {"maxResults": 250})
    validate(IOT.operation("GetRegistrationCode"), {})


def test_a_blob_is_measured_in_bytes_and_not_repeated() -> None:
    parameters = {
        "authorizerName": "a",
        "mqttContext": {"password": b"x" * 65536},
    }
    assert refusal("TestInvokeAuthorizer", parameters) == (
        "1 validation error detected: Value '<65536 bytes>' at 'mqttContext.password' failed to satisfy constraint: "
        "Member must have length less than or equal to 65535"
    )


def test_all_failures_are_counted_and_the_first_are_listed() -> None:
    message = refusal("UntagResource", {"resourceArn": "arn", "tagKeys": ["semi;colon"] * 30})
    assert message.startswith("30 validation errors detected: ")
    assert message.count("semi;colon") == MAX_FAILURES
    assert message.endswith("; and 20 more")


def test_a_long_value_is_shortened() -> None:
    message = refusal("CreateThing", {"thingName": "x" * 100_000})
    assert "x" * MAX_ECHO in message
    assert "x" * (MAX_ECHO + 1) not in message


def test_a_value_cannot_forge_lines() -> None:
    message = refusal("CreateThing", {"thingName": "a\n\x1b[31mforged"})
    assert message.isprintable()
    assert r"a\n\x1b[31mforged" in message


def test_a_null_character_is_refused_also_without_a_pattern() -> None:
    message = refusal("CreatePolicy", {"policyName": "p", "policyDocument": "{\0}"})
    assert r"Value '{\x00}' at 'policyDocument'" in message
    assert message.endswith("Member must not contain the character U+0000")


def test_a_private_key_is_not_repeated() -> None:
    message = refusal("CreateThing", {"thingName": PRIVATE_KEY})
    assert "PRIVATE KEY" not in message
    assert message.startswith("1 validation error detected: Value at 'thingName'")


def test_a_sensitive_member_is_not_repeated() -> None:
    operation = IOT.operation("CreatePackageVersion")
    with pytest.raises(ValidationException) as refused:
        validate(operation, {"packageName": "p", "versionName": "v", "description": "secret\0words"})
    assert "secret" not in refused.value.message
    assert "Value at 'description'" in refused.value.message


def test_values_within_a_sensitive_member_are_not_repeated() -> None:
    operation = IOT.operation("CreatePackageVersion")
    with pytest.raises(ValidationException) as refused:
        validate(operation, {"packageName": "p", "versionName": "v", "attributes": {"key": "secret\0words"}})
    assert "secret" not in refused.value.message


def test_the_data_plane_refuses_broken_constraints_in_the_same_way() -> None:
    message = refusal("Publish", {"topic": "t", "qos": 2, "payload": b""}, service="iot-data")
    assert "Value '2' at 'qos'" in message
    assert "less than or equal to 1" in message
