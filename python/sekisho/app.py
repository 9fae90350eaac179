"""The composition root: settings in, a running server out. The only file that knows everybody.

Order matters: the data folder is locked before anything is written, the registry is open before the gate, the gate is
open before the API says so, and all is taken down in the reverse order.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog

from sekisho import __version__, clock, run_file
from sekisho.config import Settings
from sekisho.realm import Realm
from sekisho.registry.accounts import Accounts
from sekisho.registry.ports import Change
from sekisho.run_file import Run
from sekisho.store.errors import StoreError
from sekisho.store.unit_of_work import SqlStore

if TYPE_CHECKING:
    import uvicorn

    from sekisho._sekisho import Gateway
    from sekisho.gateway.pump import Pump
    from sekisho.registry.endpoints import Endpoints
    from sekisho.registry.model import ServedEndpoint
    from sekisho.services import Services

log = structlog.get_logger(__name__)

GRACE: Final = 5.0
"""Seconds that clients and requests get to end when the server stops."""


class CannotStart(Exception):
    """The server cannot run as it is told to; one line that says why and what to do."""


def run(settings: Settings, on_ready: Callable[[Run], None]) -> None:
    """Run a server until SIGINT or SIGTERM, then end it gracefully.

    ``on_ready`` is called once, when everything answers. Raises CannotStart.
    """
    from sekisho.observe import logging

    logging.configure(settings.log_level)
    with ExitStack() as stack:
        server = _build(settings, stack)
        asyncio.run(server.serve(on_ready))


@contextmanager
def open_accounts(data: Path, database_url: str = "") -> Iterator[Accounts]:
    """The accounts of a data folder, beside a running server or without one. Raises CannotStart."""
    _make_folder(data)
    store = _open_store(data, database_url, announce=lambda _changes: None)
    try:
        yield Accounts(store, clock.utc_now)
    finally:
        store.close()


@dataclass(frozen=True, slots=True)
class _Server:
    """Everything that runs, wired."""

    settings: Settings
    services: Services
    gateway: Gateway
    pump: Pump
    http: uvicorn.Server
    api_socket: socket.socket
    run: Run

    async def serve(self, on_ready: Callable[[Run], None]) -> None:
        """Until a signal asks to stop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._ask_to_stop)
        serving = asyncio.create_task(self.http.serve(sockets=[self.api_socket]))
        while not self.http.started and not serving.done():
            await asyncio.sleep(0.001)
        if not serving.done():
            run_file.write(self.settings.data, self.run)
            on_ready(self.run)
        await serving
        for number in (signal.SIGINT, signal.SIGTERM):
            # Ending has begun and is bounded in time: a second signal must not cut it short.
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)

    def _ask_to_stop(self) -> None:
        self.http.should_exit = True


def _build(settings: Settings, stack: ExitStack) -> _Server:
    """Wire and start everything; ``stack`` takes it down again."""
    from sekisho._sekisho import Gateway, GatewayError
    from sekisho.gateway.broker import GatewayBroker
    from sekisho.gateway.engine import RustPolicyEngine
    from sekisho.gateway.projector import Projector
    from sekisho.gateway.pump import Pump
    from sekisho.messaging.publishing import Publishing
    from sekisho.pki.issuing import IssuingAuthority
    from sekisho.registry.admission import Admission
    from sekisho.registry.authorization import Authorization
    from sekisho.registry.ca_certificates import CACertificates
    from sekisho.registry.certificates import Certificates
    from sekisho.registry.endpoints import Endpoints
    from sekisho.registry.policies import Policies
    from sekisho.registry.tags import Tags
    from sekisho.registry.things import Things
    from sekisho.services import Services

    _make_folder(settings.data)
    stack.enter_context(_locked(settings.data))
    api_socket = stack.enter_context(contextlib.closing(_listen(settings)))

    projector = Projector()
    store = _open_store(settings.data, settings.database_url, projector.announce)
    stack.callback(store.close)
    home = Realm(settings.account, settings.region)
    gateway = Gateway(host=settings.host, mqtt_port=settings.mqtt_port, workers=settings.workers)
    engine = RustPolicyEngine()
    services = Services(
        accounts=Accounts(store, clock.utc_now),
        authorization=Authorization(store, engine),
        ca_certificates=CACertificates(store, clock.utc_now),
        certificates=Certificates(store, clock.utc_now, IssuingAuthority.load_or_create(settings.data / "issuing")),
        endpoints=Endpoints(store, home, settings.domain),
        policies=Policies(store, clock.utc_now, engine),
        publishing=Publishing(GatewayBroker(gateway)),
        tags=Tags(store),
        things=Things(store, clock.utc_now),
    )
    services.accounts.ensure(settings.account)
    services.endpoints.describe(home)

    identity = _ServerIdentity(settings, services.endpoints, gateway)
    identity.refresh()
    try:
        mqtt_port = gateway.start()
    except GatewayError as error:
        raise CannotStart(f"MQTT: {error} (--mqtt-port)") from None
    stack.callback(gateway.stop, GRACE)
    pump = Pump(gateway, Admission(store))
    pump.start()
    stack.callback(pump.stop)
    projector.attach(gateway, identity.refresh)
    stack.callback(run_file.remove, settings.data)

    host, api_port = api_socket.getsockname()[:2]
    run = Run(
        pid=os.getpid(),
        api=f"http://{f'[{host}]' if ':' in host else host}:{api_port}",
        mqtt_host=settings.host,
        mqtt_port=mqtt_port,
        endpoint=services.endpoints.describe(home).server_name,
        region=settings.region,
        account=settings.account,
        root_ca=str(identity.root_file),
        version=__version__,
    )
    return _Server(settings, services, gateway, pump, _http(settings, services, gateway), api_socket, run)


