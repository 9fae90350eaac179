from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from sekisho import arn
from sekisho.change import Change, ChangeKind
from sekisho.errors import (
    DeleteConflictException,
    InvalidRequestException,
    LimitExceededException,
    MalformedPolicyException,
    ResourceAlreadyExistsException,
    ResourceNotFoundException,
    VersionsLimitExceededException,
)
from sekisho.pages import Window
from sekisho.policies.rules import Policies
from sekisho.store.store import Store
from sekisho.tags.rules import Tags
from tests.unit.features.arrange import (
    HOME,
    OTHER_ACCOUNT,
    LiteralEngine,
    SetClock,
    add_certificate,
    certificate_id,
)

ALL = Window(limit=250)
IDENTITY = "eu-central-1:0a1b2c3d-0000-4000-8000-00000000abcd"
POLICY_CHANGED = Change(HOME, ChangeKind.POLICY, "telemetry")
CERTIFICATE_CHANGED = Change(HOME, ChangeKind.CERTIFICATE, certificate_id(1))


@pytest.fixture
def policies(store: Store, clock: SetClock) -> Policies:
    return Policies(store, clock, LiteralEngine())


def test_a_new_policy_has_its_document_as_version_1_in_force(policies: Policies, clock: SetClock) -> None:
    policies.create(HOME, "telemetry", "allow a")
    policy, version = policies.get(HOME, "telemetry")
    assert (policy.default_version_id, version.version_id, version.document) == (1, 1, "allow a")
    assert policy.created_at == policy.modified_at == clock.now


def test_an_existing_name_is_refused_in_the_words_of_aws(policies: Policies) -> None:
    policies.create(HOME, "telemetry", "allow a")
    policies.create(OTHER_ACCOUNT, "telemetry", "allow a")
    with pytest.raises(ResourceAlreadyExistsException) as refusal:
        policies.create(HOME, "telemetry", "allow b", {"k": "v"})
    assert refusal.value.message == "Policy cannot be created - name already exists (name=telemetry)"
    assert policies.get(HOME, "telemetry")[1].document == "allow a"


def test_a_document_that_the_engine_refuses_is_not_kept(policies: Policies) -> None:
    with pytest.raises(MalformedPolicyException, match="line 1"):
        policies.create(HOME, "telemetry", "perhaps a")
    with pytest.raises(ResourceNotFoundException, match="telemetry"):
        policies.get(HOME, "telemetry")
    policies.create(HOME, "telemetry", "allow a")
    with pytest.raises(MalformedPolicyException):
        policies.create_version(HOME, "telemetry", "perhaps a")
    assert len(policies.versions(HOME, "telemetry")[1]) == 1


def test_a_version_becomes_the_default_only_when_asked_and_is_then_announced(
    policies: Policies, clock: SetClock, announced: list[Change]
) -> None:
    policies.create(HOME, "telemetry", "allow a")
    generation = policies.get(HOME, "telemetry")[0].generation_id
    announced.clear()
    assert policies.create_version(HOME, "telemetry", "allow b").version_id == 2
    assert policies.get(HOME, "telemetry")[1].document == "allow a"
    assert announced == []
    clock.move(60)
    assert policies.create_version(HOME, "telemetry", "allow c", set_as_default=True).version_id == 3
    policy, version = policies.get(HOME, "telemetry")
    assert version.document == "allow c"
    assert policy.modified_at == clock.now
    assert policy.generation_id != generation
    assert announced == [POLICY_CHANGED]


def test_a_new_default_is_announced_only_when_it_changes(policies: Policies, announced: list[Change]) -> None:
    policies.create(HOME, "telemetry", "allow a")
    policies.create_version(HOME, "telemetry", "allow b")
    announced.clear()
    policies.set_default_version(HOME, "telemetry", "1")
    assert announced == []
    policies.set_default_version(HOME, "telemetry", "2")
    assert policies.get(HOME, "telemetry")[1].document == "allow b"
    assert announced == [POLICY_CHANGED]


