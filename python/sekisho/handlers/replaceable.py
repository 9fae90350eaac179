"""The handlers in use, which a reload of the settings replaces while calls run."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sekisho.handlers.registry import ConfiguredHandlers
from sekisho.realm import Realm


class ReplaceableHandlers:
    """Passes each call to the handlers in use (``provisioning.handlers.Handlers``).

    Handlers that were replaced are closed when their last call has ended.
    """

    def __init__(self, handlers: ConfiguredHandlers) -> None:
        self._lock = threading.Lock()
        self._current = _Generation(handlers)
        self._replaced: set[_Generation] = set()

    def invoke(
        self,
        realm: Realm,
        function: str,
        event: Mapping[str, Any],
        *,
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> Any:
        """As ``ConfiguredHandlers.invoke``."""
        with self._in_use() as handlers:
            return handlers.invoke(realm, function, event, timeout=timeout, request_id=request_id)

    def for_certificate_registered(self, realm: Realm, ca_certificate_id: str) -> Sequence[str]:
        """As ``ConfiguredHandlers.for_certificate_registered``."""
        with self._in_use() as handlers:
            return handlers.for_certificate_registered(realm, ca_certificate_id)

    def statistics(self) -> Mapping[str, int]:
        """As ``ConfiguredHandlers.statistics``, of the handlers in use: the counters begin again with a reload."""
        with self._in_use() as handlers:
            return handlers.statistics()

    def warn_of_accounts(self) -> None:
        """As ``ConfiguredHandlers.warn_of_accounts``."""
        with self._in_use() as handlers:
            handlers.warn_of_accounts()

    def replace(self, handlers: ConfiguredHandlers) -> None:
        """Pass later calls to ``handlers``. Calls that run are not affected."""
        with self._lock:
            former, self._current = self._current, _Generation(handlers)
            if former.calls:
                self._replaced.add(former)
                return
        former.handlers.close()

    def close(self) -> None:
        """Close the handlers in use and those that were replaced; running calls fail."""
        with self._lock:
            generations = [self._current, *self._replaced]
            self._replaced.clear()
        for generation in generations:
            generation.handlers.close()

    @contextmanager
    def _in_use(self) -> Iterator[ConfiguredHandlers]:
        with self._lock:
            generation = self._current
            generation.calls += 1
        try:
            yield generation.handlers
        finally:
            with self._lock:
                generation.calls -= 1
                is_over = generation in self._replaced and not generation.calls
                if is_over:
                    self._replaced.discard(generation)
            if is_over:
                generation.handlers.close()


class _Generation:
    """Handlers, and how many calls of them run."""

    __slots__ = ("calls", "handlers")

    def __init__(self, handlers: ConfiguredHandlers) -> None:
        self.handlers = handlers
        self.calls = 0