def _http(settings: Settings, services: Services, gateway: Gateway) -> uvicorn.Server:
    import uvicorn

    from sekisho.api import app as api
    from sekisho.api.sigv4 import SecretKey

    def credentials(access_key_id: str) -> SecretKey | None:
        key = services.accounts.access_key(access_key_id)
        if key is None:
            return None
        # An access key here is the account's own, as a root key is on AWS.
        root = f"arn:aws:iam::{key.account_id}:root"
        return SecretKey(account_id=key.account_id, arn=root, user_id=key.account_id, secret=key.secret_access_key)

    def health() -> dict[str, Any]:
        return {"status": "ok", "version": __version__, "mqtt": dict(gateway.statistics())}

    application = api.build(
        services,
        credentials=credentials,
        clock=clock.utc_now,
        default_realm=Realm(settings.account, settings.region),
        any_credentials=settings.any_credentials,
        health=health,
    )
    config = uvicorn.Config(
        application,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=int(GRACE),
        timeout_keep_alive=60,
    )

    class Http(uvicorn.Server):
        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            # Signals are ours: uvicorn would raise them again when it has stopped, before the gate is closed.
            yield

    return Http(config)


class _ServerIdentity:
    """Keeps the gate's certificates and server names in step with the endpoints."""

    def __init__(self, settings: Settings, endpoints: Endpoints, gateway: Gateway) -> None:
        self._settings = settings
        self._endpoints = endpoints
        self._gateway = gateway
        self.root_file = settings.data / "server" / "root-ca.pem"

    def refresh(self) -> None:
        """Called at the start and whenever a realm got its endpoint."""
        from sekisho.pki import server

        known = self._endpoints.all()
        self._gateway.set_endpoints(
            [(endpoint.server_name, endpoint.realm.account_id, endpoint.realm.region) for endpoint in known]
        )
        settings = self._settings
        if settings.server_certificate is not None and settings.server_key is not None:
            try:
                chain = server.load_given(settings.server_certificate, settings.server_key)
            except (OSError, ValueError) as error:
                raise CannotStart(f"the server certificate cannot be used: {error}") from None
            self._gateway.set_server_certificates([chain])
            self.root_file = settings.server_certificate
            return
        identity = server.load_or_create(
            settings.data / "server",
            names=_server_names(settings, known),
            addresses=["127.0.0.1", "::1", *([settings.host] if _is_address(settings.host) else [])],
            now=clock.utc_now(),
        )
        self._gateway.set_server_certificates(identity.chains)
        self.root_file = identity.root_file


def _server_names(settings: Settings, endpoints: Sequence[ServedEndpoint]) -> list[str]:
    """Names for the server certificate: a wildcard per region keeps it small however many accounts there are."""
    names = ["localhost"]
    names += sorted({f"*.iot.{endpoint.realm.region}.{settings.domain}" for endpoint in endpoints})
    if not _is_address(settings.host) and settings.host not in names:
        names.append(settings.host)
    return names


def _is_address(host: str) -> bool:
    import ipaddress

    try:
        return not ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _make_folder(data: Path) -> None:
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise CannotStart(f"the data folder {data} cannot be made: {error.strerror}") from None
    if not os.access(data, os.W_OK | os.X_OK):
        raise CannotStart(
            f"the data folder {data} cannot be written to: change its owner, or choose another with --data"
        )


@contextmanager
def _locked(data: Path) -> Iterator[None]:
    """One server per data folder. The lock goes with the process, however it ends."""
    try:
        file = (data / "lock").open("w")
    except OSError as error:
        raise CannotStart(f"the data folder {data} cannot be written to: {error.strerror}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CannotStart(
                f"another server is running on {data}: stop it first, or give this one a folder of its own with --data"
            ) from None
        yield


def _listen(settings: Settings) -> socket.socket:
    """The API's listening socket; made here so that a port in use is our error and not uvicorn's."""
    try:
        family, _, _, _, address = socket.getaddrinfo(
            settings.host, settings.api_port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(512)
    except OSError as error:
        raise CannotStart(
            f"the API cannot listen on {settings.host}:{settings.api_port}: {error.strerror or error}. "
            "Choose another port with --api-port, or stop what listens there"
        ) from None
    return listener


def _open_store(data: Path, database_url: str, announce: Callable[[Sequence[Change]], None]) -> SqlStore:
    try:
        store = SqlStore(database_url or f"sqlite:///{data / 'sekisho.db'}", announce)
        store.open()
    except StoreError as error:
        raise CannotStart(str(error)) from None
    return store
