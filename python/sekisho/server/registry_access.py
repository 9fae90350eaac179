"""Opens a server's registry for a command, beside the running server or without one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sekisho import clock
from sekisho.accounts.rules import Accounts
from sekisho.change import Change
from sekisho.server import data_folder, run_file
from sekisho.server.cannot_start import CannotStart, refusing_clearly
from sekisho.server.settings import Settings
from sekisho.store.engines import sqlite_url
from sekisho.store.store import Store

if TYPE_CHECKING:
    from sekisho.provisioning.deliveries.rules import Deliveries


@contextmanager
def open_accounts(settings: Settings) -> Iterator[Accounts]:
    """The accounts of a server's registry, beside the running server or without one.

    Raises CannotStart, within the block too: the registry cannot be used, or is not that of the running server.
    """
    with _open_store(settings) as store:
        yield Accounts(store, clock.utc_now)


@contextmanager
def open_deliveries(settings: Settings) -> Iterator[Deliveries]:
    """What waits for a server's handlers, as ``open_accounts``. Raises CannotStart."""
    from sekisho.provisioning.deliveries.rules import Deliveries

    with _open_store(settings) as store:
        yield Deliveries(store, clock.utc_now)


@contextmanager
def _open_store(settings: Settings) -> Iterator[Store]:
    run = run_file.answering(settings.data)
    with refusing_clearly():
        data_folder.make(settings.data)
        store = new_store(settings, announce=lambda _changes: None)
        if run is not None and run.store != store.place:
            raise CannotStart(
                f"the running server keeps its registry in {run.store}, and the settings here say {store.place}: set "
                f"SEKISHO_DATABASE_URL to the server's, or write database_url into {settings.data / 'sekisho.toml'}"
            )
        with store:
            yield store


def new_store(settings: Settings, announce: Callable[[Sequence[Change]], None]) -> Store:
    """Not opened yet. Raises StoreError where the URL is unusable."""
    return Store(settings.database_url or sqlite_url(settings.sqlite_file), announce)
