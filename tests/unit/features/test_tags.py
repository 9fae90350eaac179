from __future__ import annotations

import pytest

from sekisho import arn
from sekisho.errors import InvalidRequestException, LimitExceededException, ResourceNotFoundException
from sekisho.policies.rules import Policies
from sekisho.store.store import Store
from sekisho.tags.rules import Tags, checked_tags
from tests.unit.features.arrange import HOME, OTHER_ACCOUNT, LiteralEngine, SetClock, certificate_id

POLICY = arn.policy(HOME, "telemetry")


@pytest.fixture
def tags(store: Store, clock: SetClock) -> Tags:
    """Add a policy to tag."""
    Policies(store, clock, LiteralEngine()).create(HOME, "telemetry", "allow a")
    return Tags(store)


def test_tags_are_added_overwritten_and_removed_by_key(tags: Tags) -> None:
    tags.tag(HOME, POLICY, {"team": "north", "floor": "1"})
    tags.tag(HOME, POLICY, {"floor": "2"})
    assert tags.of(HOME, POLICY) == {"team": "north", "floor": "2"}
    tags.untag(HOME, POLICY, ["floor", "never there"])
    assert tags.of(HOME, POLICY) == {"team": "north"}


def test_a_resource_has_at_most_fifty_tags(tags: Tags) -> None:
    tags.tag(HOME, POLICY, {f"key {number}": "" for number in range(50)})
    tags.tag(HOME, POLICY, {"key 7": "again"})
    with pytest.raises(LimitExceededException, match="51 tags"):
        tags.tag(HOME, POLICY, {"one more": ""})
    assert "one more" not in tags.of(HOME, POLICY)


@pytest.mark.parametrize(
    "resource",
    [
        arn.policy(HOME, "nothing"),
        arn.ca_certificate(HOME, certificate_id(1)),
        "arn:aws:iot:eu-central-1:123456789012:thinggroup/pumps",
    ],
)
def test_a_missing_resource_is_not_found(tags: Tags, resource: str) -> None:
    for refused in (
        lambda: tags.tag(HOME, resource, {}),
        lambda: tags.untag(HOME, resource, []),
        lambda: tags.of(HOME, resource),
    ):
        with pytest.raises(ResourceNotFoundException, match="does not exist"):
            refused()


@pytest.mark.parametrize(
    ("resource", "says"),
    [
        (arn.certificate(HOME, certificate_id(1)), "'cert' cannot have tags"),
        (arn.thing(HOME, "pump"), "'thing' cannot have tags"),
        (arn.policy(OTHER_ACCOUNT, "telemetry"), "account 210987654321"),
        ("arn:aws:s3:::bucket/key", "not the ARN of an AWS IoT resource"),
        ("telemetry", "not the ARN of an AWS IoT resource"),
    ],
)
def test_a_resource_that_cannot_have_tags_is_refused(tags: Tags, resource: str, says: str) -> None:
    with pytest.raises(InvalidRequestException) as refusal:
        tags.tag(HOME, resource, {})
    assert says in refusal.value.message


def test_a_repeated_key_a_reserved_key_and_too_many_tags_are_refused() -> None:
    assert checked_tags([("a", "1"), ("b", "")]) == {"a": "1", "b": ""}
    with pytest.raises(InvalidRequestException, match="twice"):
        checked_tags([("a", "1"), ("a", "2")])
    with pytest.raises(InvalidRequestException, match="reserved"):
        checked_tags([("AWS:a", "1")])
    with pytest.raises(LimitExceededException, match="51"):
        checked_tags([(str(number), "") for number in range(51)], LimitExceededException)
