"""Uses the data plane's policy engine for the control plane."""

from __future__ import annotations

import ssl
from collections.abc import Sequence

from sekisho import _sekisho
from sekisho.certificates.model import CertificateMode, CertificateStatus
from sekisho.errors import MalformedPolicyException
from sekisho.gateway.identity import policy_dict, thing_dict
from sekisho.policies.engine import Decision, Subject


class RustPolicyEngine:
    """``registry.ports.PolicyEngine`` over the Rust module."""

    def check(self, document: str) -> None:
        """Raise MalformedPolicyException, which says what is wrong and where, unless the document is valid."""
        try:
            _sekisho.check_policy(document)
        except _sekisho.PolicyError as error:
            raise MalformedPolicyException(str(error)) from None

    def evaluate(
        self, subject: Subject, client_id: str | None, requests: Sequence[tuple[str, str]]
    ) -> Sequence[Decision]:
        """Return a decision for each (action such as ``iot:Publish``, resource ARN)."""
        realm = subject.realm
        pem = subject.certificate_pem
        decisions = _sekisho.evaluate(
            {
                "account_id": realm.account_id,
                "region": realm.region,
                # Only policies are evaluated here; the gateway checks status and mode before it evaluates policies.
                "status": CertificateStatus.ACTIVE.value,
                "mode": CertificateMode.DEFAULT.value,
                "policies": [policy_dict(version) for version in subject.policies],
                "things": [thing_dict(thing) for thing in subject.things],
                "is_awaited": False,
            },
            None if pem is None else ssl.PEM_cert_to_DER_cert(pem),
            client_id,
            requests,
        )
        return [
            Decision(each["decision"], tuple(each["allowed_by"]), tuple(each["denied_by"]), tuple(each["missing"]))
            for each in decisions
        ]
