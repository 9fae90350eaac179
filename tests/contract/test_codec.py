"""Every operation and every exception of the models, through botocore's own serializer and parser.

botocore is the oracle: what its serializer sends must arrive as the parameters that were given to it, and what Sekisho
writes must be parsed back by its parser. Inputs are also routed, so every route is exercised.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import botocore.awsrequest
import botocore.loaders
import botocore.model
import botocore.parsers
import botocore.serialize
import pytest
from botocore.compat import HTTPHeaders
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sekisho.errors
from sekisho.api import query
from sekisho.api.codec import codec_of
from sekisho.api.errors import error_response
from sekisho.api.http import HttpRequest, HttpResponse
from sekisho.api.model import service_models
from sekisho.api.router import Router
from sekisho.errors import AwsException

MODELS = service_models()
ROUTER = Router(MODELS)
REST_SERVICES = ("iot", "iot-data", "iot-jobs-data")
ALL_OPERATIONS = [(service, name) for service in REST_SERVICES for name in MODELS[service].operation_names]
ALL_EXCEPTIONS = [(service, name) for service, model in MODELS.items() for name in model.exceptions()]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HEADER_TEXT = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20)
JSON_VALUES = st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2), max_size=3)

few_examples = settings(
    max_examples=8,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)


@cache
def oracle(service: str) -> botocore.model.ServiceModel:
    return botocore.model.ServiceModel(botocore.loaders.Loader().load_service_model(service, "service-2"), service)


def timestamps(step: timedelta) -> st.SearchStrategy[datetime]:
    return st.integers(0, int(timedelta(days=36500) / step)).map(lambda count: EPOCH + count * step)


def values(shape: Any, step: timedelta) -> st.SearchStrategy[Any]:
    """Any value that botocore can send for `shape`, whatever the model's constraints are."""
    match shape.type_name:
        case "structure":
            return structures(shape, step, {})
        case "list":
            return st.lists(values(shape.member, step), max_size=2)
        case "map":
            return st.dictionaries(st.text(max_size=5), values(shape.value, step), max_size=2)
        case "string":
            return st.text(max_size=8)
        case "boolean":
            return st.booleans()
        case "integer":
            return st.integers(-(2**31), 2**31 - 1)
        case "long":
            return st.integers(-(2**63), 2**63 - 1)
        case "float" | "double":
            return st.floats(allow_nan=False, allow_infinity=False)
        case "blob":
            return st.binary(max_size=8)
        case "timestamp":
            return timestamps(step)
    raise AssertionError(f"the model has a new type: {shape.type_name}")


