"""Calls certificate providers, which are handlers, with the event that AWS IoT sends.

Source: Developer Guide, provisioning-cert-provider (the event, the answer, the time limit).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sekisho.certificate_providers.model import CertificateProvider
from sekisho.certificate_providers.signer import CsrNotSigned
from sekisho.provisioning.handlers import HandlerFailed, Handlers
from sekisho.realm import Realm

PROVIDER_TIMEOUT_SECONDS: Final = 5.0
"""Seconds in which a provider has to answer."""


class HandlerCsrSigner:
    """Calls the handler with the name of a certificate provider's function (``certificate_providers.CsrSigner``)."""

    def __init__(self, handlers: Handlers) -> None:
        self._handlers = handlers

    def sign(self, realm: Realm, provider: CertificateProvider, csr_pem: str, principal_id: str, client_id: str) -> str:
        """Return the PEM text that the provider returned. Raises CsrNotSigned."""
        event = {"certificateSigningRequest": csr_pem, "principalId": principal_id, "clientId": client_id}
        try:
            answer = self._handlers.invoke(realm, provider.function_arn, event, timeout=PROVIDER_TIMEOUT_SECONDS)
        except HandlerFailed as failure:
            raise CsrNotSigned(str(failure), is_permanent=failure.is_permanent) from failure
        certificate_pem = answer.get("certificatePem") if isinstance(answer, Mapping) else None
        if not isinstance(certificate_pem, str):
            raise CsrNotSigned(
                f'{provider.function_arn} returned {_shown(answer)}, not an object with a string "certificatePem".'
            )
        return certificate_pem


def _shown(answer: object) -> str:
    """Describe an answer without its content, which may be a secret."""
    if isinstance(answer, Mapping):
        return f"an object with the members {', '.join(sorted(map(str, answer)))[:200] or '(none)'}"
    return "nothing" if answer is None else f"a value of type {type(answer).__name__}"
