from __future__ import annotations

import pytest

from sekisho import arn
from sekisho.errors import InvalidRequestException, LimitExceededException, ResourceNotFoundException
from sekisho.policies.authorization import Authorization, Question
from sekisho.policies.rules import Policies
from sekisho.store.store import Store
from sekisho.things.rules import Things
from tests.unit.features.arrange import (
    HOME,
    OTHER_ACCOUNT,
    LiteralEngine,
    SetClock,
    add_certificate,
    certificate_id,
)

IDENTITY = "eu-central-1:0a1b2c3d-0000-4000-8000-00000000abcd"
A = "arn:aws:iot:eu-central-1:123456789012:topic/a"
B = "arn:aws:iot:eu-central-1:123456789012:topic/b"


@pytest.fixture
def policies(store: Store, clock: SetClock) -> Policies:
    """Add four policies that are attached to nothing."""
    made = Policies(store, clock, LiteralEngine())
    made.create(HOME, "allows-a", f"allow {A}\nneeds iot:ClientId")
    made.create(HOME, "allows-b", f"allow {B}")
    made.create(HOME, "denies-b", f"deny {B}")
    made.create(HOME, "says-nothing", "")
    return made


@pytest.fixture
def authorization(store: Store) -> Authorization:
    return Authorization(store, LiteralEngine())


@pytest.fixture
def principal(store: Store, policies: Policies) -> str:
    """Add a certificate with the policies allows-a and says-nothing."""
    made = add_certificate(store)
    policies.attach(HOME, "allows-a", made)
    policies.attach(HOME, "says-nothing", made)
    return made


def publish(*resources: str) -> Question:
    return Question("PUBLISH", resources)


def test_decisions_come_in_the_order_of_the_requests(authorization: Authorization, principal: str) -> None:
    answers = authorization.test(HOME, [publish(B), publish(A)], principal=principal)
    assert [answer.decision for answer in answers] == ["IMPLICIT_DENY", "ALLOWED"]
    assert [answer.question for answer in answers] == [publish(B), publish(A)]


def test_a_decision_names_the_policies_that_made_it(authorization: Authorization, principal: str) -> None:
    allowed, denied = authorization.test(HOME, [publish(A), publish(B)], principal=principal)
    assert allowed.allowed_by == ["allows-a"]
    assert allowed.implicitly_denied_by == []
    assert allowed.missing_context_values == ["iot:ClientId"]
    assert denied.allowed_by == []
    assert denied.implicitly_denied_by == ["allows-a", "says-nothing"]


def test_resources_of_one_request_are_evaluated_together(authorization: Authorization, principal: str) -> None:
    def decide(*add: str) -> str:
        [answer] = authorization.test(HOME, [publish(A, B)], principal=principal, policy_names_to_add=add)
        return answer.decision

    assert decide() == "IMPLICIT_DENY"
    assert decide("allows-b") == "ALLOWED"
    assert decide("allows-b", "denies-b") == "EXPLICIT_DENY"


def test_an_explicit_deny_names_the_denying_and_the_allowing_policies(
    authorization: Authorization, principal: str
) -> None:
    [answer] = authorization.test(
        HOME, [publish(A, B)], principal=principal, policy_names_to_add=["allows-b", "denies-b"]
    )
    assert answer.allowed_by == ["allows-a", "allows-b"]
    assert answer.explicitly_denied_by == ["denies-b"]
    assert answer.implicitly_denied_by == []


def test_policies_are_added_and_skipped_only_for_the_test(authorization: Authorization, principal: str) -> None:
    [answer] = authorization.test(
        HOME,
        [publish(A)],
        principal=principal,
        policy_names_to_add=["allows-b", "allows-b"],
        policy_names_to_skip=["allows-a", "denies-b"],
    )
    assert answer.decision == "IMPLICIT_DENY"
    assert answer.implicitly_denied_by == ["says-nothing", "allows-b"]
    [after] = authorization.test(HOME, [publish(A)], principal=principal)
    assert after.decision == "ALLOWED"


def test_only_the_default_version_is_in_force(authorization: Authorization, policies: Policies, principal: str) -> None:
    policies.create_version(HOME, "allows-a", f"deny {A}")
    assert authorization.test(HOME, [publish(A)], principal=principal)[0].decision == "ALLOWED"
    policies.set_default_version(HOME, "allows-a", "2")
    assert authorization.test(HOME, [publish(A)], principal=principal)[0].decision == "EXPLICIT_DENY"


