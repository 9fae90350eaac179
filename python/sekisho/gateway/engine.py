"""The data plane's policy engine, lent to the control plane."""

from __future__ import annotations

import ssl
from collections.abc import Sequence

from sekisho import _sekisho
from sekisho.errors import MalformedPolicyException
from sekisho.gateway.identity import policy_tuple, thing_tuple
from sekisho.registry.model import CertificateMode, CertificateStatus
from sekisho.registry.ports import Decision, Subject


class RustPolicyEngine:
    """``registry.ports.PolicyEngine`` over the Rust module."""

    def check(self, document: str) -> None:
        """Raises MalformedPolicyException with what is wrong and where."""
        try:
            _sekisho.check_policy(document)
        except _sekisho.PolicyError as error:
            raise MalformedPolicyException(str(error)) from None

    def evaluate(
        self, subject: Subject, client_id: str | None, requests: Sequence[tuple[str, str]]
    ) -> Sequence[Decision]:
        """One decision per (action such as ``iot:Publish``, resource ARN)."""
        realm = subject.realm
        identity = (
            realm.account_id,
            realm.region,
            # Policies alone are judged; the gate looks at status and mode before it asks the engine.
            CertificateStatus.ACTIVE.value,
            CertificateMode.DEFAULT.value,
            [policy_tuple(version) for version in subject.policies],
            [thing_tuple(thing) for thing in subject.things],
            False,
        )
        pem = subject.certificate_pem
        certificate = None if pem is None else ssl.PEM_cert_to_DER_cert(pem)
        return [
            Decision(decision, tuple(allowed_by), tuple(denied_by), tuple(missing))
            for decision, allowed_by, denied_by, missing in _sekisho.evaluate(
                identity, certificate, client_id, requests
            )
        ]
