"""The CSR signer: signed and refused requests."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519

from sekisho.pki.issue import BACKDATED
from sekisho.provisioning.handlers import HandlerFailed
from sekisho.server.settings import ConfigError
from tests.unit.features.arrange import HOME, SetClock
from tests.unit.handlers.arrange import build
from tests.x509 import KeyAndCertificate, named, new_ca, new_device, new_request, p256

SECTION = '[handlers.sign]\nca_certificate = "ca.crt"\nca_key = "ca.key"\ndays = 30\n'


def write(folder: Path, ca: KeyAndCertificate, key: str | None = None) -> None:
    (folder / "ca.crt").write_text(ca.pem)
    (folder / "ca.key").write_text(key or ca.key_pem)
    (folder / "ca.key").chmod(0o600)


def test_a_request_is_signed_with_its_own_subject_and_key(tmp_path: Path) -> None:
    write(tmp_path, ca := new_ca("Fleet"))
    key = p256()
    event = {"certificateSigningRequest": new_request(key, "lamp-7"), "principalId": "p", "clientId": "c"}
    answer = build(tmp_path, SECTION).invoke(HOME, "sign", event)
    assert set(answer) == {"certificatePem"}
    made = x509.load_pem_x509_certificate(answer["certificatePem"].encode())
    made.verify_directly_issued_by(ca.certificate)
    assert made.version is x509.Version.v3
    assert (made.subject, made.public_key()) == (named("lamp-7"), key.public_key())
    now = SetClock().now
    assert made.not_valid_before_utc == now - BACKDATED
    assert made.not_valid_after_utc == now + timedelta(days=30)


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ({}, "the event has no certificateSigningRequest to sign"),
        ({"certificateSigningRequest": 1}, "the event has no certificateSigningRequest"),
        ({"certificateSigningRequest": "x"}, "certificate signing request"),
        ({"certificateSigningRequest": new_request(ed25519.Ed25519PrivateKey.generate())}, "Ed25519"),
    ],
)
def test_a_request_that_cannot_be_signed_is_refused_permanently(
    tmp_path: Path, event: dict[str, Any], said: str
) -> None:
    write(tmp_path, new_ca())
    with pytest.raises(HandlerFailed) as failure:
        build(tmp_path, SECTION).invoke(HOME, "sign", event)
    assert str(failure.value).startswith("handler 'sign': ")
    assert said.lower() in str(failure.value).lower()
    assert failure.value.is_permanent


def test_files_that_are_not_a_ca_and_its_key_are_configuration_errors(tmp_path: Path) -> None:
    def complaint() -> str:
        with pytest.raises(ConfigError) as refusal:
            build(tmp_path, SECTION)
        assert "[handlers.sign]: " in str(refusal.value)
        return str(refusal.value)

    assert "ca_certificate" in complaint()
    ca = new_ca()
    write(tmp_path, ca)
    (tmp_path / "ca.key").chmod(0o644)
    assert "ca_key" in (said := complaint())
    assert "chmod 600" in said
    write(tmp_path, ca, new_ca("Other").key_pem)
    assert "does not belong to the certificate" in complaint()
    write(tmp_path, new_device(ca))
    assert "ca.crt" in complaint()
