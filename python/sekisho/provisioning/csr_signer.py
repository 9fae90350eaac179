"""Certificate providers are handlers: a certificate signing request goes to one as the event that AWS IoT sends.

Source: Developer Guide, provisioning-cert-provider (the event, the answer, the time).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sekisho.certificate_providers.model import CertificateProvider
from sekisho.certificate_providers.signer import CsrNotSigned
from sekisho.provisioning.handlers import HandlerFailed, Handlers
from sekisho.realm import Realm

TIMEOUT: Final = 5.0
"""Seconds that a provider has for an answer."""


class HandlerCsrSigner:
    """Asks the handler that a certificate provider's function names (``ports.CsrSigner``)."""

    def __init__(self, handlers: Handlers) -> None:
        self._handlers = handlers

    def sign(self, realm: Realm, provider: CertificateProvider, csr_pem: str, principal_id: str, client_id: str) -> str:
        """The text of the certificate that it answers. Raises CsrNotSigned."""
        event = {"certificateSigningRequest": csr_pem, "principalId": principal_id, "clientId": client_id}
        try:
            answer = self._handlers.invoke(realm, provider.function_arn, event, timeout=TIMEOUT)
        except HandlerFailed as failure:
            raise CsrNotSigned(str(failure), is_permanent=failure.is_permanent) from failure
        certificate_pem = answer.get("certificatePem") if isinstance(answer, Mapping) else None
        if not isinstance(certificate_pem, str):
            raise CsrNotSigned(
                f'{provider.function_arn} answered {_shown(answer)}, not an object with a text "certificatePem".'
            )
        return certificate_pem


def _shown(answer: object) -> str:
    """What kind of answer it is. Its content may be a secret."""
    if isinstance(answer, Mapping):
        return f"an object with the members {', '.join(sorted(map(str, answer)))[:200] or '(none)'}"
    return "nothing" if answer is None else f"a value of type {type(answer).__name__}"
