"""The parts of a server: started in order, stopped in reverse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self


def _nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part. ``start`` and ``stop`` return when it has started, and when it has ended."""

    name: str
    start: Callable[[], object] = _nothing
    stop: Callable[[], object] = _nothing


class Parts:
    """Starts parts in order. Those that were started are stopped in reverse, also where a later one does not start.

    What a ``start`` raises leaves the ``with`` statement. A ``stop`` that raises does not keep others from stopping.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts
        self._started = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as started:
            for part in self._parts:
                part.start()
                started.callback(part.stop)
            self._started = started.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._started.__exit__(kind, error, trace)