def test_a_policy_has_five_versions_and_numbers_are_never_used_again(policies: Policies) -> None:
    policies.create(HOME, "telemetry", "allow a")
    for number in range(2, 6):
        assert policies.create_version(HOME, "telemetry", "allow a").version_id == number
    with pytest.raises(VersionsLimitExceededException) as refusal:
        policies.create_version(HOME, "telemetry", "allow a", set_as_default=True)
    assert refusal.value.message == "The policy telemetry already has the maximum number of versions (5)"
    policies.delete_version(HOME, "telemetry", "5")
    assert policies.create_version(HOME, "telemetry", "allow a").version_id == 6
    _, versions = policies.versions(HOME, "telemetry")
    assert [version.version_id for version in versions] == [6, 4, 3, 2, 1]


def test_the_default_version_cannot_be_deleted(policies: Policies) -> None:
    policies.create(HOME, "telemetry", "allow a")
    with pytest.raises(DeleteConflictException, match="Cannot delete the default version of a policy"):
        policies.delete_version(HOME, "telemetry", "1")


@pytest.mark.parametrize("version_id", ["2", "0", "9" * 40])
def test_a_missing_version_is_not_found(policies: Policies, version_id: str) -> None:
    policies.create(HOME, "telemetry", "allow a")
    for refused in (policies.get_version, policies.delete_version, policies.set_default_version):
        with pytest.raises(ResourceNotFoundException, match="has no version"):
            refused(HOME, "telemetry", version_id)


def test_a_missing_policy_is_not_found(policies: Policies, store: Store) -> None:
    principal = add_certificate(store)
    for refused in (
        lambda: policies.get(HOME, "telemetry"),
        lambda: policies.delete(HOME, "telemetry"),
        lambda: policies.versions(HOME, "telemetry"),
        lambda: policies.create_version(HOME, "telemetry", "allow a"),
        lambda: policies.attach(HOME, "telemetry", principal),
        lambda: policies.detach(HOME, "telemetry", principal),
    ):
        with pytest.raises(ResourceNotFoundException, match="Policy telemetry does not exist"):
            refused()
    with pytest.raises(ResourceNotFoundException, match=r"^Policy not found$"):
        policies.targets_of(HOME, "telemetry", ALL)


def test_an_attached_policy_cannot_be_deleted(policies: Policies, store: Store) -> None:
    policies.create(HOME, "telemetry", "allow a")
    policies.attach(HOME, "telemetry", add_certificate(store))
    with pytest.raises(DeleteConflictException) as refusal:
        policies.delete(HOME, "telemetry")
    assert refusal.value.message == (
        "The policy cannot be deleted as the policy is attached to one or more principals (name=telemetry)"
    )


def test_a_policy_with_other_versions_cannot_be_deleted(policies: Policies) -> None:
    policies.create(HOME, "telemetry", "allow a")
    policies.create_version(HOME, "telemetry", "allow b")
    with pytest.raises(DeleteConflictException) as refusal:
        policies.delete(HOME, "telemetry")
    assert refusal.value.message.startswith("The policy cannot be deleted as versions other than than default version")
    policies.delete_version(HOME, "telemetry", "2")
    policies.delete(HOME, "telemetry")


def test_the_tags_of_a_policy_are_deleted_with_it(policies: Policies, store: Store) -> None:
    tags = Tags(store)
    policies.create(HOME, "telemetry", "allow a", {"team": "north"})
    assert tags.of(HOME, arn.policy(HOME, "telemetry")) == {"team": "north"}
    policies.delete(HOME, "telemetry")
    policies.create(HOME, "telemetry", "allow a")
    assert tags.of(HOME, arn.policy(HOME, "telemetry")) == {}


