"""The promises of ``ports.PolicyRows``, kept by every store."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from sekisho.registry.ports import AlreadyThere, Window
from sekisho.store.unit_of_work import SqlStore
from tests.store.builders import HOME, NOW, OTHER_ACCOUNT, policy, version

EVERYTHING = Window(limit=250)


def test_a_policy_and_its_versions_come_back_as_they_were_added(store: SqlStore) -> None:
    third = version(number=3, document='{"Id": "ü€\U0001f510", "n": 1.50}\n', created_at=NOW + timedelta(1))
    with store.write() as tx:
        tx.policies.add(policy(), version())
        tx.policies.add_version(third)
        tx.policies.add_version(version(number=2))
        tx.policies.add(policy(realm=OTHER_ACCOUNT), version(realm=OTHER_ACCOUNT, document="{}"))
    with store.read() as tx:
        assert tx.policies.get(HOME, "p") == policy()
        assert tx.policies.get(HOME, "P") is None
        assert tx.policies.version(HOME, "p", 3) == third
        assert tx.policies.version(HOME, "p", 4) is None
        assert tx.policies.versions(HOME, "p") == [version(), version(number=2), third]
        assert tx.policies.versions(HOME, "none") == []
        assert tx.policies.version(OTHER_ACCOUNT, "p", 1) == version(realm=OTHER_ACCOUNT, document="{}")


def test_a_name_is_taken_once_and_a_version_number_too(store: SqlStore) -> None:
    with store.write() as tx:
        tx.policies.add(policy(), version())
        with pytest.raises(AlreadyThere):
            tx.policies.add(policy(), version(document="another"))
        with pytest.raises(AlreadyThere):
            tx.policies.add_version(version(document="another"))
        tx.policies.add_version(version(number=2))
    with store.read() as tx:
        assert tx.policies.versions(HOME, "p") == [version(), version(number=2)]


def test_replacing_a_policy_changes_that_one_only(store: SqlStore) -> None:
    with store.write() as tx:
        tx.policies.add(policy(), version())
        tx.policies.add(policy("q"), version("q"))
        tx.policies.replace(policy(default_version_id=2, last_version_id=5, modified_at=NOW + timedelta(1)))
        with pytest.raises(KeyError, match="none"):
            tx.policies.replace(policy("none"))
    with store.read() as tx:
        assert tx.policies.get(HOME, "p") == policy(
            default_version_id=2, last_version_id=5, modified_at=NOW + timedelta(1)
        )
        assert tx.policies.get(HOME, "q") == policy("q")


def test_a_policy_is_removed_with_its_versions(store: SqlStore) -> None:
    with store.write() as tx:
        tx.policies.add(policy(), version())
        tx.policies.add_version(version(number=2))
        tx.policies.add(policy("q"), version("q"))
        tx.policies.remove(HOME, "p")
    with store.write() as tx:
        assert tx.policies.get(HOME, "p") is None
        assert tx.policies.versions(HOME, "p") == []
        assert tx.policies.versions(HOME, "q") == [version("q")]
        tx.policies.add(policy(), version(document="again"))
        assert tx.policies.versions(HOME, "p") == [version(document="again")]


def test_one_version_can_be_removed(store: SqlStore) -> None:
    with store.write() as tx:
        tx.policies.add(policy(), version())
        tx.policies.add_version(version(number=2))
        tx.policies.remove_version(HOME, "p", 1)
        tx.policies.remove_version(HOME, "p", 7)
        assert tx.policies.versions(HOME, "p") == [version(number=2)]


def test_policies_are_listed_by_realm(store: SqlStore) -> None:
    with store.write() as tx:
        for name in ("c", "a", "b"):
            tx.policies.add(policy(name), version(name))
        tx.policies.add(policy("d", OTHER_ACCOUNT), version("d", realm=OTHER_ACCOUNT))
    with store.read() as tx:
        assert [each.name for each in tx.policies.page(HOME, EVERYTHING).items] == ["c", "a", "b"]
        backwards = tx.policies.page(HOME, Window(limit=2, ascending=False))
        assert [each.name for each in backwards.items] == ["b", "a"]
        rest = tx.policies.page(HOME, Window(limit=2, after=backwards.next_after, ascending=False))
        assert [each.name for each in rest.items] == ["c"]
        assert rest.next_after is None


def test_attaching_twice_is_attaching_once(store: SqlStore) -> None:
    with store.write() as tx:
        tx.policies.add(policy(), version())
        assert tx.policies.attach(HOME, "p", "arn:a") is True
        assert tx.policies.attach(HOME, "p", "arn:a") is False
        assert tx.policies.targets_of(HOME, "p", EVERYTHING).items == ["arn:a"]
        assert tx.policies.detach(HOME, "p", "arn:a") is True
        assert tx.policies.detach(HOME, "p", "arn:a") is False
        assert tx.policies.targets_of(HOME, "p", EVERYTHING).items == []


def test_policies_and_targets_are_found_from_both_sides_in_order_of_attachment(store: SqlStore) -> None:
    with store.write() as tx:
        for name in ("one", "two", "three"):
            tx.policies.add(policy(name), version(name))
        tx.policies.add(policy("one", OTHER_ACCOUNT), version("one", realm=OTHER_ACCOUNT))
        for name, target in [("three", "arn:a"), ("one", "arn:b"), ("one", "arn:a"), ("two", "arn:a")]:
            tx.policies.attach(HOME, name, target)
        tx.policies.attach(OTHER_ACCOUNT, "one", "arn:a")
    with store.read() as tx:
        attached = tx.policies.attached_to(HOME, "arn:a", EVERYTHING)
        assert attached.items == [policy("three"), policy("one"), policy("two")]
        assert tx.policies.targets_of(HOME, "one", EVERYTHING).items == ["arn:b", "arn:a"]
        first = tx.policies.attached_to(HOME, "arn:a", Window(limit=2))
        second = tx.policies.attached_to(HOME, "arn:a", Window(limit=2, after=first.next_after))
        assert [each.name for each in (*first.items, *second.items)] == ["three", "one", "two"]
        assert second.next_after is None
        newest = tx.policies.targets_of(HOME, "one", Window(limit=1, ascending=False))
        assert newest.items == ["arn:a"]
        assert newest.next_after is not None


def test_an_attached_policy_cannot_vanish(store: SqlStore) -> None:
    """The domain refuses first; where it forgets, nothing is kept."""
    with store.write() as tx:
        tx.policies.add(policy(), version())
        tx.policies.attach(HOME, "p", "arn:a")
    with pytest.raises(IntegrityError), store.write() as tx:
        tx.policies.remove(HOME, "p")
    with pytest.raises(IntegrityError), store.write() as tx:
        tx.policies.attach(HOME, "none", "arn:a")
    with store.read() as tx:
        assert tx.policies.versions(HOME, "p") == [version()]
