"""The arguments of ``sekisho rotate`` are checked before anything is done."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from sekisho.cli.app import app
from sekisho.cli.failure import Failure

OLD = "ab" * 32
SIGNER = ["--ca-certificate", "not/there.crt", "--ca-key", "not/there.key", "--out", "out"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["device"], "Missing argument 'CERTIFICATE_ID'"),
        (["device", OLD], "Missing option '--ca-certificate'"),
        (["ca", OLD, "--ca-certificate", "ca.crt"], "Missing option '--ca-key'"),
        (["ca", OLD, "--ca-certificate", "ca.crt", "--ca-key", "ca.key"], "Missing option '--out'"),
        (["device", OLD, *SIGNER, "--days", "0"], "Invalid value for '--days'"),
        (["register", OLD], "Missing argument 'PATH'"),
        (["register", OLD, "new.crt", "--out", "out"], "No such option: --out"),
        (["cancel"], "Missing argument 'CERTIFICATE_ID'"),
        (["status", OLD], "unexpected extra argument"),
        ([OLD], "there is no command"),
    ],
    ids=lambda value: " ".join(value).replace(OLD, "OLD") if isinstance(value, list) else "",
)
def test_a_wrong_call_is_a_usage_error(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(app, ["rotate", *arguments])
    assert result.exit_code == 2
    assert words in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["cancel", "mine"], "'mine' is not a certificate id, 64 hexadecimal digits"),
        (["device", "mine", *SIGNER], "64 hexadecimal digits"),
        (["ca", "mine", *SIGNER], "64 hexadecimal digits"),
        (["status", "--ca", "mine"], "64 hexadecimal digits"),
        (["register", "mine", "new.crt"], "64 hexadecimal digits"),
        (["device", OLD, *SIGNER], "not/there.crt"),
        (["register", OLD, "not/there.crt"], "not/there.crt"),
        (["register", OLD, ""], "a path on the command line is empty"),
    ],
    ids=lambda value: " ".join(value).replace(OLD, "OLD") if isinstance(value, list) else "",
)
def test_an_invalid_value_is_reported_in_one_line(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(app, ["rotate", *arguments])
    assert isinstance(result.exception, Failure)
    assert words in str(result.exception)
