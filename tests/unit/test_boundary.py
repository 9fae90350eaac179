"""The built Rust module keeps the contract in ``_sekisho.pyi``, and its smallest promises."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sekisho import _sekisho

# The contract names its tuples; a built module has no such objects.
_TYPE_ALIASES = r"sekisho\._sekisho\.(\w+(Tuple|Event|Facts)|Answer|Event|Publication)"

_ALLOW_ALL = '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "iot:*", "Resource": "*"}}'


def _gateway() -> _sekisho.Gateway:
    return _sekisho.Gateway(host="127.0.0.1", mqtt_port=0)


def _identity(document: str) -> _sekisho.IdentityTuple:
    return ("123456789012", "us-east-1", "ACTIVE", "DEFAULT", [("policy", "1", document)], [], False)


def test_the_built_module_matches_its_stub(tmp_path: Path) -> None:
    allowlist = tmp_path / "allowlist"
    allowlist.write_text(f"{_TYPE_ALIASES}\n")
    command = [sys.executable, "-m", "mypy.stubtest", "sekisho._sekisho", "--allowlist", str(allowlist)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_gateway_without_a_server_certificate_says_what_to_do() -> None:
    with pytest.raises(_sekisho.GatewayError, match="set_server_certificates"):
        _gateway().start()


def test_server_certificates_that_are_none_are_refused() -> None:
    with pytest.raises(_sekisho.GatewayError, match="holds no certificate"):
        _gateway().set_server_certificates([("no PEM", "no PEM")])


def test_a_stopped_gateway_gives_no_events_and_takes_no_messages() -> None:
    gateway = _gateway()
    gateway.stop()
    gateway.stop()
    assert gateway.next_batch(1, 60.0) == []
    with pytest.raises(_sekisho.GatewayError, match="stopped"):
        gateway.publish([])


def test_stopping_ends_a_wait_for_events() -> None:
    gateway = _gateway()
    waiting = threading.Thread(target=gateway.next_batch, args=(1, 60.0))
    waiting.start()
    gateway.stop()
    waiting.join(10)
    assert not waiting.is_alive()


def test_waiting_for_events_leaves_python_to_others() -> None:
    gateway = _gateway()
    waiting = threading.Thread(target=gateway.next_batch, args=(1, 60.0))
    waiting.start()
    # Were the GIL held, this thread would come to speak only after the wait, and the wait end by itself.
    gateway.statistics()
    assert waiting.is_alive()
    gateway.stop()
    waiting.join(10)


@pytest.mark.parametrize("timeout", [-1.0, float("nan"), float("inf"), 1e300])
def test_a_time_that_is_none_is_refused(timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout"):
        _gateway().next_batch(1, timeout)


def test_a_change_of_no_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="certificate, policy, thing or realm"):
        _gateway().invalidate([("123456789012", "us-east-1", "weather", "sunny")])


def test_unknown_tickets_are_ignored() -> None:
    _gateway().complete([(1, "CA_NOT_REGISTERED"), (2, _identity(_ALLOW_ALL))])


def test_messages_are_refused_one_by_one_with_a_reason() -> None:
    gateway = _gateway()
    nothing: _sekisho.PropertiesTuple = (None, None, None, None, None, [])
    realm = ("123456789012", "us-east-1")
    results = gateway.publish(
        [
            (*realm, "a/b", b"fine", 1, False, nothing),
            (*realm, "a/#", b"a wildcard", 0, False, nothing),
            (*realm, "$reserved", b"not ours", 0, False, nothing),
            (*realm, "a", bytes(200_000), 0, False, nothing),
        ]
    )
    assert results[0] is None
    assert "a/#" in (results[1] or "")
    assert (results[2] or "").startswith("TOPIC_RESERVED: ")
    assert (results[3] or "").startswith("PAYLOAD_TOO_LARGE: ")


def test_reasons_have_unique_names_and_sentences() -> None:
    reasons = _sekisho.refusal_reasons()
    assert len({name for name, _ in reasons}) == len(reasons)
    assert all(sentence.endswith(".") for _, sentence in reasons)


def test_the_registrys_reasons_are_the_gates_reasons() -> None:
    from sekisho.registry import admission

    names = {value for name, value in vars(admission).items() if name.isupper() and isinstance(value, str)}
    assert names
    assert names <= {name for name, _ in _sekisho.refusal_reasons()}


def test_policies_are_judged_by_the_engine_of_the_gate() -> None:
    requests = [("iot:Connect", "arn:aws:iot:us-east-1:123456789012:client/c")]
    assert _sekisho.evaluate(_identity(_ALLOW_ALL), None, "c", requests) == [("ALLOWED", ["policy"], [], [])]
    deny = _ALLOW_ALL.replace("Allow", "Deny")
    assert _sekisho.evaluate(_identity(deny), None, "c", requests) == [("EXPLICIT_DENY", [], ["policy"], [])]


def test_bad_documents_and_certificates_are_value_errors() -> None:
    with pytest.raises(_sekisho.PolicyError):
        _sekisho.check_policy("{}")
    with pytest.raises(_sekisho.CertificateError):
        _sekisho.certificate_variables(b"no certificate")
    assert issubclass(_sekisho.PolicyError, ValueError)
    assert issubclass(_sekisho.CertificateError, ValueError)


def test_a_certificate_id_is_the_sha_256_of_the_der() -> None:
    assert _sekisho.certificate_id(b"abc").startswith("ba7816bf")
