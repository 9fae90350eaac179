"""A server from its settings: wired, started part by part, stopped in reverse. The one file that imports everything.

Order matters: the data folder is locked before anything is written, the store is open before the gateway, the gateway
before the API says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sekisho import __version__, clock
from sekisho.accounts.rules import Accounts
from sekisho.observe.event_log import log
from sekisho.observe.events import LogEvent
from sekisho.realm import Realm
from sekisho.server import data_folder, listen_host, run_file
from sekisho.server.cannot_start import CannotStart, refusing_clearly
from sekisho.server.descriptors import ConnectionLimits, connection_limits, raise_limit
from sekisho.server.held_database import HeldDatabase
from sekisho.server.listening import api_url, listen_for_api, reachable
from sekisho.server.parts import Part, Parts
from sekisho.server.registry_access import new_store
from sekisho.server.reload import RELOADED, Reload, Step
from sekisho.server.run_file import Run
from sekisho.server.settings import Loaded, Settings
from sekisho.server.shown_settings import shown

if TYPE_CHECKING:
    from sekisho.api.connections import ServerLimits
    from sekisho.api.http_server import HttpServer
    from sekisho.provisioning.bulk.input import Buckets
    from sekisho.provisioning.deliveries.rules import Lane
    from sekisho.server.health import Health
    from sekisho.server.services import Services

GRACE: Final = 5.0
"""Seconds that clients and requests get to end when the server stops."""

_HAS_TERMINAL: Final = os.isatty(0)


def run(loaded: Loaded, on_ready: Callable[[Run], None], load: Callable[[], Loaded]) -> None:
    """Run a server until SIGINT or SIGTERM, then end it gracefully. SIGHUP reads the settings again.

    Args:
        on_ready: Called once, when everything answers.
        load: Reads the settings from the sources of ``loaded``. Raises ConfigError.

    Raises CannotStart.
    """
    from sekisho._sekisho import GatewayError
    from sekisho.observe import logging
    from sekisho.server.notify import Notifier
    from sekisho.store.errors import StoreError

    settings = loaded.settings
    latest = loaded
    # For run.json: what the server works with, also after a reload.
    in_effect = dict(shown(loaded))
    notifier = Notifier.from_environment()
    begun = time.monotonic()
    # Until the server can take it.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        logging.configure(settings.log_level, logging.open_file(settings.log_file) if settings.log_file else None)
    except OSError as error:
        raise CannotStart(f"the log cannot be written to {settings.log_file}: {error.strerror}") from None
    # Before anything is opened: SQLite, sockets and handler processes live on what is left of these.
    descriptors = raise_limit()
    with ExitStack() as stack:
        # Last of all, what the log says of the end is written.
        stack.callback(logging.flush)
        stack.callback(notifier.close)
        with refusing_clearly():
            server = _wired(
                settings, stack, connection_limits(descriptors, settings.api_connections, settings.max_connections)
            )
            stack.enter_context(server.parts)
            run = replace(server.describe(), config_file=str(loaded.file), settings=in_effect)
            run_file.write(settings.data, run)
            stack.callback(run_file.remove, settings.data)

        def ready() -> None:
            log.write(
                LogEvent.SERVER_STARTED,
                version=run.version,
                api=run.api,
                mqtt=f"{settings.host}:{run.mqtt_port}",
                store=run.store,
                data=str(settings.data),
                account_id=run.account,
                region=run.region,
                ready_ms=round((time.monotonic() - begun) * 1000),
            )
            on_ready(run)
            notifier.ready(server.health.live, server.health.ready)

        def reload() -> None:
            with notifier.reloading():
                outcome = taking()
            if not outcome.error:
                in_effect.update({name: each for name, each in shown(latest).items() if name in RELOADED})
            described = replace(server.describe(), config_file=str(loaded.file), settings=in_effect)
            run_file.write(settings.data, replace(described, reload=asdict(outcome)))

        def load_again() -> Settings:
            nonlocal latest
            latest = load()
            return latest.settings

        taking = Reload(settings, load_again, server.steps, (GatewayError, StoreError))
        asyncio.run(server.serve(ready, reload, notifier.stopping))
        if server.database.taken is not None:
            raise CannotStart(f"the server has stopped: {server.database.taken}")


@dataclass(frozen=True, slots=True)
class _Server:
    """A server that is wired, and not started."""

    parts: Parts
    http: HttpServer
    api_socket: socket.socket
    describe: Callable[[], Run]
    """Once the parts have started."""
    steps: Sequence[Step]
    database: HeldDatabase
    health: Health

    async def serve(
        self, on_ready: Callable[[], None], reload: Callable[[], None], on_stopping: Callable[[], None]
    ) -> None:
        """Until a signal asks to stop."""
        loop = asyncio.get_running_loop()
        reloads = _Reloads(reload)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up_or, reloads.ask, on_stopping)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._ask_to_stop, number, on_stopping)
        serving = asyncio.create_task(self.http.serve(sockets=[self.api_socket]))
        while not self.http.started and not serving.done():
            await asyncio.sleep(0.001)
        if not serving.done():
            on_ready()
        await serving
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # Ending has begun and is bounded in time: a second signal must not cut it short.
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)

    def _hang_up_or(self, reload: Callable[[], None], on_stopping: Callable[[], None]) -> None:
        """SIGHUP: the terminal of a server in the foreground was closed, or the settings changed."""
        if _has_hung_up():
            self._ask_to_stop(signal.SIGHUP, on_stopping)
        else:
            reload()

    def _ask_to_stop(self, number: signal.Signals, on_stopping: Callable[[], None]) -> None:
        if not self.http.should_exit:
            on_stopping()
            log.write(LogEvent.SERVER_STOPPING, reason=number.name)
        self.http.should_exit = True


class _Reloads:
    """Reloads one at a time. Requests that come meanwhile are one more."""

    def __init__(self, reload: Callable[[], None]) -> None:
        self._reload = reload
        self._task: asyncio.Task[None] | None = None
        self._is_asked = False

    def ask(self) -> None:
        self._is_asked = True
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while self._is_asked:
            self._is_asked = False
            try:
                await asyncio.to_thread(self._reload)
            except Exception:
                log.exception(LogEvent.SETTINGS_NOT_RELOADED)


def _has_hung_up() -> bool:
    """Return whether the terminal that the server was started in is gone."""
    if not _HAS_TERMINAL:
        return False
    try:
        os.tcgetpgrp(0)
    except OSError:
        return True
    return False


def _wired(settings: Settings, stack: ExitStack, connections: ConnectionLimits) -> _Server:
    """Wire a server. What has to be there before, the data folder and the API's socket, ``stack`` gives back."""
    from sekisho._sekisho import Gateway, GatewayError
    from sekisho.admission.rules import Admission
    from sekisho.api.connections import ServerLimits
    from sekisho.endpoints.rules import Endpoints
    from sekisho.gateway.broker import GatewayBroker
    from sekisho.gateway.engine import RustPolicyEngine
    from sekisho.gateway.projector import Projector
    from sekisho.gateway.pump import Pump
    from sekisho.gateway.region_filter import InServedRegions
    from sekisho.gateway.requests import Requests
    from sekisho.gateway.served_identity import ServedIdentity
    from sekisho.handlers.registry import ConfiguredHandlers
    from sekisho.handlers.replaceable import ReplaceableHandlers
    from sekisho.pki.issuing import IssuingAuthority
    from sekisho.provisioning.deliveries.rules import Dispatcher, Enqueuing
    from sekisho.provisioning.fleet import FleetProvisioning
    from sekisho.provisioning.jitp import JustInTimeProvisioning
    from sekisho.provisioning.jitr import JustInTimeRegistration
    from sekisho.provisioning.outbox.rules import Outbox
    from sekisho.provisioning.registration_handlers import RegistrationHandlers
    from sekisho.server import wiring
    from sekisho.server.health import Health
    from sekisho.server.loopback_names import LoopbackNames
    from sekisho.server.maintenance import Maintenance

    data_folder.make(settings.data)
    data_folder.refuse_what_others_can_change(settings)
    stack.enter_context(_locked(settings.data))
    data_folder.tidy(settings)
    api_socket = stack.enter_context(contextlib.closing(listen_for_api(settings)))

    projector = Projector()
    store = new_store(settings, projector.announce)
    home = Realm(settings.account, settings.region)
    regions = settings.known_regions
    gateway = Gateway(
        host=settings.host,
        mqtt_port=settings.mqtt_port,
        workers=settings.workers,
        max_connections=connections.mqtt,
        handshake_timeout=settings.handshake_timeout,
        admission_timeout=settings.admission_timeout,
        verbose_refusals=settings.verbose_refusals,
        tls13_session_tickets=settings.tls13_session_tickets,
        require_sni=settings.require_sni,
        max_message_bytes=settings.max_message_bytes,
        max_retained_bytes=settings.max_retained_bytes,
        max_session_bytes=settings.max_session_bytes,
        max_persistent_sessions=settings.max_persistent_sessions,
        account_share=settings.account_share,
        requests=FleetProvisioning.topics,
    )
    accounts = Accounts(store, clock.utc_now)

    def configured(of: Settings) -> ConfiguredHandlers:
        return ConfiguredHandlers(
            of.handlers,
            api=api_url(settings, api_socket),
            credentials=lambda account_id: next(iter(accounts.access_keys(account_id)), None),
            accounts=accounts,
            clock=clock.utc_now,
            processes=settings.handler_processes,
        )

    handlers = ReplaceableHandlers(configured(settings))
    endpoints = Endpoints(store, home, settings.domain, names=settings.endpoint_names, secret=settings.endpoint_secret)
    foreign = wiring.Foreign(
        clock=clock.utc_now,
        engine=RustPolicyEngine(),
        authority=IssuingAuthority.load_or_create(settings.data / "issuing"),
        broker=GatewayBroker(gateway, regions),
        handlers=handlers,
        buckets=_buckets(settings, accounts),
    )
    services = wiring.build(store, endpoints, foreign)

    outbox = Outbox(store, GatewayBroker(gateway, regions, is_service=True))
    dispatcher = Dispatcher(store, handlers, _lanes(settings), clock.utc_now)
    enqueuing = Enqueuing()
    registration = JustInTimeRegistration(
        Admission(store, require_sni=settings.require_sni),
        store,
        clock.utc_now,
        outbox,
        JustInTimeProvisioning(store, clock.utc_now, foreign.engine, foreign.authority),
        RegistrationHandlers(store, handlers, enqueuing, dispatcher.wake),
    )
    requests = Requests(gateway, [services.fleet_provisioning])
    pump = Pump(
        gateway,
        InServedRegions(registration, regions),
        asked=requests.take,
        connected=services.rotations.connected,
    )
    identity = ServedIdentity(settings, services.endpoints, gateway, clock.utc_now)
    maintenance = Maintenance(
        {
            "forget expired claims": services.provisioning_templates.remove_expired_claims,
            "forget unclaimed certificates": services.fleet_provisioning.remove_expired,
            "renew server certificates": identity.renew,
        }
    )

    def statistics() -> Mapping[str, int]:
        counts = (pump.statistics(), requests.statistics(), handlers.statistics(), enqueuing.statistics())
        return dict(gateway.statistics()) | {name: value for each in counts for name, value in each.items()}

    health = Health(store, settings.data, statistics)
    limits = ServerLimits(
        connections=connections.api, arrival=settings.api_request_timeout, idle=settings.api_idle_timeout
    )

    mqtt_port = 0
    server_name = ""
    dotted_names = LoopbackNames(())

    def prepare_accounts() -> None:
        services.accounts.ensure(settings.account)
        handlers.warn_of_accounts()

    def look_up_names() -> None:
        nonlocal dotted_names, server_name
        endpoint = services.endpoints.describe(home)
        server_name = endpoint.server_name
        # Looked up while the rest starts. They are names of the loopback, and in Sekisho's own certificate alone.
        is_on_loopback = settings.is_loopback or listen_host.is_every_address(settings.host)
        is_named = is_on_loopback and not identity.is_given
        has_dot = "." in server_name
        dotted_names = LoopbackNames([name for name in endpoint.aliases if "." in name and is_named and not has_dot])

    def serve_identity() -> None:
        identity.serve_certificates()
        identity.serve_endpoints()

    def listen() -> None:
        nonlocal mqtt_port
        try:
            mqtt_port = gateway.start()
        except GatewayError as error:
            raise CannotStart(f"MQTT: {error} (--mqtt-port)") from None
        projector.attach(gateway, identity.follow)

    def describe() -> Run:
        return Run(
            pid=os.getpid(),
            api=api_url(settings, api_socket),
            mqtt_host=reachable(settings.host),
            mqtt_port=mqtt_port,
            endpoint=server_name,
            region=settings.region,
            account=settings.account,
            store=store.place,
            root_ca=str(identity.root_file or ""),
            version=__version__,
            dotted_endpoint=next(iter(dotted_names.lead_here()), ""),
        )

    database = HeldDatabase(store, on_taken=partial(os.kill, os.getpid(), signal.SIGTERM))
    parts = (
        # Before the store is opened, which migrates it.
        Part("database", database.start, database.stop),
        Part("store", store.open, store.close),
        Part("handlers", stop=handlers.close),
        Part("accounts", prepare_accounts),
        Part("endpoint names", look_up_names),
        Part("server certificates", serve_identity),
        Part("MQTT listener", listen),
        # What an earlier run registered and did not publish.
        Part("outbox", outbox.flush),
        Part("handler deliveries", dispatcher.start, partial(dispatcher.stop, GRACE)),
        Part("requests of devices", requests.start, requests.stop),
        Part("pump", pump.start, pump.stop),
        # The gateway ends before the pump, which waits for its events and is woken by its end.
        Part("gateway", stop=partial(gateway.stop, GRACE)),
        # What an earlier run has begun goes on, once the gateway is told of what it changes.
        Part("bulk registration", services.bulk_registration.start, services.bulk_registration.stop),
        Part("maintenance", maintenance.start, partial(maintenance.stop, GRACE)),
        Part("health", health.start, partial(health.stop, GRACE)),
    )
    http = _http(settings, services, health, limits, describe)

    def reload_handlers(new: Settings, undo: ExitStack) -> Callable[[], None]:
        made = configured(new)
        undo.callback(made.close)
        made.warn_of_accounts()

        def take_effect() -> None:
            handlers.replace(made)
            dispatcher.replace(_lanes(new))

        return take_effect

    def look_up_names_again() -> None:
        from sekisho.store.errors import StoreError

        with suppress(StoreError):
            look_up_names()

    def reload_identity(new: Settings, undo: ExitStack) -> Callable[[], None]:
        # Taken back in the reverse order: first the names, then what was made of them.
        undo.callback(look_up_names_again)
        take_effect = identity.reload(new, undo)
        look_up_names()
        return take_effect

    def reload_limits(new: Settings, _undo: ExitStack) -> Callable[[], None]:
        def take_effect() -> None:
            http.set_timeouts(new.api_request_timeout, new.api_idle_timeout)
            gateway.set_memory_limits(
                max_message_bytes=new.max_message_bytes,
                max_retained_bytes=new.max_retained_bytes,
                max_session_bytes=new.max_session_bytes,
                max_persistent_sessions=new.max_persistent_sessions,
                account_share=new.account_share,
            )

        return take_effect

    steps = (reload_identity, reload_handlers, reload_limits, _reload_log)
    return _Server(Parts(parts), http, api_socket, describe, steps, database, health)


