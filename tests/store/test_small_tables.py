"""Small tables: tags, registration codes, endpoints, accounts and outbox, on every database."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from sekisho.accounts.store import AccountRows
from sekisho.endpoints.model import Endpoint
from sekisho.endpoints.store import EndpointRows
from sekisho.provisioning.outbox.model import Event
from sekisho.provisioning.outbox.store import OutboxRows
from sekisho.provisioning.tokens.store import OwnershipTokenRows
from sekisho.registration_codes.store import RegistrationCodeRows
from sekisho.store.errors import AlreadyThere
from sekisho.store.store import Store
from sekisho.tags.store import TagRows
from tests.store.builders import HOME, NOW, OTHER_ACCOUNT, OTHER_REGION, access_key, account, ownership_token


def test_tags_are_added_overwritten_and_removed(store: Store) -> None:
    with store.write() as tx:
        assert TagRows(tx).get(HOME, "arn:a") == {}
        TagRows(tx).put(HOME, "arn:a", {"k": "1", "l": "ü \U0001f510"})
        TagRows(tx).put(HOME, "arn:a", {"k": "2", "m": ""})
        TagRows(tx).put(HOME, "arn:a", {})
        TagRows(tx).put(HOME, "arn:b", {"k": "b"})
        TagRows(tx).put(OTHER_ACCOUNT, "arn:a", {"k": "other"})
    with store.write() as tx:
        assert TagRows(tx).get(HOME, "arn:a") == {"k": "2", "l": "ü \U0001f510", "m": ""}
        TagRows(tx).remove(HOME, "arn:a", ["k", "none", "m"])
        TagRows(tx).remove(HOME, "arn:a", [])
        assert TagRows(tx).get(HOME, "arn:a") == {"l": "ü \U0001f510"}
        TagRows(tx).remove(HOME, "arn:a")
        assert TagRows(tx).get(HOME, "arn:a") == {}
        assert TagRows(tx).get(HOME, "arn:b") == {"k": "b"}
        assert TagRows(tx).get(OTHER_ACCOUNT, "arn:a") == {"k": "other"}


def test_a_realm_has_one_registration_code_at_most(store: Store) -> None:
    with store.write() as tx:
        assert RegistrationCodeRows(tx).get(HOME) is None
        RegistrationCodeRows(tx).put(HOME, "one")
        RegistrationCodeRows(tx).put(OTHER_REGION, "other")
        RegistrationCodeRows(tx).put(HOME, "two")
        assert RegistrationCodeRows(tx).get(HOME) == "two"
        assert RegistrationCodeRows(tx).remove(HOME) is True
        assert RegistrationCodeRows(tx).remove(HOME) is False
        assert RegistrationCodeRows(tx).get(HOME) is None
        assert RegistrationCodeRows(tx).get(OTHER_REGION) == "other"


def test_a_realm_has_one_endpoint_and_a_server_name_one_realm(store: Store) -> None:
    home = Endpoint(HOME, "a1")
    other = Endpoint(OTHER_REGION, "a2")
    with store.write() as tx:
        assert EndpointRows(tx).all() == []
        EndpointRows(tx).add(home)
        EndpointRows(tx).add(other)
        with pytest.raises(AlreadyThere):
            EndpointRows(tx).add(Endpoint(HOME, "a3"))
        with pytest.raises(AlreadyThere):
            EndpointRows(tx).add(Endpoint(OTHER_ACCOUNT, "a1"))
    with store.read() as tx:
        assert EndpointRows(tx).get(HOME) == home
        assert EndpointRows(tx).get(OTHER_ACCOUNT) is None
        assert EndpointRows(tx).all() == [home, other]


def test_a_server_has_one_secret_for_its_endpoints(store: Store) -> None:
    with store.write() as tx:
        assert EndpointRows(tx).secret() is None
        EndpointRows(tx).add_secret("first")
        with pytest.raises(AlreadyThere):
            EndpointRows(tx).add_secret("second")
    with store.read() as tx:
        assert EndpointRows(tx).secret() == "first"


def test_accounts_and_their_access_keys_are_read_as_they_were_added(store: Store) -> None:
    with store.write() as tx:
        AccountRows(tx).add(account())
        AccountRows(tx).add(account("000000000001", None))
        with pytest.raises(AlreadyThere):
            AccountRows(tx).add(account(name="again"))
        AccountRows(tx).add_access_key(access_key(2))
        AccountRows(tx).add_access_key(access_key(1))
        AccountRows(tx).add_access_key(access_key(3, "000000000001"))
        with pytest.raises(AlreadyThere):
            AccountRows(tx).add_access_key(access_key(1, "000000000001"))
    with store.read() as tx:
        assert AccountRows(tx).get("123456789012") == account()
        assert AccountRows(tx).get("1") is None
        assert AccountRows(tx).all() == [account(), account("000000000001", None)]
        assert AccountRows(tx).are_several()
        assert AccountRows(tx).access_key(access_key(3).access_key_id) == access_key(3, "000000000001")
        assert AccountRows(tx).access_key("none") is None
        assert AccountRows(tx).access_keys("123456789012") == [access_key(2), access_key(1)]
        assert AccountRows(tx).access_keys("999999999999") == []


def test_an_access_key_needs_an_account(store: Store) -> None:
    with pytest.raises(IntegrityError) as failure, store.write() as tx:
        AccountRows(tx).add_access_key(access_key())
    assert access_key().secret_access_key not in str(failure.value)


def test_the_outbox_keeps_events_in_their_order_until_they_are_removed(store: Store) -> None:
    events = [Event(realm, f"t/{n}", bytes([0, n, 255])) for n, realm in enumerate((HOME, OTHER_ACCOUNT, HOME))]
    with store.write() as tx:
        assert OutboxRows(tx).first(10) == []
        for event in events:
            OutboxRows(tx).add(event)
    with store.read() as tx:
        kept = OutboxRows(tx).first(10)
        assert [event for _, event in kept] == events
        assert OutboxRows(tx).first(2) == kept[:2]
    numbers = [number for number, _ in kept]
    with store.write() as tx:
        OutboxRows(tx).remove([])
        OutboxRows(tx).remove([numbers[0], numbers[2], max(numbers) + 1])
        assert OutboxRows(tx).first(10) == [kept[1]]
        OutboxRows(tx).add(events[0])
        # A number is never used again.
        assert OutboxRows(tx).first(10)[1][0] > max(numbers)


def test_an_event_is_rolled_back_with_its_transaction(store: Store) -> None:
    def failing() -> None:
        with store.write() as tx:
            OutboxRows(tx).add(Event(HOME, "t", b""))
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        failing()
    with store.read() as tx:
        assert OutboxRows(tx).first(1) == []


def test_a_token_belongs_to_its_realm_until_it_is_removed(store: Store) -> None:
    token = ownership_token()
    with store.write() as tx:
        OwnershipTokenRows(tx).add(token)
        OwnershipTokenRows(tx).add(ownership_token(realm=OTHER_ACCOUNT))
    with store.read() as tx:
        assert OwnershipTokenRows(tx).get(HOME, token.token_sha256) == token
        assert OwnershipTokenRows(tx).get(OTHER_REGION, token.token_sha256) is None
        assert OwnershipTokenRows(tx).exists_for(HOME, token.certificate_id)
        assert not OwnershipTokenRows(tx).exists_for(OTHER_REGION, token.certificate_id)
        assert not OwnershipTokenRows(tx).exists_for(HOME, token.claim_certificate_id)
    with store.write() as tx:
        for _ in range(2):
            OwnershipTokenRows(tx).remove(HOME, token.token_sha256)
        assert OwnershipTokenRows(tx).get(HOME, token.token_sha256) is None
        assert not OwnershipTokenRows(tx).exists_for(HOME, token.certificate_id)
        assert OwnershipTokenRows(tx).get(OTHER_ACCOUNT, token.token_sha256) is not None


def test_tokens_expire_on_the_microsecond_and_the_longest_expired_comes_first(store: Store) -> None:
    tokens = [ownership_token(number, expires_at=NOW - timedelta(seconds=number)) for number in range(4)]
    later = ownership_token(9, realm=OTHER_ACCOUNT, expires_at=NOW + timedelta(microseconds=1))
    with store.write() as tx:
        for token in [*tokens, later]:
            OwnershipTokenRows(tx).add(token)
    with store.read() as tx:
        assert OwnershipTokenRows(tx).expired(NOW, 9) == tokens[::-1]
        assert OwnershipTokenRows(tx).expired(NOW, 2) == tokens[:1:-1]
        assert OwnershipTokenRows(tx).expired(NOW + timedelta(microseconds=1), 9)[-1] == later
