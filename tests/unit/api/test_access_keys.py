"""The cache of access keys: what it saves, and how long a deleted key still works."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sekisho import clock
from sekisho.accounts.rules import Accounts
from sekisho.api import access_keys
from sekisho.api.access_keys import ACCESS_KEY_SECONDS, CachedCredentials
from sekisho.api.sigv4 import SecretKey
from sekisho.store.store import Store


def key(account_id: str) -> SecretKey:
    return SecretKey(account_id, f"arn:aws:iam::{account_id}:root", account_id, "secret")


class Keys:
    """Access keys, and how often each was looked up."""

    def __init__(self, *ids: str) -> None:
        self.keys = {each: key(f"{number:012}") for number, each in enumerate(ids)}
        self.asked: list[str] = []
        self.error: Exception | None = None

    def __call__(self, access_key_id: str) -> SecretKey | None:
        self.asked.append(access_key_id)
        if self.error is not None:
            raise self.error
        return self.keys.get(access_key_id)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def at() -> Clock:
    return Clock()


def test_a_key_is_looked_up_once_within_its_time(at: Clock) -> None:
    store = Keys("AKIA1")
    credentials = CachedCredentials(store, at)
    assert [credentials("AKIA1") for _ in range(3)] == [store.keys["AKIA1"]] * 3
    assert store.asked == ["AKIA1"]
    at.now += ACCESS_KEY_SECONDS
    assert credentials("AKIA1") == store.keys["AKIA1"]
    assert store.asked == ["AKIA1"] * 2


def test_a_deleted_key_stops_working_after_its_time(at: Clock) -> None:
    store = Keys("AKIA1")
    credentials = CachedCredentials(store, at)
    assert credentials("AKIA1") is not None
    del store.keys["AKIA1"]
    at.now += ACCESS_KEY_SECONDS - 0.001
    assert credentials("AKIA1") is not None
    at.now += 0.001
    assert credentials("AKIA1") is None
    assert credentials("AKIA1") is None


def test_time_counts_from_before_the_look_up(at: Clock) -> None:
    """With a slow database, a key that is deleted meanwhile works for no longer time."""
    store = Keys("AKIA1")

    def slow(access_key_id: str) -> SecretKey | None:
        found = store(access_key_id)
        at.now += ACCESS_KEY_SECONDS
        return found

    credentials = CachedCredentials(slow, at)
    assert credentials("AKIA1") is not None
    del store.keys["AKIA1"]
    assert credentials("AKIA1") is None


def test_a_missing_key_is_looked_up_each_time_and_works_when_it_exists(at: Clock) -> None:
    store = Keys()
    credentials = CachedCredentials(store, at)
    assert [credentials("AKIA1"), credentials("AKIA1")] == [None, None]
    store.keys["AKIA1"] = key("123456789012")
    assert credentials("AKIA1") == store.keys["AKIA1"]
    assert len(store.asked) == 3


def test_a_failed_look_up_is_not_cached(at: Clock) -> None:
    store = Keys("AKIA1")
    credentials = CachedCredentials(store, at)
    store.error = OSError("no disk")
    with pytest.raises(OSError, match="no disk"):
        credentials("AKIA1")
    store.error = None
    assert credentials("AKIA1") is not None


def test_beyond_the_bound_the_key_looked_up_first_is_removed(at: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_keys, "MAX_CACHED_ACCESS_KEYS", 2)
    store = Keys("AKIA1", "AKIA2", "AKIA3")
    credentials = CachedCredentials(store, at)
    for each in ("AKIA1", "AKIA2", "AKIA3", "AKIA2", "AKIA3", "AKIA1"):
        assert credentials(each) == store.keys[each]
    assert store.asked == ["AKIA1", "AKIA2", "AKIA3", "AKIA1"]


def test_a_key_that_another_process_deletes_stops_working(tmp_path: Path, at: Clock) -> None:
    """Two stores on one database, as with two servers, or a command beside one."""
    url = f"sqlite:///{tmp_path}/sekisho.db"
    with Store(url, lambda _: None) as ours, Store(url, lambda _: None) as theirs:
        _, created = Accounts(theirs, clock.utc_now).create("123456789012")
        credentials = CachedCredentials(_look_up(ours), at)
        found = credentials(created.access_key_id)
        assert found is not None
        assert found.secret == created.secret_access_key
        with theirs._engines.writing.begin() as connection:
            connection.exec_driver_sql("DELETE FROM access_keys")
        at.now += ACCESS_KEY_SECONDS
        assert credentials(created.access_key_id) is None


def _look_up(store: Store) -> Callable[[str], SecretKey | None]:
    accounts = Accounts(store, clock.utc_now)

    def look_up(access_key_id: str) -> SecretKey | None:
        found = accounts.access_key(access_key_id)
        return None if found is None else SecretKey(found.account_id, "arn", "id", found.secret_access_key)

    return look_up
