"""The interface through which certificate providers are called."""

from __future__ import annotations

from typing import Protocol

from sekisho.certificate_providers.model import CertificateProvider
from sekisho.realm import Realm


class CsrNotSigned(Exception):
    """A certificate provider did not return a certificate. The message says why.

    Attributes:
        is_permanent: Whether the same request would fail again.
    """

    def __init__(self, message: str, *, is_permanent: bool = True) -> None:
        super().__init__(message)
        self.is_permanent = is_permanent


class CsrSigner(Protocol):
    """Calls certificate providers with certificate signing requests."""

    def sign(self, realm: Realm, provider: CertificateProvider, csr_pem: str, principal_id: str, client_id: str) -> str:
        """Return the PEM text that the provider returned; the caller checks it.

        Args:
            principal_id: The requester, as the provider's event names it.
            client_id: The requester's MQTT client id; empty over HTTP.

        Raises:
            CsrNotSigned: The provider failed, did not answer in time, or did not return a certificate.
        """
        ...
