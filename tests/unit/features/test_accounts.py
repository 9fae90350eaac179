from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest

from sekisho.accounts.model import AccessKey
from sekisho.accounts.rules import Accounts
from sekisho.accounts.sqlite_access_keys import access_keys
from sekisho.accounts.store import AccountRows
from sekisho.errors import InvalidRequestException, ResourceAlreadyExistsException
from sekisho.store.store import Store
from tests.unit.features.arrange import SetClock


@pytest.fixture
def accounts(store: Store, clock: SetClock) -> Accounts:
    return Accounts(store, clock)


def test_a_new_account_has_an_access_key_of_the_form_that_aws_tools_expect(accounts: Accounts) -> None:
    account, key = accounts.create("000000000042", name="Lab")
    assert (account.account_id, account.name) == ("000000000042", "Lab")
    assert re.fullmatch(r"AKIA[A-Z2-7]{16}", key.access_key_id)
    assert re.fullmatch(r"[A-Za-z0-9]{40}", key.secret_access_key)
    assert accounts.access_key(key.access_key_id) == key
    assert list(accounts.access_keys("000000000042")) == [key]
    assert list(accounts.all()) == [account]


def test_there_are_several_accounts_from_the_second_one_on(accounts: Accounts) -> None:
    assert not accounts.are_several()
    accounts.create("000000000042")
    assert not accounts.are_several()
    assert accounts.exists("000000000042")
    assert not accounts.exists("000000000043")
    for _ in range(2):
        accounts.create()
        assert accounts.are_several()


def test_a_secret_is_in_no_repr(accounts: Accounts) -> None:
    _, key = accounts.create()
    assert key.secret_access_key not in repr(key)


def test_random_ids_are_twelve_digits_without_a_leading_zero(accounts: Accounts) -> None:
    ids = {accounts.create()[0].account_id for _ in range(20)}
    assert len(ids) == 20
    assert all(re.fullmatch(r"[1-9][0-9]{11}", account_id) for account_id in ids)


def test_an_existing_account_cannot_be_created(accounts: Accounts) -> None:
    accounts.create("123456789012")
    with pytest.raises(ResourceAlreadyExistsException, match="123456789012"):
        accounts.create("123456789012")
    assert len(accounts.access_keys("123456789012")) == 1


def test_the_default_account_is_created_once(accounts: Accounts) -> None:
    first = accounts.ensure("123456789012")
    assert accounts.ensure("123456789012") == first
    assert len(accounts.access_keys("123456789012")) == 1


@pytest.mark.parametrize("account_id", ["", "12345678901", "1234567890123", "12345678901a", "１２３４５６７８９０１２"])
def test_an_id_that_is_not_twelve_digits_is_refused(accounts: Accounts, account_id: str) -> None:
    with pytest.raises(InvalidRequestException, match="twelve digits"):
        accounts.create(account_id)
    with pytest.raises(InvalidRequestException, match="twelve digits"):
        accounts.ensure(account_id)


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 129])
def test_an_invalid_name_is_refused(accounts: Accounts, name: str) -> None:
    with pytest.raises(InvalidRequestException, match="printable"):
        accounts.create(name=name)


def test_an_unknown_access_key_is_none(accounts: Accounts) -> None:
    assert accounts.access_key("AKIAAAAAAAAAAAAAAAAA") is None


def test_access_keys_are_the_same_without_sqlalchemy(accounts: Accounts, store: Store, clock: SetClock) -> None:
    accounts.create("000000000042")
    accounts.create("000000000043", name="Lab")
    clock.move(1.234567)
    with store.write() as tx:
        second = AccessKey("AKIASECOND", "000000000043", clock(), "secret")
        AccountRows(tx).add_access_key(second)
    file = Path(store.place)
    for account_id in ("000000000042", "000000000043", "000000000044"):
        assert access_keys(file, account_id) == accounts.access_keys(account_id)
    assert len(access_keys(file, "000000000043")) == 2


def test_access_keys_are_not_read_from_what_is_no_registry(tmp_path: Path) -> None:
    missing = tmp_path / "a?b#c%d.db"
    with pytest.raises(sqlite3.Error):
        access_keys(missing, "000000000042")
    assert not missing.exists()
    (tmp_path / "text.db").write_text("no database" * 100)
    with pytest.raises(sqlite3.Error):
        access_keys(tmp_path / "text.db", "000000000042")
