"""Starts, calls and ends a process in which a Python function runs (``worker``)."""

from __future__ import annotations

import contextlib
import io
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import IO, Any, Final, cast

from sekisho.handlers.call import MAX_RESULT_BYTES, Call
from sekisho.observe.event_log import log
from sekisho.observe.events import LogEvent
from sekisho.observe.threads import SupervisedThread
from sekisho.provisioning.handlers import HandlerFailed
from sekisho.realm import Realm
from sekisho.server.handler_settings import PythonFunction

MAX_LINE_BYTES: Final = 8192
"""Bytes of a printed line that are logged; the rest is dropped."""


class Process:
    """A process of one handler for one realm. One thread at a time calls it; any thread may call ``kill``."""

    def __init__(
        self, name: str, realm: Realm, target: PythonFunction, environment: Mapping[str, str], loading: float
    ) -> None:
        self._name = name
        self._realm = realm
        self._loading = loading
        self._is_loaded = False
        self._last_used = time.monotonic()
        self._received = bytearray()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the operator configures the command
                # -P: the working folder must not shadow this program's own imports.
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "sekisho.handlers.worker",
                    f"{target.module}:{target.function}",
                    str(target.path),
                ],
                cwd=target.path,
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                # Ctrl-C is for the server, which ends its workers itself.
                start_new_session=True,
            )
        except OSError as error:
            raise HandlerFailed(f"handler {name!r}: its process cannot be started: {error.strerror}") from None
        for pipe in (self._stdin, self._stdout):
            os.set_blocking(pipe.fileno(), False)
        self._printed = io.BufferedReader(cast(io.FileIO, _there(self._process.stderr)))
        SupervisedThread(self._log_lines, f"handler-{name}-log").start()

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    @property
    def idle_for(self) -> float:
        """Seconds since its last call."""
        return time.monotonic() - self._last_used

    def call(self, call: Call, arn: str) -> Mapping[str, Any]:
        """Call the function, and return its answer. After HandlerFailed the process cannot be used again."""
        if not self._is_loaded:
            self._load()
        deadline = time.monotonic() + call.timeout
        message = {"id": call.request_id, "event": call.event, "arn": arn, "timeout": call.timeout}
        too_long = f"handler {self._name!r} did not answer within {call.timeout:g} s and was ended"
        self._send(json.dumps(message).encode() + b"\n", deadline, too_long)
        answer = self._receive(deadline, too_long)
        self._last_used = time.monotonic()
        return answer

    def kill(self) -> None:
        """Kill the process and its children; a running call fails."""
        # Not after it was waited for: then another process may have its number.
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def end(self) -> None:
        """End the process, while no call runs."""
        self.kill()
        for pipe in (self._stdin, self._stdout):
            pipe.close()

    def _load(self) -> None:
        deadline = time.monotonic() + self._loading
        answer = self._receive(
            deadline, f"handler {self._name!r}: its module was not imported within {self._loading:g} s"
        )
        error = answer.get("error")
        if error is not None:
            log.write(
                LogEvent.HANDLER_NOT_LOADED,
                handler=self._name,
                account_id=self._realm.account_id,
                region=self._realm.region,
                error_type=error["type"],
                stack_trace=error["trace"],
            )
            raise HandlerFailed(f"handler {self._name!r} cannot be loaded: {in_one_line(error)}", trace=error["trace"])
        self._is_loaded = True

    @property
    def _stdin(self) -> IO[bytes]:
        return _there(self._process.stdin)

    @property
    def _stdout(self) -> IO[bytes]:
        return _there(self._process.stdout)

    def _send(self, data: bytes, deadline: float, too_long: str) -> None:
        rest = memoryview(data)
        while rest:
            self._wait(self._stdin, selectors.EVENT_WRITE, deadline, too_long)
            try:
                rest = rest[os.write(self._stdin.fileno(), rest) :]
            except BlockingIOError:
                continue
            except OSError:
                raise self._ended() from None

    def _receive(self, deadline: float, too_long: str) -> Mapping[str, Any]:
        while True:
            line, newline, rest = self._received.partition(b"\n")
            if newline:
                self._received = rest
                answer: Mapping[str, Any] = json.loads(line)
                return answer
            if len(self._received) > MAX_RESULT_BYTES:
                raise HandlerFailed(f"handler {self._name!r} answered with more than {MAX_RESULT_BYTES} bytes")
            self._wait(self._stdout, selectors.EVENT_READ, deadline, too_long)
            try:
                more = os.read(self._stdout.fileno(), 1 << 16)
            except BlockingIOError:
                continue
            if not more:
                raise self._ended()
            self._received += more

    def _wait(self, pipe: IO[bytes], event: int, deadline: float, too_long: str) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, event)
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise HandlerFailed(too_long)

    def _ended(self) -> HandlerFailed:
        try:
            code = self._process.wait(5)
        except subprocess.TimeoutExpired:
            return HandlerFailed(f"handler {self._name!r} closed its pipes, which are the server's")
        how = f"by signal {-code} ({signal.strsignal(-code)})" if code < 0 else f"with exit code {code}"
        return HandlerFailed(f"handler {self._name!r}: its process ended {how}")

    def _log_lines(self) -> None:
        """Log each line that the function prints."""
        while line := self._printed.readline(MAX_LINE_BYTES):
            text = line.decode(errors="replace").rstrip("\r\n")
            if text:
                log.write(
                    LogEvent.HANDLER_PRINTED,
                    handler=self._name,
                    account_id=self._realm.account_id,
                    region=self._realm.region,
                    text=text,
                )
        # Only at the end of the pipe: after an unexpected error the thread continues to read.
        self._printed.close()


def in_one_line(error: Mapping[str, str]) -> str:
    """Return the exception that a process reported, in one line for a message."""
    return " ".join(f"{error['type']}: {error['message']}".split())


def _there(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None  # noqa: S101 - it was asked for
    return pipe
