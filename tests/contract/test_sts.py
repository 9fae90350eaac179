"""STS through the AWS CLI, as far as Sekisho has it: the only client of the query protocol here."""

from __future__ import annotations

import json

from tests.contract.conftest import Account


def test_get_caller_identity_returns_the_account(account: Account) -> None:
    said = json.loads(account.aws("sts", "get-caller-identity").stdout)
    assert said == {
        "Account": account.key.account_id,
        "Arn": f"arn:aws:iam::{account.key.account_id}:root",
        "UserId": account.key.account_id,
    }


def test_get_access_key_info_returns_the_account(account: Account) -> None:
    said = account.aws("sts", "get-access-key-info", "--access-key-id", account.key.access_key_id)
    assert json.loads(said.stdout) == {"Account": account.key.account_id}


def test_an_unknown_key_is_named(account: Account) -> None:
    said = account.aws("sts", "get-access-key-info", "--access-key-id", "AKIAAAAAAAAAAAAAAAAA")
    assert said.returncode != 0
    assert "No account of this server has the access key AKIAAAAAAAAAAAAAAAAA" in said.stderr
    assert "ValidationException" in said.stderr


def test_a_key_that_is_too_short_is_refused_by_the_model(account: Account) -> None:
    said = account.aws("sts", "get-access-key-info", "--access-key-id", "AKIA")
    assert said.returncode != 0
    assert "length" in said.stderr