def _lanes(settings: Settings) -> Mapping[str, Lane]:
    from sekisho.provisioning.deliveries.rules import Lane

    return {name: Lane(each.retries, each.concurrency) for name, each in settings.handlers.items()}


def _reload_log(settings: Settings, undo: ExitStack) -> Callable[[], None]:
    from sekisho.observe import logging

    file = logging.open_file(settings.log_file) if settings.log_file else None
    if file is not None:
        undo.callback(file.close)
    return partial(logging.configure, settings.log_level, file)


def _http(
    settings: Settings, services: Services, health: Health, limits: ServerLimits, describe: Callable[[], Run]
) -> HttpServer:
    from sekisho.api import app as api
    from sekisho.api.http_server import HttpServer
    from sekisho.api.sigv4 import SecretKey

    def credentials(access_key_id: str) -> SecretKey | None:
        key = services.accounts.access_key(access_key_id)
        if key is None:
            return None
        # An access key here is the account's own, as a root key is on AWS.
        root = f"arn:aws:iam::{key.account_id}:root"
        return SecretKey(account_id=key.account_id, arn=root, user_id=key.account_id, secret=key.secret_access_key)

    application = api.build(
        services,
        credentials=credentials,
        clock=clock.utc_now,
        default_realm=Realm(settings.account, settings.region),
        regions=settings.known_regions,
        any_credentials=settings.any_credentials,
        health=health,
        describe=describe,
    )
    server = HttpServer(application, limits, grace=GRACE)
    health.watch(server, application.state.statistics)
    return server


def _buckets(settings: Settings, accounts: Accounts) -> Buckets:
    if settings.s3_endpoint_url:
        from sekisho.buckets.s3 import S3Buckets

        return S3Buckets(settings.s3_endpoint_url, settings.region, settings.s3_buckets, accounts.are_several)
    from sekisho.buckets.folder import FolderBuckets

    buckets = FolderBuckets(settings.bulk_folder or settings.data / "buckets")
    buckets.warn_of_folders_without_account()
    return buckets


@contextmanager
def _locked(data: Path) -> Iterator[None]:
    """One server per data folder. The lock goes with the process, however it ends."""
    try:
        file = os.fdopen(os.open(data / "lock", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600), "w")
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
