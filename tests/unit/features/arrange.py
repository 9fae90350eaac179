"""Helpers of tests of features: realms, certificates that are only rows, a clock that a test sets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from sekisho import arn
from sekisho.certificates.model import Certificate, CertificateMode, CertificateStatus
from sekisho.certificates.store import CertificateRows
from sekisho.errors import MalformedPolicyException
from sekisho.policies.engine import Decision, Subject
from sekisho.realm import Realm
from sekisho.store.store import Store

HOME: Final = Realm("123456789012", "eu-central-1")
SAME_ACCOUNT_ELSEWHERE: Final = Realm("123456789012", "us-east-1")
OTHER_ACCOUNT: Final = Realm("210987654321", "eu-central-1")

DOCUMENT: Final = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:*","Resource":"*"}]}'


class SetClock:
    """A clock that moves only when a test moves it."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class LiteralEngine:
    """A policy engine with a small language of its own, for tests that do not need the real one.

    A document is lines of ``allow <resource>`` and ``deny <resource>``, and ``needs <name>`` for a variable without a
    value. The rule is IAM's: deny, else allow, else implicit deny.
    """

    def check(self, document: str) -> None:
        for number, line in enumerate(document.splitlines(), 1):
            if line.split(" ", 1)[0] not in ("allow", "deny", "needs"):
                raise MalformedPolicyException(f"line {number}: neither allow nor deny nor needs")

    def evaluate(
        self,
        subject: Subject,
        client_id: str | None,  # noqa: ARG002 - this language has no variables
        requests: Sequence[tuple[str, str]],
    ) -> list[Decision]:
        return [self._decide(subject, resource) for _, resource in requests]

    def _decide(self, subject: Subject, resource: str) -> Decision:
        lines = [
            (version.policy_name, *line.split(" ", 1))
            for version in subject.policies
            for line in version.document.splitlines()
        ]
        allowed = tuple(dict.fromkeys(name for name, word, what in lines if (word, what) == ("allow", resource)))
        denied = tuple(dict.fromkeys(name for name, word, what in lines if (word, what) == ("deny", resource)))
        missing = tuple(what for _, word, what in lines if word == "needs")
        return Decision(
            "EXPLICIT_DENY" if denied else "ALLOWED" if allowed else "IMPLICIT_DENY", allowed, denied, missing
        )


def certificate_id(number: int) -> str:
    """Return a well-formed certificate id."""
    return f"{number:064x}"


def add_certificate(store: Store, number: int = 1, realm: Realm = HOME) -> str:
    """Add a certificate to the store and return its ARN. It is inactive, which has no meaning for the rules."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    with store.write() as tx:
        CertificateRows(tx).add(
            Certificate(
                realm=realm,
                certificate_id=certificate_id(number),
                certificate_pem="-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
                ca_certificate_id=None,
                status=CertificateStatus.INACTIVE,
                mode=CertificateMode.SNI_ONLY,
                not_before=moment,
                not_after=moment + timedelta(days=365),
                created_at=moment,
                modified_at=moment,
                customer_version=1,
                generation_id="generation",
            )
        )
    return arn.certificate(realm, certificate_id(number))