def test_attaching_and_detaching_are_announced_once(policies: Policies, store: Store, announced: list[Change]) -> None:
    policies.create(HOME, "telemetry", "allow a")
    principal = add_certificate(store)
    announced.clear()
    policies.attach(HOME, "telemetry", principal)
    policies.attach(HOME, "telemetry", principal)
    assert announced == [CERTIFICATE_CHANGED]
    policies.detach(HOME, "telemetry", principal)
    policies.detach(HOME, "telemetry", principal)
    assert announced == [CERTIFICATE_CHANGED, CERTIFICATE_CHANGED]
    assert list(policies.attached_to(HOME, principal, ALL).items) == []


def test_what_is_attached_is_listed_from_both_ends(policies: Policies, store: Store) -> None:
    principal = add_certificate(store)
    for name in ("telemetry", "shadow"):
        policies.create(HOME, name, "allow a")
        policies.attach(HOME, name, principal)
    policies.attach(HOME, "telemetry", IDENTITY)
    assert [policy.name for policy in policies.attached_to(HOME, principal, ALL).items] == ["telemetry", "shadow"]
    assert list(policies.targets_of(HOME, "telemetry", ALL).items) == [principal, IDENTITY]


def test_the_eleventh_policy_of_a_certificate_is_refused_and_not_attached(
    policies: Policies, store: Store, announced: list[Change]
) -> None:
    principal = add_certificate(store)
    for number in range(11):
        policies.create(HOME, f"policy-{number}", "allow a")
    for number in range(10):
        policies.attach(HOME, f"policy-{number}", principal)
    announced.clear()
    with pytest.raises(LimitExceededException, match="10 policies"):
        policies.attach(HOME, "policy-10", principal)
    policies.attach(HOME, "policy-9", principal)
    assert len(policies.attached_to(HOME, principal, ALL).items) == 10
    assert announced == []


def test_a_policy_can_be_detached_from_a_deleted_certificate_but_not_attached_to_it(policies: Policies) -> None:
    policies.create(HOME, "telemetry", "allow a")
    gone = arn.certificate(HOME, certificate_id(1))
    policies.detach(HOME, "telemetry", gone)
    with pytest.raises(ResourceNotFoundException, match="The certificate given in the principal does not exist"):
        policies.attach(HOME, "telemetry", gone)
    with pytest.raises(ResourceNotFoundException):
        policies.attached_to(HOME, gone, ALL)


def test_a_missing_thing_group_is_not_a_target(policies: Policies) -> None:
    policies.create(HOME, "telemetry", "allow a")
    group = "arn:aws:iot:eu-central-1:123456789012:thinggroup/pumps"
    with pytest.raises(ResourceNotFoundException, match="Thing group pumps"):
        policies.attach(HOME, "telemetry", group)


@pytest.mark.parametrize(
    ("target", "says"),
    [
        (arn.thing(HOME, "pump"), "Attach it to the certificate of the thing"),
        (arn.certificate(OTHER_ACCOUNT, certificate_id(1)), "account 210987654321"),
        ("arn:aws:iot:us-east-1:123456789012:thinggroup/pumps", "region us-east-1"),
        ("pump", "is not a principal"),
    ],
)
def test_a_target_outside_the_account_and_region_is_refused(policies: Policies, target: str, says: str) -> None:
    policies.create(HOME, "telemetry", "allow a")
    for refused in (policies.attach, policies.detach):
        with pytest.raises(InvalidRequestException) as refusal:
            refused(HOME, "telemetry", target)
        assert says in refusal.value.message


def test_policies_attached_at_the_same_time_never_exceed_the_limit(policies: Policies, store: Store) -> None:
    principal = add_certificate(store)
    names = [f"policy-{number}" for number in range(16)]
    for name in names:
        policies.create(HOME, name, "allow a")

    def attach(name: str) -> bool:
        try:
            policies.attach(HOME, name, principal)
        except LimitExceededException:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        attached = list(threads.map(attach, names))
    assert attached.count(True) == 10
    found = {policy.name for policy in policies.attached_to(HOME, principal, ALL).items}
    assert found == {name for name, done in zip(names, attached, strict=True) if done}
