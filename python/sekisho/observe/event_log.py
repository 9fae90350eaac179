"""The one way to write a log line: by the event's member, never by a sentence.

Fields are those that the event declares; tests hold every call to that. A field that is None is left out of the line.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Final

from sekisho.observe.events import LogEvent


class EventLog:
    """Writes events to the log that ``observe.logging`` has set up, and before that by structlog's defaults."""

    def __init__(self) -> None:
        self._logger: Any = None

    def use(self, logger: Any) -> None:
        """Write by a bound logger of structlog from now on; None: by the one of structlog's configuration."""
        self._logger = logger

    def write(self, event: LogEvent, **fields: object) -> None:
        """Write a line about an event. Raises nothing once the log is configured (``observe.logging``)."""
        (self._logger or _structlog().get_logger()).log(event.level, event.sentence, code=event.code, **fields)

    def exception(self, event: LogEvent, **fields: object) -> None:
        """As ``write``, with the traceback of the exception that is being handled."""
        self.write(event, exc_info=True, **fields)

    def fields(self, **fields: object) -> AbstractContextManager[None]:
        """Return a context manager that adds fields to every line of its block, in the present thread."""
        block: AbstractContextManager[None] = _structlog().contextvars.bound_contextvars(**fields)
        return block


log: Final = EventLog()


def _structlog() -> Any:
    # Not with the module: commands that log nothing import what could log.
    import structlog

    return structlog
