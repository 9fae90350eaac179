"""Paths lead to their operations, whatever is escaped in them."""

from __future__ import annotations

import pytest

from sekisho.api.errors import UnknownOperationException
from sekisho.api.model import service_models
from sekisho.api.router import Router
from sekisho.errors import InvalidRequestException, MethodNotAllowedException

ROUTER = Router(service_models())


@pytest.mark.parametrize(
    ("path", "topic"),
    [
        ("/topics/a/b", "a/b"),
        ("/topics/a%2Fb", "a/b"),
        ("/topics/a%2fb", "a/b"),
        ("/topics/a/b/", "a/b/"),
        ("/topics//a", "/a"),
        ("/topics/%24aws%2Fthings", "$aws/things"),
        ("/topics/$aws/things", "$aws/things"),
        ("/topics/100%25", "100%"),
        ("/topics/a%252Fb", "a%2Fb"),
        ("/topics/a+b", "a+b"),
        ("/topics/%E9%96%A2%E6%89%80", "関所"),
    ],
)
def test_a_topic_may_have_raw_and_escaped_slashes(path: str, topic: str) -> None:
    route = ROUTER.route(["iot-data"], "POST", path)
    assert (route.operation, route.labels) == ("Publish", {"topic": topic})


@pytest.mark.parametrize(
    ("method", "path", "operation", "client_id"),
    [
        ("GET", "/connections/a", "GetConnection", "a"),
        ("GET", "/connections/a%2Fsubscriptions", "GetConnection", "a/subscriptions"),
        ("GET", "/connections/a/subscriptions", "ListSubscriptions", "a"),
        ("DELETE", "/connections/my%20dev%2F1", "DeleteConnection", "my dev/1"),
        ("DELETE", "/connections/my%20dev/1", "DeleteConnection", "my dev/1"),
    ],
)
def test_a_longer_route_wins_over_slashes_in_a_client_id(
    method: str, path: str, operation: str, client_id: str
) -> None:
    route = ROUTER.route(["iot-data"], method, path)
    assert (route.operation, route.labels) == (operation, {"clientId": client_id})


def test_the_arn_of_a_policy_target_is_one_label() -> None:
    arn = "arn:aws:iot:eu-central-1:123456789012:cert/ab"
    route = ROUTER.route(["iot"], "POST", "/attached-policies/" + arn.replace(":", "%3A").replace("/", "%2F"))
    assert (route.operation, route.labels) == ("ListAttachedPolicies", {"target": arn})


@pytest.mark.parametrize(
    ("service", "operation"), [("iot", "DescribeJobExecution"), ("iot-jobs-data", "DescribeJobExecution")]
)
def test_the_service_decides_about_a_route_of_two_services(service: str, operation: str) -> None:
    route = ROUTER.route([service], "GET", "/things/t/jobs/j")
    assert (route.service, route.operation) == (service, operation)


@pytest.mark.parametrize("word", ["$next", "%24next"])
def test_a_fixed_word_wins_over_a_label(word: str) -> None:
    route = ROUTER.route(["iot-jobs-data"], "PUT", f"/things/t/jobs/{word}")
    assert route.operation == "StartNextPendingJobExecution"


def test_a_fixed_word_may_follow_a_label_of_the_same_length() -> None:
    assert ROUTER.route(["iot"], "PUT", "/thing-groups/addThingToThingGroup").operation == "AddThingToThingGroup"


def test_a_trailing_slash_is_ignored_outside_a_label() -> None:
    assert ROUTER.route(["iot"], "GET", "/things/").operation == "ListThings"
    assert ROUTER.route(["iot"], "GET", "/things/a/").labels == {"thingName": "a"}


@pytest.mark.parametrize("path", ["", "/", "/nothing", "/things/a/b/c", "/things//principals", "things", "/%74hings"])
def test_a_path_without_an_operation_is_named(path: str) -> None:
    with pytest.raises(UnknownOperationException, match="No AWS IoT operation has the path"):
        ROUTER.route(["iot"], "GET", path)


def test_another_method_is_refused_with_the_existing_ones() -> None:
    with pytest.raises(UnknownOperationException, match=r"/things/a takes DELETE and GET and PATCH and POST, not PUT"):
        ROUTER.route(["iot"], "PUT", "/things/a")
    with pytest.raises(MethodNotAllowedException, match="/topics/a takes POST, not PUT"):
        ROUTER.route(["iot-data"], "PUT", "/topics/a")


def test_a_long_path_is_repeated_in_part() -> None:
    with pytest.raises(UnknownOperationException) as refused:
        ROUTER.route(["iot"], "GET", "/" + "x" * 5000)
    assert len(refused.value.message) < 200


def test_a_label_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(InvalidRequestException, match="not UTF-8"):
        ROUTER.route(["iot"], "GET", "/things/%FF")
