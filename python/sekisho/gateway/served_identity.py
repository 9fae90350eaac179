"""What the gate shows of itself: the names it answers to and the certificates it serves, in step with the endpoints."""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Sequence

import structlog

from sekisho._sekisho import Gateway, GatewayError
from sekisho.config import Settings
from sekisho.pki import server
from sekisho.registry.endpoints import Endpoints
from sekisho.registry.model import ServedEndpoint
from sekisho.registry.ports import Clock, StoreFailure

log = structlog.get_logger(__name__)


class ServerCertificateUnusable(ValueError):
    """The user's own server certificate or key cannot be read, or they do not belong together."""


class ServedIdentity:
    """Hands the gate its names and certificates: at the start, and whenever a realm gets its endpoint."""

    def __init__(self, settings: Settings, endpoints: Endpoints, gateway: Gateway, clock: Clock) -> None:
        self._settings = settings
        self._endpoints = endpoints
        self._gateway = gateway
        self._clock = clock
        self._refreshing = threading.Lock()
        self.root_file = settings.data / "server" / "root-ca.pem"
        """What clients have to trust."""

    def follow(self) -> None:
        """Called when a realm got its endpoint, in the thread of the request that asked for it. Raises nothing."""
        try:
            self.refresh()
        except (OSError, ValueError, StoreFailure, GatewayError) as error:
            # The endpoint is given and kept; the next one, or the next start, brings the gate up to date.
            log.error("the gate does not serve the latest endpoints", reason=str(error))

    def refresh(self) -> None:
        """Serve what endpoints there are now.

        Raises:
            ServerCertificateUnusable: The user's own certificate.
            OSError, PemError, NotAcceptable: Sekisho's own, as ``pki.server.load_or_create``.
            GatewayError, StoreFailure: The gate does not take them, or the registry is away.
        """
        # One at a time: who has read the list earlier must not hand it over later.
        with self._refreshing:
            known = self._endpoints.all()
            self._gateway.set_endpoints(
                [(endpoint.server_name, endpoint.realm.account_id, endpoint.realm.region) for endpoint in known]
            )
            self._serve_certificates(known)

    def _serve_certificates(self, known: Sequence[ServedEndpoint]) -> None:
        settings = self._settings
        if settings.server_certificate is not None and settings.server_key is not None:
            try:
                chain = server.load_given(settings.server_certificate, settings.server_key)
            except (OSError, ValueError) as error:
                raise ServerCertificateUnusable(f"the server certificate cannot be used: {error}") from None
            self._gateway.set_server_certificates([chain])
            self.root_file = settings.server_certificate
            return
        own = server.load_or_create(
            settings.data / "server",
            names=_names(settings, known),
            addresses=["127.0.0.1", "::1", *([settings.host] if _is_address(settings.host) else [])],
            now=self._clock(),
        )
        self._gateway.set_server_certificates(own.chains)
        self.root_file = own.root_file


def _names(settings: Settings, endpoints: Sequence[ServedEndpoint]) -> list[str]:
    """Names for the server certificate: a wildcard per region keeps it small however many accounts there are."""
    names = ["localhost"]
    names += sorted({f"*.iot.{endpoint.realm.region}.{settings.domain}" for endpoint in endpoints})
    if not _is_address(settings.host) and settings.host not in names:
        names.append(settings.host)
    return names


def _is_address(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
