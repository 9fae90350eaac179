"""How certificate signing requests reach certificate providers."""

from __future__ import annotations

from typing import Protocol

from sekisho.certificate_providers.model import CertificateProvider
from sekisho.realm import Realm


class CsrNotSigned(Exception):
    """A certificate provider answered no certificate. The message says what happened instead.

    Attributes:
        is_permanent: The same request would fail again.
    """

    def __init__(self, message: str, *, is_permanent: bool = True) -> None:
        super().__init__(message)
        self.is_permanent = is_permanent


class CsrSigner(Protocol):
    """Whoever carries certificate signing requests to certificate providers."""

    def sign(self, realm: Realm, provider: CertificateProvider, csr_pem: str, principal_id: str, client_id: str) -> str:
        """Return the text of the certificate that the provider answers, which the caller checks.

        Args:
            principal_id: Who asks for the certificate.
            client_id: The MQTT client id of who asks; empty over HTTP.

        Raises:
            CsrNotSigned: It failed, did not answer in time, or answered something else.
        """
        ...
