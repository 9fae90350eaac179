"""Gives the gateway its endpoints' names and their server certificates, whenever the registry's endpoints change.

Each region of the list has a certificate for ``*.iot.<region>.<domain>``, used or not, and so has each name of the
setting ``endpoints``. A client whose SNI is such a name gets it. Any other client gets the default certificate, for the
setting ``endpoint``, ``localhost``, ``localhost.localdomain``, the host and the addresses that the server listens on.
So a client does not learn which regions others use, and certificates depend only on the settings.

A server certificate of the user's own is given to every client. It must cover the names of the settings.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack, suppress
from datetime import timedelta
from pathlib import Path
from typing import Final

from sekisho import regions
from sekisho._sekisho import Gateway, GatewayError
from sekisho.clock import Clock
from sekisho.endpoints.model import ServedEndpoint
from sekisho.endpoints.rules import LOCALHOST_WITH_DOT, Endpoints
from sekisho.files import write_atomically
from sekisho.observe.event_log import log
from sekisho.observe.events import LogEvent
from sekisho.pki import given, server
from sekisho.pki.given import GivenCertificate
from sekisho.realm import Realm
from sekisho.server import listen_host
from sekisho.server.settings import Settings
from sekisho.store.errors import StoreError

RENEWAL_CHECK_INTERVAL: Final = timedelta(hours=1)
"""Time between two checks of the certificates' remaining time, and of the files of the user's own certificate."""

_GIVEN_ROOT_FILE: Final = "given-root-ca.pem"
"""In the folder of the server's own certificates: the root of the chain that the user gave."""

_LOGGED_REGIONS: Final = 20
"""Maximum number of regions in one line of the log."""


class ServerCertificateUnusable(ValueError):
    """The user's own server certificate or key cannot be read, or they do not belong together."""


