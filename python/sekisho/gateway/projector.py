"""What the registry changes, the data plane learns: at once, after the commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sekisho._sekisho import Gateway
from sekisho.registry.ports import Change, ChangeKind


class Projector:
    """Turns announced changes into invalidations. Before ``attach`` there is no gate to tell, and nothing to forget."""

    def __init__(self) -> None:
        self._gateway: Gateway | None = None
        self._endpoints_changed: Callable[[], None] | None = None

    def attach(self, gateway: Gateway, endpoints_changed: Callable[[], None]) -> None:
        """Tell this gateway from now on; ``endpoints_changed`` is called when a realm got its endpoint."""
        self._gateway = gateway
        self._endpoints_changed = endpoints_changed

    def announce(self, changes: Sequence[Change]) -> None:
        """Called by the store after each commit, in the thread that committed."""
        if self._gateway is None:
            return
        stale = [
            (change.realm.account_id, change.realm.region, change.kind.value, change.id)
            for change in changes
            if change.kind is not ChangeKind.ENDPOINT
        ]
        if stale:
            self._gateway.invalidate(stale)
        if self._endpoints_changed is not None and any(change.kind is ChangeKind.ENDPOINT for change in changes):
            self._endpoints_changed()
