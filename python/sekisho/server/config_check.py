"""What ``sekisho up`` would refuse, found without starting: settings, files, rights, ports. Nothing is written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from sekisho import clock
from sekisho.endpoints.rules import LOCALHOST, derived_name, prefix_of
from sekisho.files import WritableByOthers, refuse_writable_by_others
from sekisho.handlers.registry import ConfiguredHandlers
from sekisho.pki import given
from sekisho.realm import Realm
from sekisho.server import data_folder, run_file
from sekisho.server.cannot_start import CannotStart, refusing_clearly
from sekisho.server.descriptors import connection_limits, raise_limit
from sekisho.server.listening import check_mqtt_port, listen_for_api
from sekisho.server.registry_access import new_store
from sekisho.server.run_file import Run
from sekisho.server.settings import ConfigError, Loaded, Settings


def problems(loaded: Loaded) -> Iterator[str]:
    """Yield one line for each reason why a server with these settings would not start.

    The ports of a server that runs on the data folder count as free. The registry is not opened: a database that does
    not answer is not found here.
    """
    yield from loaded.problems
    settings = loaded.settings
    run = run_file.answering(settings.data)
    checks: list[Callable[[], Iterator[str]]] = [
        lambda: _data_folder(settings),
        lambda: _log_file(settings),
        lambda: _refused(lambda: connection_limits(raise_limit(), settings.api_connections, settings.max_connections)),
        lambda: _refused(lambda: new_store(settings, lambda _changes: None)),
        lambda: _certificate(settings, run),
        lambda: _handlers(settings),
        lambda: _ports(settings, run),
    ]
    for check in checks:
        yield from check()


def _refused(step: Callable[[], object]) -> Iterator[str]:
    try:
        with refusing_clearly():
            step()
    except (CannotStart, ConfigError) as error:
        yield str(error)


def _data_folder(settings: Settings) -> Iterator[str]:
    data = settings.data
    existing = next(each for each in (data, *data.parents) if each.exists())
    if not existing.is_dir():
        yield f"the data folder {data} cannot be made: {existing} is not a folder"
    elif existing == data:
        yield from _refused(lambda: data_folder.make(data))
    elif not os.access(existing, os.W_OK | os.X_OK):
        yield f"the data folder {data} cannot be made: {existing} cannot be written to by this user"
    try:
        places = data_folder.trusted_places(settings)
    except OSError as error:
        yield f"{error.filename}: {error.strerror}"
        return
    # A folder that others can change is named once, and not for each file in it.
    found = dict.fromkeys(line for place in places for line in _writable_by_others(place))
    yield from found


def _writable_by_others(place: Path) -> Iterator[str]:
    try:
        refuse_writable_by_others(place)
    except WritableByOthers as refusal:
        yield str(refusal)
    except OSError as error:
        yield f"{error.filename}: {error.strerror}"


def _log_file(settings: Settings) -> Iterator[str]:
    file = settings.log_file
    if file is None:
        return
    if file.is_dir():
        yield f"the log cannot be written to {file}: that is a folder"
    elif not file.parent.is_dir():
        yield f"the log cannot be written to {file}: there is no folder {file.parent}"
    elif not os.access(file if file.exists() else file.parent, os.W_OK):
        yield f"the log cannot be written to {file}: this user may not write there"


def _certificate(settings: Settings, run: Run | None) -> Iterator[str]:
    certificate, key = settings.server_certificate, settings.server_key
    if certificate is None or key is None:
        return
    try:
        loaded = given.load(certificate, key, settings.server_root_ca, now=clock.utc_now())
        loaded.check_names(settings.endpoint_names.values() or _home_name(settings, run))
    except OSError as error:
        yield f"the server certificate cannot be used: {error.filename}: {error.strerror}"
    except ValueError as error:
        yield f"the server certificate cannot be used: {error}"


def _home_name(settings: Settings, run: Run | None) -> list[str]:
    """Return the endpoint's name where no setting names one; nothing if only the registry knows it."""
    if settings.domain == LOCALHOST:
        return [LOCALHOST]
    if settings.endpoint_secret:
        home = Realm(settings.account, settings.region)
        return [derived_name(prefix_of(settings.endpoint_secret, home.account_id), home, settings.domain)]
    return [run.endpoint] if run is not None else []


class _NoAccounts:
    """Handlers ask for accounts when they are called, which this does not do."""

    def exists(self, account_id: str) -> bool:
        del account_id
        return False

    def are_several(self) -> bool:
        return False


def _handlers(settings: Settings) -> Iterator[str]:
    for name, handler in settings.handlers.items():
        try:
            ConfiguredHandlers(
                {name: handler},
                api="",
                credentials=lambda _account_id: None,
                accounts=_NoAccounts(),
                clock=clock.utc_now,
                processes=settings.handler_processes,
            ).close()
        except ConfigError as error:
            yield str(error)


def _ports(settings: Settings, run: Run | None) -> Iterator[str]:
    own = set() if run is None else {urlsplit(run.api).port, run.mqtt_port}
    if settings.api_port not in own:
        yield from _refused(lambda: listen_for_api(settings).close())
    if settings.mqtt_port not in own:
        yield from _refused(lambda: check_mqtt_port(settings))
