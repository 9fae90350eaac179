"""The promises of ``ports.PolicyRows``, kept by every store."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from sekisho.pages import Window
from sekisho.policies.store import PolicyRows
from sekisho.store.errors import AlreadyThere
from sekisho.store.store import Store
from tests.store.builders import HOME, NOW, OTHER_ACCOUNT, policy, version

EVERYTHING = Window(limit=250)


def test_a_policy_and_its_versions_are_read_as_they_were_added(store: Store) -> None:
    third = version(number=3, document='{"Id": "ü€\U0001f510", "n": 1.50}\n', created_at=NOW + timedelta(1))
    with store.write() as tx:
        PolicyRows(tx).add(policy(), version())
        PolicyRows(tx).add_version(version(number=2))
        PolicyRows(tx).add_version(third)
        PolicyRows(tx).add(policy(realm=OTHER_ACCOUNT), version(realm=OTHER_ACCOUNT, document="{}"))
    with store.read() as tx:
        assert PolicyRows(tx).get(HOME, "p") == policy(last_version_id=3)
        assert PolicyRows(tx).get(HOME, "P") is None
        assert PolicyRows(tx).version(HOME, "p", 3) == third
        assert PolicyRows(tx).version(HOME, "p", 4) is None
        assert PolicyRows(tx).versions(HOME, "p") == [version(), version(number=2), third]
        assert PolicyRows(tx).versions(HOME, "none") == []
        assert PolicyRows(tx).version(OTHER_ACCOUNT, "p", 1) == version(realm=OTHER_ACCOUNT, document="{}")


def test_names_and_version_numbers_are_unique(store: Store) -> None:
    with store.write() as tx:
        PolicyRows(tx).add(policy(), version())
        with pytest.raises(AlreadyThere):
            PolicyRows(tx).add(policy(), version(document="another"))
        with pytest.raises(AlreadyThere):
            PolicyRows(tx).add_version(version(document="another"))
        PolicyRows(tx).add_version(version(number=2))
    with store.read() as tx:
        assert PolicyRows(tx).versions(HOME, "p") == [version(), version(number=2)]


def test_replacing_a_policy_changes_only_that_one(store: Store) -> None:
    with store.write() as tx:
        PolicyRows(tx).add(policy(), version())
        PolicyRows(tx).add(policy("q"), version("q"))
        PolicyRows(tx).replace(policy(default_version_id=2, last_version_id=5, modified_at=NOW + timedelta(1)))
        with pytest.raises(KeyError, match="none"):
            PolicyRows(tx).replace(policy("none"))
    with store.read() as tx:
        assert PolicyRows(tx).get(HOME, "p") == policy(
            default_version_id=2, last_version_id=5, modified_at=NOW + timedelta(1)
        )
        assert PolicyRows(tx).get(HOME, "q") == policy("q")


def test_a_policy_is_removed_with_its_versions(store: Store) -> None:
    with store.write() as tx:
        PolicyRows(tx).add(policy(), version())
        PolicyRows(tx).add_version(version(number=2))
        PolicyRows(tx).add(policy("q"), version("q"))
        PolicyRows(tx).remove(HOME, "p")
    with store.write() as tx:
        assert PolicyRows(tx).get(HOME, "p") is None
        assert PolicyRows(tx).versions(HOME, "p") == []
        assert PolicyRows(tx).versions(HOME, "q") == [version("q")]
        PolicyRows(tx).add(policy(), version(document="again"))
        assert PolicyRows(tx).versions(HOME, "p") == [version(document="again")]


def test_one_version_can_be_removed(store: Store) -> None:
    with store.write() as tx:
        PolicyRows(tx).add(policy(), version())
        PolicyRows(tx).add_version(version(number=2))
        PolicyRows(tx).remove_version(HOME, "p", 1)
        PolicyRows(tx).remove_version(HOME, "p", 7)
        assert PolicyRows(tx).versions(HOME, "p") == [version(number=2)]


def test_policies_are_listed_by_realm(store: Store) -> None:
    with store.write() as tx:
        for name in ("c", "a", "b"):
            PolicyRows(tx).add(policy(name), version(name))
        PolicyRows(tx).add(policy("d", OTHER_ACCOUNT), version("d", realm=OTHER_ACCOUNT))
    with store.read() as tx:
        assert [each.name for each in PolicyRows(tx).page(HOME, EVERYTHING).items] == ["c", "a", "b"]
        backwards = PolicyRows(tx).page(HOME, Window(limit=2, ascending=False))
        assert [each.name for each in backwards.items] == ["b", "a"]
        rest = PolicyRows(tx).page(HOME, Window(limit=2, after=backwards.next_after, ascending=False))
        assert [each.name for each in rest.items] == ["c"]
        assert rest.next_after is None


def test_attaching_twice_has_the_effect_of_attaching_once(store: Store) -> None:
    with store.write() as tx:
        PolicyRows(tx).add(policy(), version())
        assert PolicyRows(tx).attach(HOME, "p", "arn:a") is True
        assert PolicyRows(tx).attach(HOME, "p", "arn:a") is False
        assert PolicyRows(tx).targets_of(HOME, "p", EVERYTHING).items == ["arn:a"]
        assert PolicyRows(tx).detach(HOME, "p", "arn:a") is True
        assert PolicyRows(tx).detach(HOME, "p", "arn:a") is False
        assert PolicyRows(tx).targets_of(HOME, "p", EVERYTHING).items == []


def test_policies_and_targets_are_found_from_both_sides_in_order_of_attachment(store: Store) -> None:
    with store.write() as tx:
        for name in ("one", "two", "three"):
            PolicyRows(tx).add(policy(name), version(name))
        PolicyRows(tx).add(policy("one", OTHER_ACCOUNT), version("one", realm=OTHER_ACCOUNT))
        for name, target in [("three", "arn:a"), ("one", "arn:b"), ("one", "arn:a"), ("two", "arn:a")]:
            PolicyRows(tx).attach(HOME, name, target)
        PolicyRows(tx).attach(OTHER_ACCOUNT, "one", "arn:a")
    with store.read() as tx:
        attached = PolicyRows(tx).attached_to(HOME, "arn:a", EVERYTHING)
        assert attached.items == [policy("three"), policy("one"), policy("two")]
        assert PolicyRows(tx).targets_of(HOME, "one", EVERYTHING).items == ["arn:b", "arn:a"]
        first = PolicyRows(tx).attached_to(HOME, "arn:a", Window(limit=2))
        second = PolicyRows(tx).attached_to(HOME, "arn:a", Window(limit=2, after=first.next_after))
        assert [each.name for each in (*first.items, *second.items)] == ["three", "one", "two"]
        assert second.next_after is None
        newest = PolicyRows(tx).targets_of(HOME, "one", Window(limit=1, ascending=False))
        assert newest.items == ["arn:a"]
        assert newest.next_after is not None


def test_an_attached_policy_cannot_be_removed(store: Store) -> None:
    """The domain refuses first; where it does not, nothing is kept."""
    with store.write() as tx:
        PolicyRows(tx).add(policy(), version())
        PolicyRows(tx).attach(HOME, "p", "arn:a")
    with pytest.raises(IntegrityError), store.write() as tx:
        PolicyRows(tx).remove(HOME, "p")
    with pytest.raises(IntegrityError), store.write() as tx:
        PolicyRows(tx).attach(HOME, "none", "arn:a")
    with store.read() as tx:
        assert PolicyRows(tx).versions(HOME, "p") == [version()]
