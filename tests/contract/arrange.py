"""Helpers of contract tests: a registered certificate, a policy document."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from sekisho import arn
from sekisho.certificates.model import CertificateStatus
from sekisho.clock import utc_now
from tests.contract.conftest import Account


def add_certificate(account: Account, common_name: str = "pump") -> str:
    """Register an active, self-signed certificate and return its ARN."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    begins = utc_now() - timedelta(days=1)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=3650))
        .sign(key, SHA256())
    )
    certificate = account.server.services.certificates.register_without_ca(
        account.realm, made.public_bytes(Encoding.PEM).decode(), status=CertificateStatus.ACTIVE
    )
    return arn.certificate(account.realm, certificate.certificate_id)


def document(*statements: dict[str, Any]) -> str:
    """Return a policy document with these statements."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action: str, resource: str) -> dict[str, Any]:
    """Return a statement that allows."""
    return {"Effect": "Allow", "Action": action, "Resource": resource}


def deny(action: str, resource: str) -> dict[str, Any]:
    """Return a statement that denies."""
    return {"Effect": "Deny", "Action": action, "Resource": resource}


ANYTHING = document(allow("iot:*", "*"))
