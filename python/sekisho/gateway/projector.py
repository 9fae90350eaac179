"""Pushes the registry's changes to the data plane: at once, after the commit, in the thread that committed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sekisho._sekisho import Gateway
from sekisho.change import Change, ChangeKind

if TYPE_CHECKING:
    # Only the type stubs have this name; the built module has no such object.
    from sekisho._sekisho import ChangeDict


class Projector:
    """Converts announced changes to invalidations. Before ``attach`` there is no gateway, and changes are dropped."""

    def __init__(self) -> None:
        self._gateway: Gateway | None = None
        self._endpoints_changed: Callable[[], None] | None = None

    def attach(self, gateway: Gateway, endpoints_changed: Callable[[], None]) -> None:
        """Push changes to this gateway; ``endpoints_changed`` is called when a realm got its endpoint."""
        self._gateway = gateway
        self._endpoints_changed = endpoints_changed

    def announce(self, changes: Sequence[Change]) -> None:
        """Push changes. The store calls it after each commit, in the thread that committed."""
        if self._gateway is None:
            return
        pushed = [_change_dict(change) for change in changes if change.kind is not ChangeKind.ENDPOINT]
        if pushed:
            self._gateway.invalidate(pushed)
        if self._endpoints_changed is not None and any(change.kind is ChangeKind.ENDPOINT for change in changes):
            self._endpoints_changed()


def _change_dict(change: Change) -> ChangeDict:
    return {
        "account_id": change.realm.account_id,
        "region": change.realm.region,
        "kind": change.kind.value,
        "id": change.id,
        "lost": change.lost,
    }