def structures(shape: Any, step: timedelta, special: Mapping[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    members = {name: values(member, step) for name, member in shape.members.items()} | dict(special)
    required = {name: members.pop(name) for name in shape.required_members}
    return st.fixed_dictionaries(required, optional=members)


@cache
def inputs(service: str, name: str) -> st.SearchStrategy[dict[str, Any]]:
    shape = oracle(service).operation_model(name).input_shape
    if shape is None:
        return st.just({})
    special: dict[str, st.SearchStrategy[Any]] = {}
    for member_name, member in shape.members.items():
        location = member.serialization.get("location")
        if location == "uri" and member.type_name == "string":
            special[member_name] = st.text(min_size=1, max_size=8)
        elif member.serialization.get("jsonvalue"):
            special[member_name] = JSON_VALUES.map(json.dumps)
        elif location == "header":
            special[member_name] = HEADER_TEXT
    return structures(shape, timedelta(seconds=1), special)


@cache
def outputs(service: str, name: str) -> st.SearchStrategy[dict[str, Any]]:
    shape = oracle(service).operation_model(name).output_shape
    if shape is None:
        return st.just({})
    special: dict[str, st.SearchStrategy[Any]] = {}
    for member_name, member in shape.members.items():
        if member.serialization.get("location") == "statusCode":
            special[member_name] = st.integers(200, 299)
        elif member_name == shape.serialization.get("payload"):
            special[member_name] = JSON_VALUES.map(lambda value: json.dumps(value).encode())
    return structures(shape, timedelta(milliseconds=1), special)


def sent_by_botocore(service: str, name: str, parameters: dict[str, Any]) -> HttpRequest:
    model = oracle(service)
    serializer = botocore.serialize.create_serializer(model.protocol, include_validation=False)
    request_dict = serializer.serialize_to_request(parameters, model.operation_model(name))
    botocore.awsrequest.prepare_request_dict(request_dict, "http://localhost")
    prepared = botocore.awsrequest.create_request_object(request_dict).prepare()
    url = urlsplit(prepared.url)
    headers = [
        (key.lower(), value.decode() if isinstance(value, bytes) else value) for key, value in prepared.headers.items()
    ]
    body = prepared.body or b""
    return HttpRequest(
        method=prepared.method,
        raw_path=url.path,
        query_string=url.query,
        headers=headers,
        body=body.encode() if isinstance(body, str) else body,
    )


def read_by_botocore(service: str, response: HttpResponse, shape: Any) -> dict[str, Any]:
    headers = HTTPHeaders()
    for key, value in response.headers:
        headers[key] = value
    parser = botocore.parsers.create_parser(oracle(service).protocol)
    parsed: dict[str, Any] = parser.parse(
        {"body": response.body, "headers": headers, "status_code": response.status}, shape
    )
    return parsed


@pytest.mark.parametrize(("service", "name"), ALL_OPERATIONS)
@few_examples
@given(data=st.data())
def test_parameters_arrive_as_botocore_was_given_them(service: str, name: str, data: st.DataObject) -> None:
    parameters = data.draw(inputs(service, name))
    request = sent_by_botocore(service, name, parameters)

    route = ROUTER.route([service], request.method, request.raw_path)
    parsed = codec_of(MODELS[service].operation(name)).parse(request, route.labels)

    expected = dict(parameters)
    shape = oracle(service).operation_model(name).input_shape
    payload = shape.serialization.get("payload") if shape is not None else None
    if payload is not None:
        # In a request an absent payload and an empty one are the same.
        expected.setdefault(payload, b"" if shape.members[payload].type_name == "blob" else {})
    assert route.operation == name
    assert parsed == expected


@pytest.mark.parametrize(("service", "name"), ALL_OPERATIONS)
@few_examples
@given(data=st.data())
def test_results_are_parsed_by_botocore_as_they_were_written(service: str, name: str, data: st.DataObject) -> None:
    result = data.draw(outputs(service, name))
    shape = oracle(service).operation_model(name).output_shape

    response = codec_of(MODELS[service].operation(name)).write(result if shape is not None else None)
    parsed = read_by_botocore(service, response, shape)

    parsed.pop("ResponseMetadata")
    expected = dict(result)
    if shape is not None:
        payload = shape.serialization.get("payload")
        if payload is not None:
            expected[payload] = expected.get(payload, b"").decode()
        for member_name, member in shape.members.items():
            if member.serialization.get("location") == "statusCode":
                expected.setdefault(member_name, 200)
    assert parsed == expected


@pytest.mark.parametrize(("service", "name"), ALL_OPERATIONS)
def test_null_members_of_a_result_are_left_out(service: str, name: str) -> None:
    operation = MODELS[service].operation(name)
    members = operation.output.members if operation.output is not None else {}
    response = codec_of(operation).write(dict.fromkeys(members))
    assert response.body in (b"{}", b"")


@settings(few_examples, max_examples=50)
@given(properties=JSON_VALUES)
def test_user_properties_arrive_as_json_text_from_clients_that_encode_them_once(properties: Any) -> None:
    by_boto3 = sent_by_botocore("iot-data", "Publish", {"topic": "t", "userProperties": json.dumps(properties)})
    encoded_once = sent_by_botocore("iot-data", "Publish", {"topic": "t", "userProperties": properties})

    codec = codec_of(MODELS["iot-data"].operation("Publish"))
    for request in (by_boto3, encoded_once):
        assert json.loads(codec.parse(request, {"topic": "t"})["userProperties"]) == properties


def test_get_caller_identity_round_trips_through_the_query_protocol() -> None:
    model = MODELS["sts"]
    operation = model.operation("GetCallerIdentity")
    fields = query.parse_form(sent_by_botocore("sts", "GetCallerIdentity", {}))
    assert query.action_of(model, fields) == "GetCallerIdentity"
    assert query.parse_parameters(operation, fields) == {}

    identity = {"Account": "123456789012", "Arn": "arn:aws:iam::123456789012:user/é<&>", "UserId": "AIDA"}
    response = query.write_result(model, operation, identity, "request-1")
    parsed = read_by_botocore("sts", response, oracle("sts").operation_model("GetCallerIdentity").output_shape)
    assert parsed == identity | {"ResponseMetadata": {"RequestId": "request-1", **parsed["ResponseMetadata"]}}


@pytest.mark.parametrize(("service", "name"), ALL_EXCEPTIONS)
@few_examples
@given(data=st.data())
def test_exceptions_reach_botocore_with_code_message_and_members(service: str, name: str, data: st.DataObject) -> None:
    shape = oracle(service).shape_for(name)
    texts = [member for member, target in shape.members.items() if target.type_name == "string"]
    text = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xD7FF), min_size=1, max_size=20)
    members = data.draw(st.fixed_dictionaries(dict.fromkeys(texts, text)))
    message = members.pop("message")

    class Raised(AwsException):
        code = name
        members: Mapping[str, str] = {}

    Raised.members = members
    response = error_response(Raised(message), MODELS, service, "request-1")

    parsed = read_by_botocore(service, response, None)
    assert parsed["Error"]["Code"] == name
    assert parsed["Error"]["Message"].strip() == message.strip()
    assert parsed["ResponseMetadata"]["RequestId"] == "request-1"
    assert response.status == shape.metadata["error"]["httpStatusCode"]
    if service != "sts":
        modelled = read_by_botocore(service, HttpResponse(200, response.headers, response.body), shape)
        assert {member: modelled[member] for member in members} == members


def test_every_exception_of_the_domain_exists_in_a_model_under_that_name() -> None:
    known = {name for model in MODELS.values() for name in model.exceptions()}
    ours = {raised.__name__ for raised in vars(sekisho.errors).values() if isinstance(raised, type)}
    assert ours - {"AwsException", "Mapping"} <= known
