"""Reads the settings of a running server again: on SIGHUP, and for ``sekisho reload``.

A reload is made or it changes nothing. Everything that can fail is done first: the settings are read, the handlers are
loaded, the certificate is checked. Connections and sessions go on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, fields, replace
from typing import Final, TypeAlias

from sekisho.observe.event_log import log
from sekisho.observe.events import LogEvent
from sekisho.server.settings import ConfigError, Settings

RELOADED: Final = frozenset(
    {
        "account_share",
        "api_idle_timeout",
        "api_request_timeout",
        "endpoint",
        "endpoints",
        "handlers",
        "log_file",
        "log_level",
        "max_message_bytes",
        "max_persistent_sessions",
        "max_retained_bytes",
        "max_session_bytes",
        "server_certificate",
        "server_key",
        "server_root_ca",
    }
)
"""Settings that a running server takes. Files that they name are read again even where the setting is the same."""


Step: TypeAlias = Callable[[Settings, ExitStack], Callable[[], None]]
"""Has a part of the server do what can fail with new settings, and returns what then takes effect and raises nothing.

What it did is taken back by the callbacks that it pushes on the stack, if a later step fails. It raises OSError,
ValueError, ConfigError, GatewayError or StoreError where the part cannot use the settings.
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a reload did."""

    number: int
    """Counts the reloads since the start, from 1."""
    error: str = ""
    """Why it changed nothing; empty where it was made."""
    changed: Sequence[str] = field(default=())
    """Settings that have another value now."""
    needs_restart: Sequence[str] = field(default=())
    """Settings that differ and that only a start takes."""


class Reload:
    """Takes the settings again. One call at a time does so.

    Args:
        settings: Those of the start.
        load: Reads them from the sources of the start. Raises ConfigError.
        steps: In this order.
        failures: What a step raises beside OSError, ValueError and ConfigError.
    """

    def __init__(
        self,
        settings: Settings,
        load: Callable[[], Settings],
        steps: Sequence[Step],
        failures: Sequence[type[Exception]],
    ) -> None:
        self._settings = settings
        self._load = load
        self._steps = steps
        self._failures: tuple[type[Exception], ...] = (OSError, ValueError, ConfigError, *failures)
        self._lock = threading.Lock()
        self._number = 0

    def __call__(self) -> Outcome:
        """Read the settings and take them. Raises nothing that a file or a setting can cause."""
        with self._lock:
            self._number += 1
            try:
                outcome = self._take(self._load())
            except self._failures as error:
                log.write(LogEvent.SETTINGS_NOT_RELOADED, reason=str(error))
                return Outcome(self._number, error=str(error))
            log.write(
                LogEvent.SETTINGS_RELOADED,
                settings=list(outcome.changed),
                settings_for_restart=list(outcome.needs_restart) or None,
            )
            return outcome

    def _take(self, loaded: Settings) -> Outcome:
        differing = [
            each.name for each in fields(Settings) if getattr(loaded, each.name) != getattr(self._settings, each.name)
        ]
        changed = [name for name in differing if name in RELOADED]
        new = replace(self._settings, **{name: getattr(loaded, name) for name in changed})
        with ExitStack() as undo:
            effects = [step(new, undo) for step in self._steps]
            undo.pop_all()
        for effect in effects:
            effect()
        self._settings = new
        for_restart = [name for name in differing if name not in RELOADED]
        return Outcome(self._number, changed=changed, needs_restart=for_restart)
