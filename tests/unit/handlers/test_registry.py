"""The handler of a name or of an ARN."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekisho.handlers.registry import ConfiguredHandlers
from sekisho.provisioning.handlers import HandlerFailed, handler_name
from sekisho.realm import Realm
from sekisho.server.handler_settings import NAME
from sekisho.store.errors import StoreError
from tests.logs import captured_log
from tests.unit.features.arrange import HOME, OTHER_ACCOUNT
from tests.unit.handlers.arrange import Directory, build
from tests.x509 import new_ca, new_request, p256

CA = "ab" * 32


def signer(folder: Path, more: str = "") -> str:
    ca = new_ca()
    (folder / "ca.crt").write_text(ca.pem)
    (folder / "ca.key").write_text(ca.key_pem)
    (folder / "ca.key").chmod(0o600)
    return f'[handlers.sign_it]\nca_certificate = "ca.crt"\nca_key = "ca.key"\n{more}'


@pytest.mark.parametrize(
    "function",
    [
        "sign_it",
        "sign_it:$LATEST",
        "arn:aws:lambda:eu-central-1:123456789012:function:sign_it",
        "arn:aws:lambda:us-west-2:000000000001:function:sign_it:live",
        "arn:aws:lambda:us-west-2:000000000001:function:sign_it:7",
        "arn:aws-cn:lambda:cn-north-1:000000000001:function:sign_it",
    ],
)
def test_a_function_is_called_by_the_name_in_its_arn(tmp_path: Path, function: str) -> None:
    handlers = build(tmp_path, signer(tmp_path))
    answer = handlers.invoke(HOME, function, {"certificateSigningRequest": new_request(p256())})
    assert "BEGIN CERTIFICATE" in answer["certificatePem"]


def test_an_unconfigured_function_is_an_error_with_the_settings_to_write(tmp_path: Path) -> None:
    handlers = build(tmp_path, signer(tmp_path))
    arn = "arn:aws:lambda:eu-central-1:123456789012:function:activate"
    with pytest.raises(
        HandlerFailed, match=r"there is no handler 'activate' to call for arn:.*sekisho.toml: "
    ) as failed:
        handlers.invoke(HOME, arn, {})
    assert "[handlers.activate]" in str(failed.value)
    assert failed.value.is_permanent


@pytest.mark.parametrize(
    "function",
    ["", "a b", "arn:aws:iot:eu-central-1:123456789012:function:f", "arn:aws:lambda:eu-central-1:1:function:f", "f\n"],
)
def test_a_text_that_is_not_a_function_is_an_error(tmp_path: Path, function: str) -> None:
    handlers = build(tmp_path, signer(tmp_path))
    with pytest.raises(HandlerFailed, match="neither the ARN of a Lambda function nor a handler's name"):
        handlers.invoke(HOME, function, {})


@given(st.one_of(st.text(), st.from_regex(r"arn:aws:lambda:[a-z]*:[0-9]*:function:\w*(:\w*)?")))
def test_any_text_has_a_handlers_name_or_none(function: str) -> None:
    name = handler_name(function)
    assert name is None or (NAME.fullmatch(name) and name in function)


@given(st.from_regex(NAME, fullmatch=True), st.from_regex(r"(:[A-Za-z0-9_$-]{1,128})?", fullmatch=True))
def test_every_name_is_found_in_its_arn(name: str, qualifier: str) -> None:
    assert handler_name(name) == name
    assert handler_name(f"arn:aws:lambda:eu-central-1:123456789012:function:{name}{qualifier}") == name


SECOND = "000000000001"
CSR = {"certificateSigningRequest": new_request(p256())}


def refusal(handlers: ConfiguredHandlers, realm: Realm, function: str = "sign_it") -> str:
    before = handlers.statistics()["handler_refusals"]
    with pytest.raises(HandlerFailed) as failed:
        handlers.invoke(realm, function, CSR)
    assert failed.value.is_permanent
    assert handlers.statistics()["handler_refusals"] == before + 1
    return str(failed.value)


def test_refusals_are_logged_once_per_account_and_interval(tmp_path: Path) -> None:
    directory = Directory({HOME.account_id, OTHER_ACCOUNT.account_id})
    handlers = build(tmp_path, signer(tmp_path), directory)
    with captured_log() as logs:
        said = {realm: [refusal(handlers, realm) for _ in range(3)] for realm in (HOME, OTHER_ACCOUNT)}
    assert [(line["handler"], line["account_id"], line["region"], line["reason"]) for line in logs] == [
        ("sign_it", realm.account_id, realm.region, reasons[0]) for realm, reasons in said.items()
    ]


def test_a_handler_is_called_for_its_accounts_only(tmp_path: Path) -> None:
    directory = Directory({HOME.account_id, OTHER_ACCOUNT.account_id})
    handlers = build(tmp_path, signer(tmp_path, f'accounts = ["{HOME.account_id}"]\n'), directory)
    own = f"arn:aws:lambda:eu-central-1:{OTHER_ACCOUNT.account_id}:function:sign_it"
    for function in ("sign_it", own):
        assert refusal(handlers, OTHER_ACCOUNT, function) == (
            "handler 'sign_it' is not for account 210987654321: its accounts in sekisho.toml do not have it"
        )
    assert "certificatePem" in handlers.invoke(HOME, "sign_it", CSR)
    # Also where the other account is the only one.
    directory.ids = {OTHER_ACCOUNT.account_id}
    assert "is not for account 210987654321" in refusal(handlers, OTHER_ACCOUNT)


def test_a_handler_without_accounts_is_refused_as_soon_as_there_is_a_second_account(
    tmp_path: Path,
) -> None:
    directory = Directory()
    handlers = build(tmp_path, signer(tmp_path), directory)
    assert "certificatePem" in handlers.invoke(HOME, "sign_it", CSR)
    directory.ids.add(SECOND)
    for realm in (HOME, Realm(SECOND, "us-east-1")):
        said = refusal(handlers, realm)
        assert "this server has more than one account, and [handlers.sign_it] in sekisho.toml does not say" in said
        assert 'write accounts = ["123456789012"]' in said


def test_an_arn_of_another_account_of_the_server_is_refused_and_of_an_unknown_account_only_the_name_counts(
    tmp_path: Path,
) -> None:
    directory = Directory({HOME.account_id, OTHER_ACCOUNT.account_id})
    both = f'accounts = ["{HOME.account_id}", "{OTHER_ACCOUNT.account_id}"]\n'
    handlers = build(tmp_path, signer(tmp_path, both), directory)
    arn = f"arn:aws:lambda:eu-central-1:{HOME.account_id}:function:sign_it"
    assert "names a function of account 123456789012, and the call is for account 210987654321" in refusal(
        handlers, OTHER_ACCOUNT, arn
    )
    assert "certificatePem" in handlers.invoke(HOME, arn, CSR)
    elsewhere = arn.replace(HOME.account_id, "999999999999")
    assert "certificatePem" in handlers.invoke(OTHER_ACCOUNT, elsewhere, CSR)


def test_where_the_accounts_cannot_be_read_the_call_is_refused_and_can_be_repeated(tmp_path: Path) -> None:
    class Broken(Directory):
        def are_several(self) -> bool:
            raise StoreError("the disk is full")

    handlers = build(tmp_path, signer(tmp_path), Broken())
    with pytest.raises(HandlerFailed, match="handler 'sign_it' was not called: the disk is full") as failed:
        handlers.invoke(HOME, "sign_it", CSR)
    assert not failed.value.is_permanent


def test_the_start_logs_handlers_that_will_be_refused_and_missing_accounts(tmp_path: Path) -> None:
    text = signer(tmp_path) + f'[handlers.hook]\nurl = "http://127.0.0.1:1/"\naccounts = ["{HOME.account_id}"]\n'
    for ids, told in (
        ({HOME.account_id}, []),
        ({HOME.account_id, SECOND}, [("handler_without_account", "sign_it")]),
        ({SECOND}, [("handler_account_unknown", "hook")]),
    ):
        with captured_log() as logs:
            build(tmp_path, text, Directory(ids)).warn_of_accounts()
        assert [(line["code"], line["handler"]) for line in logs] == told


def test_registrations_are_passed_to_the_handlers_that_ask_for_them(tmp_path: Path) -> None:
    text = signer(tmp_path) + "".join(
        f'[handlers.{name}]\nurl = "http://127.0.0.1:1/"\non_certificate_registered = true\n{more}\n'
        for name, more in [
            ("all", ""),
            ("home", f'accounts = ["{HOME.account_id}"]'),
            ("one", f'ca_certificate_ids = ["{CA}"]'),
        ]
    )
    handlers = build(tmp_path, text)
    assert handlers.for_certificate_registered(HOME, CA) == ["all", "home", "one"]
    assert handlers.for_certificate_registered(OTHER_ACCOUNT, CA) == ["all", "one"]
    assert handlers.for_certificate_registered(OTHER_ACCOUNT, "cd" * 32) == ["all"]
