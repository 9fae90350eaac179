"""Sets up the structured log on standard error: lines for people on a terminal (``observe.terminal``), otherwise JSON.

Logging never raises and never waits for the log's destination (``log_writer``). Lines of libraries, warnings, and
exceptions that end a thread or the program go the same way.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TextIO

import structlog

from sekisho.observe.event_fields import LINE_FIELDS
from sekisho.observe.event_log import log
from sekisho.observe.events import LogEvent
from sekisho.observe.log_writer import FLUSH_TIMEOUT_SECONDS, LogState, LogWriter
from sekisho.observe.terminal import TerminalRenderer

_writer: LogWriter | None = None
_file: TextIO | None = None
"""The file of the log; None: standard error."""
_STANDARD_DESCRIPTORS: Final = 3

_WARNINGS_LOGGER: Final = "py.warnings"
"""The logger of ``logging.captureWarnings``."""


def open_file(path: Path) -> TextIO:
    """Open a file that the log is appended to, readable by its owner and group. Raises OSError."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640), "a")


def configure(level: str, file: TextIO | None = None) -> None:
    """Set up structlog and the standard library's logging for the whole process.

    Called again, it writes what waits to the former destination first, and closes it.

    Args:
        level: As in ``Settings``.
        file: From ``open_file``; None: standard error.
    """
    global _writer, _file
    threshold = logging.getLevelNamesMapping()[level.upper()]
    _fill_standard_descriptors()
    # None where the process was started without standard error.
    stream: TextIO | None = sys.stderr if file is None else file
    is_terminal = stream is not None and stream.isatty()
    renderer: structlog.typing.Processor = (
        TerminalRenderer(has_colours=not os.environ.get("NO_COLOR"))
        if is_terminal
        else structlog.processors.JSONRenderer()
    )
    stamps: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    shown: list[structlog.typing.Processor] = [
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        _ordered,
        renderer,
    ]
    former_writer, former_file = _writer, _file
    _writer, _file = _writer_to(stream, [*stamps, _ordered, renderer]), file
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *stamps, *shown],
        wrapper_class=_never_raising(structlog.make_filtering_bound_logger(threshold)),
        logger_factory=_QueueLogger,
        cache_logger_on_first_use=True,
    )
    # Bound once: to bind it for each line costs as much as the line.
    log.use(structlog.get_logger().bind())
    handler = _StandardHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, _add_code, *stamps],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *shown],
        )
    )
    # Libraries use the standard library's logging: only their warnings and errors are logged.
    logging.basicConfig(level=max(threshold, logging.WARNING), handlers=[handler], force=True)
    logging.captureWarnings(True)
    sys.excepthook = _log_crash
    threading.excepthook = _log_thread_crash
    sys.unraisablehook = _log_unraisable
    if former_writer is not None:
        former_writer.stop()
        # A destination that takes nothing is left open for the thread that waits for it.
        if former_writer.flush() and former_file is not None:
            former_file.close()
    atexit.unregister(flush)
    atexit.register(flush)


def flush(timeout: float = FLUSH_TIMEOUT_SECONDS) -> bool:
    """Wait up to ``timeout`` seconds until every line is written. Returns False where some are not."""
    return _writer is None or _writer.flush(timeout)


def state() -> LogState:
    """Return the state of the log, also where it is not configured."""
    return LogState(0, 0, 0, None, 0.0) if _writer is None else _writer.state


def _ordered(_logger: Any, _method: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Leave out what is None, and put the fields of every line first but for the traceback."""
    named = {name: line[name] for name in LINE_FIELDS if name in line and name != "exception"}
    return named | {name: value for name, value in line.items() if value is not None and name not in named}


def _add_code(_logger: Any, _method: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Add the code of lines that libraries write through the standard library's logging."""
    is_warning = line.get("logger") == _WARNINGS_LOGGER
    line["code"] = (LogEvent.PYTHON_WARNING if is_warning else LogEvent.LIBRARY_MESSAGE).code
    return line


def _put(text: str) -> None:
    if _writer is not None:
        _writer.put(text.encode("utf-8", "backslashreplace") + b"\n")


class _QueueLogger:
    """Takes rendered lines from structlog. It keeps no writer, because loggers outlive a configuration."""

    def __init__(self, *_: object) -> None: ...

    def msg(self, message: str) -> None:
        _put(message)

    log = debug = info = warn = warning = error = critical = fatal = exception = msg


def _never_raising(base: type[Any]) -> type[Any]:
    """Derive a logger class from ``base`` whose methods drop and count a line that cannot be rendered."""

    class Logger(base):  # type: ignore[misc]
        def _proxy_to_logger(self, method_name: str, event: str | None = None, **event_kw: Any) -> Any:
            try:
                return super()._proxy_to_logger(method_name, event, **event_kw)
            except Exception:  # noqa: BLE001 - a value that cannot be rendered must not fail the caller
                if _writer is not None:
                    _writer.drop()

    return Logger


class _StandardHandler(logging.Handler):
    """Puts the standard library's log records into the same queue."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            _put(self.format(record))
        except Exception:  # noqa: BLE001 - as above
            if _writer is not None:
                _writer.drop()


def _writer_to(stream: TextIO | None, gap: list[structlog.typing.Processor]) -> LogWriter:
    def describe_gap(count: int) -> bytes:
        event = LogEvent.LOG_LINES_DROPPED
        line: Any = {"event": event.sentence, "code": event.code, "count": count}
        for processor in gap:
            line = processor(None, logging.getLevelName(event.level).lower(), line)
        return str(line).encode() + b"\n"

    if stream is None:
        return LogWriter(len, describe_gap)
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):
        # A stream of a test.
        def write(data: bytes | memoryview) -> int:
            stream.write(bytes(data).decode())
            return len(data)

        return LogWriter(write, describe_gap)
    return LogWriter(lambda data: os.write(descriptor, data), describe_gap, descriptor)


def _fill_standard_descriptors() -> None:
    """Open the null device for a closed standard descriptor, which the next opened file would otherwise get."""
    for descriptor in range(_STANDARD_DESCRIPTORS):
        try:
            os.fstat(descriptor)
        except OSError:
            with suppress(OSError):
                os.open(os.devnull, os.O_RDWR)


def _log_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    log.write(LogEvent.SERVER_FAILED, exc_info=(kind, error, trace))
    flush()


def _log_thread_crash(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_value is None or isinstance(arguments.exc_value, SystemExit):
        return
    name = None if arguments.thread is None else arguments.thread.name
    exc_info = (arguments.exc_type, arguments.exc_value, arguments.exc_traceback)
    log.write(LogEvent.THREAD_FAILED, thread=name, exc_info=exc_info)


def _log_unraisable(arguments: Any) -> None:
    log.write(
        LogEvent.EXCEPTION_IGNORED,
        where=repr(arguments.object)[:200],
        exc_info=(arguments.exc_type, arguments.exc_value, arguments.exc_traceback),
    )
