"""The built Rust module has the contract in ``_sekisho.pyi``, and its simplest properties."""

from __future__ import annotations

import ast
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from sekisho import _sekisho
from sekisho.refusal import RefusalReason

# Only the type stubs name the dictionaries and tuples; a built module has no such objects.
_TYPE_ALIASES = r"sekisho\._sekisho\.\w*(Tuple|Event|Facts|Dict|Answer)"

_ALLOW_ALL = '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "iot:*", "Resource": "*"}}'


def _gateway() -> _sekisho.Gateway:
    return _sekisho.Gateway(host="127.0.0.1", mqtt_port=0)


def _identity(document: str) -> _sekisho.IdentityDict:
    return {
        "account_id": "123456789012",
        "region": "us-east-1",
        "status": "ACTIVE",
        "mode": "DEFAULT",
        "policies": [{"name": "policy", "version": "1", "document": document}],
        "things": [],
        "is_awaited": False,
    }


def test_the_built_module_matches_its_stub(tmp_path: Path) -> None:
    allowlist = tmp_path / "allowlist"
    allowlist.write_text(f"{_TYPE_ALIASES}\n")
    command = [sys.executable, "-m", "mypy.stubtest", "sekisho._sekisho", "--allowlist", str(allowlist)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_gateway_without_a_server_certificate_is_refused_with_what_to_do() -> None:
    with pytest.raises(_sekisho.GatewayError, match="set_server_certificates"):
        _gateway().start()


def test_invalid_server_certificates_are_refused() -> None:
    with pytest.raises(_sekisho.GatewayError, match="holds no certificate"):
        _gateway().set_server_certificates([("no PEM", "no PEM")])


def test_a_stopped_gateway_returns_no_events_and_accepts_no_messages() -> None:
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


def test_waiting_for_events_does_not_block_other_threads() -> None:
    gateway = _gateway()
    waiting = threading.Thread(target=gateway.next_batch, args=(1, 60.0))
    waiting.start()
    # If the wait held the GIL, this thread would run only after it, and the wait would end by itself.
    gateway.statistics()
    assert waiting.is_alive()
    gateway.stop()
    waiting.join(10)


@pytest.mark.parametrize("timeout", [-1.0, float("nan"), float("inf"), 1e300])
def test_an_invalid_time_is_refused(timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout"):
        _gateway().next_batch(1, timeout)


def test_an_unknown_change_is_refused() -> None:
    change: _sekisho.ChangeDict = {
        "account_id": "123456789012",
        "region": "us-east-1",
        "kind": "weather",
        "id": "sunny",
        "lost": None,
    }
    with pytest.raises(ValueError, match="certificate, policy, thing or realm"):
        _gateway().invalidate([change])
    change["kind"], change["lost"] = "certificate", "STOLEN"
    with pytest.raises(ValueError, match="is no reason of the gateway"):
        _gateway().invalidate([change])


def test_answers_to_unknown_requests_are_ignored() -> None:
    _gateway().complete(
        [{"id": 1, "reason": "CA_NOT_REGISTERED", "detail": None}, {"id": 2, "identity": _identity(_ALLOW_ALL)}]
    )


def test_an_answer_without_a_member_is_refused_by_the_member_s_name() -> None:
    incomplete: Any = {"id": 1, "detail": None}
    with pytest.raises(TypeError, match="reason"):
        _gateway().complete([incomplete])


def test_each_refused_message_has_a_reason() -> None:
    gateway = _gateway()
    messages: list[_sekisho.PublicationDict] = [
        {
            "account_id": "123456789012",
            "region": "us-east-1",
            "topic": topic,
            "payload": payload,
            "qos": 0,
            "retain": False,
        }
        for topic, payload in (("a/b", b"fine"), ("a/#", b"a wildcard"), ("$reserved", b""), ("a", bytes(200_000)))
    ]
    fine, wildcard, reserved, large = gateway.publish(messages)
    assert fine is None
    assert wildcard is not None
    assert wildcard["reason"] is None
    assert "a/#" in wildcard["detail"]
    sentences = dict(_sekisho.refusal_reasons())
    assert reserved == {"reason": "TOPIC_RESERVED", "detail": sentences["TOPIC_RESERVED"]}
    assert large == {"reason": "PAYLOAD_TOO_LARGE", "detail": sentences["PAYLOAD_TOO_LARGE"]}


def test_reasons_have_unique_names_and_sentences() -> None:
    reasons = _sekisho.refusal_reasons()
    assert len({name for name, _ in reasons}) == len(reasons)
    assert all(sentence.endswith(".") for _, sentence in reasons)


def test_the_reasons_in_python_are_those_in_rust() -> None:
    assert [reason.value for reason in RefusalReason] == [name for name, _ in _sekisho.refusal_reasons()]
    assert all(reason.name == reason.value for reason in RefusalReason)


PACKAGE: Final = Path(_sekisho.__file__ or "").parent
MODULES: Final = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if path.name != "refusal.py")


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_code_uses_reasons_only_from_the_enumeration(module: Path) -> None:
    """No module writes a reason as text: an error in it would show only when a device is refused for it."""
    names = {reason.value for reason in RefusalReason}
    spelt = [
        f"line {node.lineno}: {node.value}"
        for node in ast.walk(ast.parse((PACKAGE / module).read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.partition(":")[0] in names
    ]
    assert not spelt, "use sekisho.refusal.RefusalReason"


def _decision(decision: str, allowed_by: Sequence[str] = (), denied_by: Sequence[str] = ()) -> dict[str, Any]:
    return {"decision": decision, "allowed_by": [*allowed_by], "denied_by": [*denied_by], "missing": []}


def test_policies_are_evaluated_by_the_engine_of_the_gateway() -> None:
    requests = [("iot:Connect", "arn:aws:iot:us-east-1:123456789012:client/c")]
    assert _sekisho.evaluate(_identity(_ALLOW_ALL), None, "c", requests) == [
        _decision("ALLOWED", allowed_by=["policy"])
    ]
    deny = _ALLOW_ALL.replace("Allow", "Deny")
    assert _sekisho.evaluate(_identity(deny), None, "c", requests) == [_decision("EXPLICIT_DENY", denied_by=["policy"])]


def test_invalid_documents_and_certificates_are_value_errors() -> None:
    with pytest.raises(_sekisho.PolicyError):
        _sekisho.check_policy("{}")
    with pytest.raises(_sekisho.CertificateError):
        _sekisho.certificate_variables(b"no certificate")
    assert issubclass(_sekisho.PolicyError, ValueError)
    assert issubclass(_sekisho.CertificateError, ValueError)


def test_a_certificate_id_is_the_sha_256_of_the_der() -> None:
    assert _sekisho.certificate_id(b"abc").startswith("ba7816bf")