def test_the_policies_of_a_cognito_identity_decide(authorization: Authorization, policies: Policies) -> None:
    policies.attach(HOME, "allows-b", IDENTITY)
    [answer] = authorization.test(HOME, [publish(B)], principal=IDENTITY)
    assert (answer.decision, answer.allowed_by) == ("ALLOWED", ["allows-b"])


@pytest.mark.usefixtures("policies")
def test_policies_can_be_tested_without_a_principal(authorization: Authorization) -> None:
    [answer] = authorization.test(HOME, [publish(B)], policy_names_to_add=["allows-b"])
    assert answer.decision == "ALLOWED"


def test_a_request_without_policies_is_refused(authorization: Authorization) -> None:
    with pytest.raises(InvalidRequestException, match="names neither a principal nor policies"):
        authorization.test(HOME, [publish(A)])


def test_an_unknown_certificate_policy_or_group_is_not_found(authorization: Authorization, principal: str) -> None:
    with pytest.raises(ResourceNotFoundException, match="certificate given in the principal"):
        authorization.test(HOME, [publish(A)], principal=arn.certificate(HOME, certificate_id(9)))
    with pytest.raises(ResourceNotFoundException, match="Policy nothing"):
        authorization.test(HOME, [publish(A)], principal=principal, policy_names_to_add=["nothing"])
    with pytest.raises(ResourceNotFoundException, match="Policy nothing"):
        authorization.test(HOME, [publish(A)], principal=principal, policy_names_to_skip=["nothing"])
    with pytest.raises(ResourceNotFoundException, match="Thing group pumps"):
        authorization.test(HOME, [publish(A)], principal="arn:aws:iot:eu-central-1:123456789012:thinggroup/pumps")


def test_more_than_ten_policies_together_are_refused(
    authorization: Authorization, policies: Policies, principal: str
) -> None:
    names = [f"policy-{number}" for number in range(9)]
    for name in names:
        policies.create(HOME, name, "")
    with pytest.raises(LimitExceededException, match="11 policies"):
        authorization.test(HOME, [publish(A)], principal=principal, policy_names_to_add=names)
    authorization.test(
        HOME, [publish(A)], principal=principal, policy_names_to_add=names, policy_names_to_skip=["says-nothing"]
    )


@pytest.mark.parametrize(
    ("question", "says"),
    [
        (Question("", [A]), "'' is not an actionType. Give one of CONNECT, PUBLISH, RECEIVE, SUBSCRIBE"),
        (Question("PUBLISH", []), "at least one ARN"),
        (Question("SUBSCRIBE", ["a/b"]), "give arn:aws:iot:eu-central-1:123456789012:topicfilter/<filter>"),
    ],
)
def test_an_invalid_request_is_refused(
    authorization: Authorization, principal: str, question: Question, says: str
) -> None:
    with pytest.raises(InvalidRequestException) as refusal:
        authorization.test(HOME, [question], principal=principal)
    assert says in refusal.value.message


def test_the_effective_policies_of_a_principal_are_those_in_force(
    authorization: Authorization, policies: Policies, principal: str
) -> None:
    policies.create_version(HOME, "allows-a", f"deny {A}", set_as_default=True)
    found = authorization.effective_policies(HOME, principal=principal)
    assert [(version.policy_name, version.document) for version in found] == [
        ("allows-a", f"deny {A}"),
        ("says-nothing", ""),
    ]


def test_a_thing_without_groups_has_no_policies(
    authorization: Authorization, store: Store, clock: SetClock, principal: str
) -> None:
    things = Things(store, clock)
    things.create(HOME, "pump")
    things.attach_principal(HOME, "pump", principal)
    assert list(authorization.effective_policies(HOME, thing_name="pump")) == []
    assert len(authorization.effective_policies(HOME, principal=principal, thing_name="pump")) == 2


def test_effective_policies_of_nothing_or_of_unknown_objects_are_refused(authorization: Authorization) -> None:
    with pytest.raises(InvalidRequestException, match="Give a principal"):
        authorization.effective_policies(HOME)
    with pytest.raises(ResourceNotFoundException, match="Thing pump"):
        authorization.effective_policies(HOME, thing_name="pump")
    with pytest.raises(InvalidRequestException, match="account 210987654321"):
        authorization.effective_policies(HOME, principal=arn.certificate(OTHER_ACCOUNT, certificate_id(1)))
