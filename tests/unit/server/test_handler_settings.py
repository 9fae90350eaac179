"""Handlers in ``sekisho.toml``: the settings of each kind, and errors of invalid sections."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekisho.server.handler_settings import (
    COMMON,
    KINDS,
    CsrSigner,
    HandlerSettings,
    LambdaFunction,
    PythonFunction,
    Webhook,
    read_handlers,
)
from sekisho.server.settings import ConfigError, Settings, load

ARN = "arn:aws:lambda:eu-central-1:123456789012:function:activate"
CA = "ab" * 32


def loaded(folder: Path, text: str) -> Settings:
    (folder / "sekisho.toml").write_text(text)
    return load({"data": folder}, environment={})


def handler(folder: Path, lines: str) -> HandlerSettings:
    return loaded(folder, f"[handlers.h]\n{lines}\n").handlers["h"]


def test_without_a_section_there_is_no_handler(tmp_path: Path) -> None:
    assert loaded(tmp_path, "api_port = 1\n").handlers == {}


def test_a_python_function_is_searched_beside_the_file_by_default(tmp_path: Path) -> None:
    made = handler(tmp_path, 'function = "my_fleet.jitr:activate"')
    assert made.target == PythonFunction("my_fleet.jitr", "activate", tmp_path, 1)
    assert (made.name, made.kind, made.timeout, made.retries, made.concurrency) == ("h", "function", 5.0, 5, 1)
    assert not made.on_certificate_registered
    made = handler(tmp_path, 'function = "f:g"\npath = "code"\nworkers = 3\ntimeout = 60\nretries = 0')
    assert made.target == PythonFunction("f", "g", tmp_path / "code", 3)
    assert (made.timeout, made.retries, made.concurrency) == (60.0, 0, 3)
    made = handler(tmp_path, 'function = "f:g"\npath = "/etc/code"')
    assert made.target == PythonFunction("f", "g", Path("/etc/code"), 1)


def test_variables_of_a_function_are_named_and_their_values_not_shown(tmp_path: Path) -> None:
    made = handler(tmp_path, 'function = "f:g"\nenvironment = ["A", "B_1"]\nvariables = { KEY = "the secret" }')
    assert isinstance(made.target, PythonFunction)
    assert made.target.environment == ("A", "B_1")
    assert made.target.variables == {"KEY": "the secret"}
    assert "the secret" not in repr(made)


def test_the_other_kinds_are_read(tmp_path: Path) -> None:
    text = f"""
    [handlers.hook]
    url = "https://inventory.example/hook"
    secret_file = "hook.secret"
    [handlers.open]
    url = "http://127.0.0.1:8080/"
    [handlers.cloud]
    lambda_arn = "{ARN}:live"
    endpoint_url = "http://127.0.0.1:4566"
    [handlers.sign]
    ca_certificate = "ca.crt"
    ca_key = "ca.key"
    days = 30
    """
    made = loaded(tmp_path, text).handlers
    assert {name: (each.kind, each.target) for name, each in made.items()} == {
        "hook": ("webhook", Webhook("https://inventory.example/hook", tmp_path / "hook.secret")),
        "open": ("webhook", Webhook("http://127.0.0.1:8080/", None)),
        "cloud": ("lambda", LambdaFunction(f"{ARN}:live", "eu-central-1", "http://127.0.0.1:4566")),
        "sign": ("signer", CsrSigner(tmp_path / "ca.crt", tmp_path / "ca.key", 30)),
    }


def test_a_handler_may_be_limited_to_accounts_and_cas(tmp_path: Path) -> None:
    everyone = handler(tmp_path, 'function = "f:g"\non_certificate_registered = true')
    assert everyone.wants_registered("123456789012", CA)
    some = handler(
        tmp_path,
        'function = "f:g"\non_certificate_registered = true\naccounts = ["123456789012"]\n'
        f'ca_certificate_ids = ["{CA}"]',
    )
    assert some.wants_registered("123456789012", CA)
    assert not some.wants_registered("000000000001", CA)
    assert not some.wants_registered("123456789012", "cd" * 32)
    assert not handler(tmp_path, 'function = "f:g"\naccounts = ["123456789012"]').wants_registered("123456789012", CA)


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ("timeout = 1", "exactly one of function, url, lambda_arn, ca_certificate; it has none"),
        ('function = "f:g"\nurl = "https://a.example"', "it has function and url"),
        ('function = "f:g"\nsecret_file = "x"', "there is no 'secret_file' with 'function'; there are function, path"),
        ('url = "https://a.example"\ncolour = 1', "there is no 'colour'"),
        ('function = "f.g"', "function is module:function, such as"),
        ('function = "f:g()"', "function is module:function"),
        ('function = "/f.py:g"', "function is module:function"),
        ("function = 1", "function is module:function.*not 1"),
        ('function = "f:g"\npath = 1', "path is a folder"),
        ('function = "f:g"\nenvironment = "A"', "environment is a list of names of environment variables"),
        ('function = "f:g"\nenvironment = ["A=B"]', "environment is a list of names of environment variables"),
        ('function = "f:g"\nenvironment = ["AWS_PROFILE"]', "environment variable AWS_PROFILE is set by Sekisho"),
        ('function = "f:g"\nvariables = { AWS_REGION = "a" }', "environment variable AWS_REGION is set by Sekisho"),
        ('function = "f:g"\nenvironment = ["A"]\nvariables = { A = "a" }', "A is in environment and in variables"),
        ('function = "f:g"\nvariables = ["A"]', "variables is a table of texts"),
        ('function = "f:g"\nvariables = { A = 1 }', "variables is a table of texts.*'A' is not the name of one"),
        ('function = "f:g"\nvariables = { "A B" = "1" }', "variables is a table of texts"),
        ('url = "https://a.example"\nenvironment = ["A"]', "there is no 'environment' with 'url'"),
        ('function = "f:g"\nworkers = 0', "workers is a whole number from 1 to 64, not 0"),
        ('function = "f:g"\nworkers = true', "workers is a whole number"),
        ('function = "f:g"\ntimeout = 0', "timeout is a number of seconds from 0.1 to 900, not 0"),
        ('function = "f:g"\ntimeout = nan', "timeout is a number of seconds"),
        ('function = "f:g"\ntimeout = "5"', "timeout is a number of seconds"),
        ('function = "f:g"\nretries = -1', "retries is a whole number from 0"),
        ('function = "f:g"\nretries = 1.5', "retries is a whole number"),
        ('function = "f:g"\non_certificate_registered = 1', "on_certificate_registered is true or false"),
        ('function = "f:g"\naccounts = ["12"]', "accounts is a list of account ids of 12 digits"),
        ('function = "f:g"\naccounts = "123456789012"', "accounts is a list"),
        ('function = "f:g"\naccounts = []', "accounts is a list"),
        ('function = "f:g"\nca_certificate_ids = ["AB"]', "ca_certificate_ids is a list of ids of CA certificates"),
        ('url = "ftp://a.example/"', "url is an http or https URL"),
        ('url = "https:///hook"', "url is an http or https URL"),
        ('url = "https://me:secret@a.example/"', "url is an http or https URL without user name"),
        ('url = "https://a.example:port/"', "url is an http or https URL"),
        ('url = "https://a.example/ü"', "everything but ASCII escaped"),
        ('url = "https://a.example/"\nsecret_file = ""', "secret_file is a file"),
        ('url = "https://a.example/"\nsecret_file = "a\\u0000"', "secret_file is a file"),
        ('lambda_arn = "activate"', "lambda_arn is the ARN of a Lambda function"),
        (f'lambda_arn = "{ARN}"\nendpoint_url = "here"', "endpoint_url is an http or https URL"),
        ('ca_certificate = "ca.crt"', "ca_key is the PEM file of the CA's private key, not None"),
        ('ca_certificate = "ca.crt"\nca_key = "k"\ndays = 0', "days is a whole number from 1"),
    ],
)
def test_an_error_has_the_file_the_handler_and_the_key(tmp_path: Path, lines: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as refusal:
        handler(tmp_path, lines)
    assert str(refusal.value).startswith(f"{tmp_path}/sekisho.toml: [handlers.h]")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("handlers = 1", "handlers is a table"),
        ("handlers.h = 1", r"\[handlers.h\] is a section, not 1"),
        ('[handlers."a b"]\nurl = "https://a.example"', "1 to 64 letters, digits"),
        (f'[handlers.{"a" * 65}]\nurl = "https://a.example"', "1 to 64 letters, digits"),
    ],
)
def test_an_invalid_table_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        loaded(tmp_path, text)


def test_the_environment_cannot_contain_handlers(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"SEKISHO_HANDLERS: this setting is in the file sekisho\.toml alone"):
        load({"data": tmp_path}, environment={"SEKISHO_HANDLERS": "x"})


KEYS = st.sampled_from([*KINDS, *(key for keys in KINDS.values() for key in keys), *COMMON, "else"])
VALUES = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["f:g", "https://a.example/", "http://[::1", "~nobody-here/x", "\0", ARN]),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.lists(st.one_of(st.text(max_size=5), st.integers(), st.just("123456789012")), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@given(st.one_of(VALUES, st.dictionaries(st.text(max_size=5), st.one_of(VALUES, st.dictionaries(KEYS, VALUES)))))
def test_any_file_gives_a_handler_or_an_error_that_names_it(table: Any) -> None:
    said = ""
    try:
        assert set(read_handlers(table, Path("/data/sekisho.toml"))) == set(table)
    except ValueError as error:
        said = str(error)
    assert said == "" or said.startswith("/data/sekisho.toml: ")


def test_reading_settings_imports_no_large_package() -> None:
    program = (
        "import sys; import sekisho.server.settings;"
        "sys.exit(bool({'botocore', 'urllib3', 'cryptography', 'sqlalchemy', 'structlog'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == 0
