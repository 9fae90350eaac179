"""What small tables promise (``registry/ports.py``): tags, codes, endpoints, accounts, outbox; kept by every store."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from sekisho.registry.model import Endpoint, Event
from sekisho.registry.ports import AlreadyThere
from sekisho.store.unit_of_work import SqlStore
from tests.store.builders import HOME, NOW, OTHER_ACCOUNT, OTHER_REGION, access_key, account, ownership_token


def test_tags_are_added_overwritten_and_removed(store: SqlStore) -> None:
    with store.write() as tx:
        assert tx.tags.get(HOME, "arn:a") == {}
        tx.tags.put(HOME, "arn:a", {"k": "1", "l": "ü \U0001f510"})
        tx.tags.put(HOME, "arn:a", {"k": "2", "m": ""})
        tx.tags.put(HOME, "arn:a", {})
        tx.tags.put(HOME, "arn:b", {"k": "b"})
        tx.tags.put(OTHER_ACCOUNT, "arn:a", {"k": "other"})
    with store.write() as tx:
        assert tx.tags.get(HOME, "arn:a") == {"k": "2", "l": "ü \U0001f510", "m": ""}
        tx.tags.remove(HOME, "arn:a", ["k", "none", "m"])
        tx.tags.remove(HOME, "arn:a", [])
        assert tx.tags.get(HOME, "arn:a") == {"l": "ü \U0001f510"}
        tx.tags.remove(HOME, "arn:a")
        assert tx.tags.get(HOME, "arn:a") == {}
        assert tx.tags.get(HOME, "arn:b") == {"k": "b"}
        assert tx.tags.get(OTHER_ACCOUNT, "arn:a") == {"k": "other"}


def test_a_realm_has_one_registration_code_until_it_is_removed(store: SqlStore) -> None:
    with store.write() as tx:
        assert tx.registration_codes.get(HOME) is None
        tx.registration_codes.put(HOME, "one")
        tx.registration_codes.put(OTHER_REGION, "other")
        tx.registration_codes.put(HOME, "two")
        assert tx.registration_codes.get(HOME) == "two"
        assert tx.registration_codes.remove(HOME) is True
        assert tx.registration_codes.remove(HOME) is False
        assert tx.registration_codes.get(HOME) is None
        assert tx.registration_codes.get(OTHER_REGION) == "other"


def test_a_realm_has_one_endpoint_and_a_prefix_one_realm(store: SqlStore) -> None:
    home = Endpoint(HOME, "a1")
    other = Endpoint(OTHER_REGION, "a2")
    with store.write() as tx:
        assert tx.endpoints.all() == []
        tx.endpoints.add(home)
        tx.endpoints.add(other)
        with pytest.raises(AlreadyThere):
            tx.endpoints.add(Endpoint(HOME, "a3"))
        with pytest.raises(AlreadyThere):
            tx.endpoints.add(Endpoint(OTHER_ACCOUNT, "a1"))
    with store.read() as tx:
        assert tx.endpoints.get(HOME) == home
        assert tx.endpoints.get(OTHER_ACCOUNT) is None
        assert tx.endpoints.all() == [home, other]


def test_accounts_and_their_access_keys_come_back(store: SqlStore) -> None:
    with store.write() as tx:
        tx.accounts.add(account())
        tx.accounts.add(account("000000000001", None))
        with pytest.raises(AlreadyThere):
            tx.accounts.add(account(name="again"))
        tx.accounts.add_access_key(access_key(2))
        tx.accounts.add_access_key(access_key(1))
        tx.accounts.add_access_key(access_key(3, "000000000001"))
        with pytest.raises(AlreadyThere):
            tx.accounts.add_access_key(access_key(1, "000000000001"))
    with store.read() as tx:
        assert tx.accounts.get("123456789012") == account()
        assert tx.accounts.get("1") is None
        assert tx.accounts.all() == [account(), account("000000000001", None)]
        assert tx.accounts.are_several()
        assert tx.accounts.access_key(access_key(3).access_key_id) == access_key(3, "000000000001")
        assert tx.accounts.access_key("none") is None
        assert tx.accounts.access_keys("123456789012") == [access_key(2), access_key(1)]
        assert tx.accounts.access_keys("999999999999") == []


def test_an_access_key_needs_an_account(store: SqlStore) -> None:
    with pytest.raises(IntegrityError) as failure, store.write() as tx:
        tx.accounts.add_access_key(access_key())
    assert access_key().secret_access_key not in str(failure.value)


def test_the_outbox_keeps_events_in_their_order_until_they_are_removed(store: SqlStore) -> None:
    events = [Event(realm, f"t/{n}", bytes([0, n, 255])) for n, realm in enumerate((HOME, OTHER_ACCOUNT, HOME))]
    with store.write() as tx:
        assert tx.outbox.first(10) == []
        for event in events:
            tx.outbox.add(event)
    with store.read() as tx:
        kept = tx.outbox.first(10)
        assert [event for _, event in kept] == events
        assert tx.outbox.first(2) == kept[:2]
    numbers = [number for number, _ in kept]
    with store.write() as tx:
        tx.outbox.remove([])
        tx.outbox.remove([numbers[0], numbers[2], max(numbers) + 1])
        assert tx.outbox.first(10) == [kept[1]]
        tx.outbox.add(events[0])
        # A number is never used twice.
        assert tx.outbox.first(10)[1][0] > max(numbers)


def test_an_event_goes_with_the_transaction_that_added_it(store: SqlStore) -> None:
    def failing() -> None:
        with store.write() as tx:
            tx.outbox.add(Event(HOME, "t", b""))
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        failing()
    with store.read() as tx:
        assert tx.outbox.first(1) == []


def test_a_token_is_of_its_realm_until_it_is_removed(store: SqlStore) -> None:
    token = ownership_token()
    with store.write() as tx:
        tx.ownership_tokens.add(token)
        tx.ownership_tokens.add(ownership_token(realm=OTHER_ACCOUNT))
    with store.read() as tx:
        assert tx.ownership_tokens.get(HOME, token.token_sha256) == token
        assert tx.ownership_tokens.get(OTHER_REGION, token.token_sha256) is None
        assert tx.ownership_tokens.exists_for(HOME, token.certificate_id)
        assert not tx.ownership_tokens.exists_for(OTHER_REGION, token.certificate_id)
        assert not tx.ownership_tokens.exists_for(HOME, token.claim_certificate_id)
    with store.write() as tx:
        for _ in range(2):
            tx.ownership_tokens.remove(HOME, token.token_sha256)
        assert tx.ownership_tokens.get(HOME, token.token_sha256) is None
        assert not tx.ownership_tokens.exists_for(HOME, token.certificate_id)
        assert tx.ownership_tokens.get(OTHER_ACCOUNT, token.token_sha256) is not None


def test_tokens_expire_on_the_microsecond_and_the_longest_expired_comes_first(store: SqlStore) -> None:
    tokens = [ownership_token(number, expires_at=NOW - timedelta(seconds=number)) for number in range(4)]
    later = ownership_token(9, realm=OTHER_ACCOUNT, expires_at=NOW + timedelta(microseconds=1))
    with store.write() as tx:
        for token in [*tokens, later]:
            tx.ownership_tokens.add(token)
    with store.read() as tx:
        assert tx.ownership_tokens.expired(NOW, 9) == tokens[::-1]
        assert tx.ownership_tokens.expired(NOW, 2) == tokens[:1:-1]
        assert tx.ownership_tokens.expired(NOW + timedelta(microseconds=1), 9)[-1] == later
