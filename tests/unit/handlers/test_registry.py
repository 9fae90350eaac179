"""Which handler a name or an ARN calls."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekisho.handler_settings import NAME
from sekisho.provisioning.handlers import HandlerFailed, handler_name
from tests.unit.handlers.arrange import build
from tests.unit.registry.arrange import HOME, OTHER_ACCOUNT
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


def test_a_function_that_nobody_configured_is_told_with_what_to_write(tmp_path: Path) -> None:
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
def test_what_is_no_function_is_told(tmp_path: Path, function: str) -> None:
    handlers = build(tmp_path, signer(tmp_path))
    with pytest.raises(HandlerFailed, match="neither the ARN of a Lambda function nor a handler's name"):
        handlers.invoke(HOME, function, {})


@given(st.one_of(st.text(), st.from_regex(r"arn:aws:lambda:[a-z]*:[0-9]*:function:\w*(:\w*)?")))
def test_whatever_is_called_has_a_handlers_name_or_none(function: str) -> None:
    name = handler_name(function)
    assert name is None or (NAME.fullmatch(name) and name in function)


@given(st.from_regex(NAME, fullmatch=True), st.from_regex(r"(:[A-Za-z0-9_$-]{1,128})?", fullmatch=True))
def test_every_name_is_found_in_its_arn(name: str, qualifier: str) -> None:
    assert handler_name(name) == name
    assert handler_name(f"arn:aws:lambda:eu-central-1:123456789012:function:{name}{qualifier}") == name


def test_registrations_go_to_the_handlers_that_want_them(tmp_path: Path) -> None:
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