class ServedIdentity:
    """Gives the gateway its names and certificates: at the start, for each new endpoint, and every hour."""

    def __init__(self, settings: Settings, endpoints: Endpoints, gateway: Gateway, clock: Clock) -> None:
        self._settings = settings
        self._regions = settings.known_regions
        self._endpoints = endpoints
        self._gateway = gateway
        self._clock = clock
        self._refreshing = threading.Lock()
        self._not_served: Collection[str] = ()
        self._next_check = clock() + RENEWAL_CHECK_INTERVAL
        self._given: GivenCertificate | None = None
        self._not_covered: Collection[str] = ()
        self.root_file: Path | None = settings.data / "server" / server.ROOT_FILE
        """The file of the roots that clients have to trust; None where the root of the user's own is not known."""

    @property
    def is_given(self) -> bool:
        """Whether the certificate is the user's own."""
        return self._settings.server_certificate is not None

    def reload(self, settings: Settings, undo: ExitStack) -> Callable[[], None]:
        """Serve the names and certificates of other settings (``server.reload.Step``)."""
        former, former_root = self._settings, self.root_file

        def take_back() -> None:
            self._use(former)
            self.root_file = former_root
            # Where the former files cannot be read any more, what was loaded from them is still served.
            with suppress(OSError, ValueError, GatewayError, StoreError):
                self.serve_certificates()
                self.serve_endpoints()

        undo.callback(take_back)
        self._use(settings)
        self.serve_certificates()
        self.serve_endpoints()
        return lambda: None

    def _use(self, settings: Settings) -> None:
        self._settings = settings
        self._endpoints.rename(settings.endpoint_names)

    def follow(self) -> None:
        """Update the gateway. Called when a realm got its endpoint, in the thread of that request. Raises nothing."""
        try:
            self.serve_endpoints()
        except (StoreError, GatewayError) as error:
            # The endpoint is stored; the next one, or the next check, updates the gateway.
            log.write(LogEvent.ENDPOINTS_NOT_UPDATED, reason=str(error))

    def renew(self) -> None:
        """Renew certificates that expire soon. Call it repeatedly. Raises nothing."""
        now = self._clock()
        # Monotonic time: a clock that is set back must not delay the next check.
        if self._next_check - RENEWAL_CHECK_INTERVAL <= now < self._next_check:
            return
        self._next_check = now + RENEWAL_CHECK_INTERVAL
        try:
            self.serve_certificates()
        except (OSError, ValueError, GatewayError) as error:
            log.write(LogEvent.SERVER_CERTIFICATES_NOT_RENEWED, reason=str(error))
        self.follow()

    def serve_endpoints(self) -> None:
        """Give the gateway the present endpoints in the regions of the list.

        Raises GatewayError, StoreError: the gateway does not accept them, or the registry cannot be read.
        """
        # One thread at a time, so that an older list does not replace a newer one.
        with self._refreshing:
            served = self._served(self._endpoints.all())
            self._gateway.set_endpoints(
                [
                    {
                        "server_name": name,
                        "account_id": endpoint.realm.account_id,
                        "region": endpoint.realm.region,
                    }
                    for endpoint in served
                    for name in (endpoint.server_name, *endpoint.aliases)
                ]
            )
            self._warn_of_names([endpoint.server_name for endpoint in served])

    def _warn_of_names(self, names: Sequence[str]) -> None:
        """Log once which endpoints the user's own certificate does not cover: their devices refuse the server."""
        not_covered = [] if self._given is None else self._given.not_covered(names)
        if not_covered and not_covered != self._not_covered:
            log.write(
                LogEvent.ENDPOINTS_NOT_IN_CERTIFICATE,
                endpoints=not_covered[:_LOGGED_REGIONS],
                count=len(not_covered),
                remedy="name them in the setting endpoints as the certificate does, or have one issued that has them",
            )
        self._not_covered = not_covered

    def _served(self, known: Sequence[ServedEndpoint]) -> Sequence[ServedEndpoint]:
        others = sorted({each.realm.region for each in known if each.realm.region not in self._regions})
        if others and others != self._not_served:
            log.write(
                LogEvent.ENDPOINTS_NOT_SERVED,
                regions=others[:_LOGGED_REGIONS],
                count=len(others),
                remedy=f"name those you need in the setting regions: {regions.setting(others[:3])}",
            )
        self._not_served = others
        return [each for each in known if each.realm.region in self._regions]

    def serve_certificates(self) -> None:
        """Give the gateway the present certificates.

        Raises:
            ServerCertificateUnusable: The user's own certificate cannot be used.
            OSError, PemError, NotAcceptable: Sekisho's own cannot be made, as in ``pki.server.load_or_create``.
            GatewayError: The gateway does not accept them.
        """
        settings = self._settings
        if settings.server_certificate is not None and settings.server_key is not None:
            try:
                self._serve_given(settings.server_certificate, settings.server_key)
            except (OSError, ValueError, GatewayError) as error:
                raise ServerCertificateUnusable(f"the server certificate cannot be used: {error}") from None
            return
        self._given = None
        names, addresses = _of_host(settings.host)
        if settings.endpoint:
            names = list(dict.fromkeys([settings.endpoint, *names]))
        # The name at home is in the default certificate already.
        others = sorted(set(settings.endpoint_names.values()) - set(names))
        own = server.load_or_create(
            settings.data / "server",
            names=names,
            addresses=addresses,
            further_names=[*(f"*.iot.{region}.{settings.domain}" for region in self._regions), *others],
            now=self._clock(),
        )
        self._gateway.set_server_certificates(own.chains)
        self.root_file = own.root_file
        try:
            self._gateway.set_named_certificates([([name], chains) for name, chains in own.by_name.items()])
        except GatewayError as error:
            # The default certificate still serves the home endpoint, and a running server can report the error.
            log.write(LogEvent.REGION_CERTIFICATES_NOT_CREATED, reason=str(error))

    def _serve_given(self, certificate: Path, key: Path) -> None:
        """Raises OSError, ValueError, GatewayError: the files, their names or their root are wrong."""
        settings = self._settings
        loaded = given.load(certificate, key, settings.server_root_ca, now=self._clock())
        home = Realm(settings.account, settings.region)
        loaded.check_names(settings.endpoint_names.values() or [self._endpoints.describe(home).server_name])
        self._gateway.set_server_certificates([(loaded.chain_pem, loaded.key_pem)])
        # Where Sekisho's own were served before.
        self._gateway.set_named_certificates([])
        self._given = loaded
        self.root_file = settings.server_root_ca
        if self.root_file is None and loaded.root is not None:
            self.root_file = settings.data / "server" / _GIVEN_ROOT_FILE
            self.root_file.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
            write_atomically(self.root_file, loaded.root.pem.encode(), mode=0o644)
        if self.root_file is None:
            log.write(
                LogEvent.SERVER_ROOT_NOT_KNOWN,
                file=str(certificate),
                issuer=loaded.chain[-1].issuer_text,
                remedy="set server_root_ca to the file of the root",
            )


def _of_host(host: str) -> tuple[Sequence[str], Sequence[str]]:
    """Return the DNS names and IP addresses of the default certificate of a server that listens on ``host``."""
    address = listen_host.address_of(host)
    names, addresses = ["localhost", LOCALHOST_WITH_DOT], ["127.0.0.1", "::1"]
    if address is None:
        names.append(host)
    elif not listen_host.is_every_address(host):
        addresses.append(str(address))
    return names, addresses
