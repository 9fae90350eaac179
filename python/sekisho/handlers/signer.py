"""The CSR signer: signs as the Lambda function of a certificate provider does, with a CA in two files.

Source: Developer Guide, provisioning-cert-provider: the event has ``certificateSigningRequest``, the answer
``certificatePem``.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sekisho.clock import Clock
from sekisho.handlers.call import Call, read_secret, read_text
from sekisho.pki import ca
from sekisho.pki.pem import PemError
from sekisho.pki.verify import NotAcceptable
from sekisho.provisioning.handlers import HandlerFailed
from sekisho.server.handler_settings import CsrSigner, HandlerSettings
from sekisho.server.settings import ConfigError


class SigningHandler:
    """A handler that signs. Subject and key are those of the request; the certificate is X.509 v3.

    Raises ConfigError: a file cannot be read, or the files are not a CA and its key.
    """

    def __init__(self, settings: HandlerSettings, target: CsrSigner, clock: Clock) -> None:
        self._name = settings.name
        self._lifetime = timedelta(days=target.days)
        self._clock = clock
        certificate = read_text(settings.source, "ca_certificate", target.ca_certificate)
        key = read_secret(settings.source, "ca_key", target.ca_key)
        try:
            self._authority = ca.load(certificate, key)
        except (PemError, NotAcceptable) as error:
            raise ConfigError(f"{settings.source}: {target.ca_certificate}, {target.ca_key}: {error}") from None

    def invoke(self, call: Call) -> Any:
        """Return ``{"certificatePem": ...}``. Raises HandlerFailed, permanent: the event has no valid request."""
        request = call.event.get("certificateSigningRequest")
        if not isinstance(request, str):
            raise HandlerFailed(
                f"handler {self._name!r}: the event has no certificateSigningRequest to sign", is_permanent=True
            )
        try:
            certificate = self._authority.sign(request, now=self._clock(), lifetime=self._lifetime)
        except (PemError, NotAcceptable) as error:
            raise HandlerFailed(f"handler {self._name!r}: {error}", is_permanent=True) from None
        return {"certificatePem": certificate.pem}

    def close(self) -> None:
        """Do nothing."""
