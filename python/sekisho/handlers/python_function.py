"""Python functions of the operator's own, ``f(event, context)`` as in AWS Lambda, in processes of their own.

In a process of its own a function can be ended when its time is over, cannot take the server's interpreter lock nor end
the server, and has an environment in which ``boto3.client("iot")`` speaks to this server for the account in question.
Of the server's own environment, in which there may be passwords, it has what is named and little else (``INHERITED``).
Each account and region has processes of its own, since each has its own access key. They are started when first needed,
stay for the next call, and end after ``IDLE`` seconds without one.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import IO, Any, Final
from urllib.parse import urlsplit

import structlog

from sekisho.config import ConfigError
from sekisho.handler_settings import HandlerSettings, PythonFunction
from sekisho.handlers.call import MAX_RESULT, Call
from sekisho.provisioning.handlers import HandlerFailed
from sekisho.realm import Realm
from sekisho.registry.model import AccessKey

log = structlog.get_logger(__name__)

LOADING: Final = 10.0
"""Seconds in which the module must be imported, as in AWS Lambda; they do not count as the call's."""

IDLE: Final = 300.0
"""Seconds after which a process that was not called ends."""

MAX_LINE: Final = 8192
"""Bytes of a printed line that are logged."""

INHERITED: Final = re.compile(
    r"PATH|HOME|LANG|LANGUAGE|LC_[A-Z]+|TZ|TMPDIR"
    # Without these the interpreter may not find itself.
    r"|PYTHONPATH|PYTHONHOME|LD_LIBRARY_PATH"
)
"""Names of the server's environment variables that every function gets. Others may be secrets."""


class PythonFunctions:
    """One handler that is a Python function.

    Args:
        api: URL of this server's API.
        credentials: An access key of an account, or None where it has none.
    """

    def __init__(
        self,
        settings: HandlerSettings,
        target: PythonFunction,
        *,
        api: str,
        credentials: Callable[[str], AccessKey | None],
        idle: float = IDLE,
        loading: float = LOADING,
    ) -> None:
        if not target.path.is_dir():
            raise ConfigError(f"{settings.source}: path {target.path} is not a folder")
        self._name = settings.name
        self._target = target
        self._own_environment = _own_environment(settings, target)
        self._api = api
        self._api_host = urlsplit(api).hostname
        self._credentials = credentials
        self._idle = idle
        self._loading = loading
        self._lock = threading.Lock()
        self._pools: dict[Realm, _Pool] = {}
        self._ending = threading.Event()
        self._reaper: threading.Thread | None = None

    def invoke(self, call: Call) -> Any:
        """What the function returns. Raises HandlerFailed: it raised, took too long, or ended its process."""
        pool = self._pool(call.realm)
        worker = pool.take(call.timeout)
        is_usable = False
        try:
            if worker is None:
                worker = pool.start()
            answer = worker.call(call, self._arn(call.realm))
            is_usable = True
        finally:
            pool.give_back(worker, is_usable=is_usable)
        error = answer.get("error")
        if error is None:
            return answer.get("result")
        log.warning(
            "a handler raised",
            handler=self._name,
            account_id=call.realm.account_id,
            region=call.realm.region,
            error=error["type"],
            message=error["message"],
            trace=error["trace"],
        )
        raise HandlerFailed(
            f"handler {self._name!r} ({self._target.module}:{self._target.function}) raised {_in_one_line(error)}",
            trace=error["trace"],
        )

    def close(self) -> None:
        """End every process; calls under way fail."""
        self._ending.set()
        with self._lock:
            pools = list(self._pools.values())
        for pool in pools:
            pool.close()
        if self._reaper is not None:
            self._reaper.join(5)

    def _pool(self, realm: Realm) -> _Pool:
        with self._lock:
            if self._ending.is_set():
                raise HandlerFailed(f"handler {self._name!r} is not called any more: the server is stopping")
            if self._reaper is None:
                self._reaper = threading.Thread(target=self._reap, name=f"handler-{self._name}-idle", daemon=True)
                self._reaper.start()
            if realm not in self._pools:
                self._pools[realm] = _Pool(self._name, self._target.workers, lambda: self._start(realm))
            return self._pools[realm]

    def _reap(self) -> None:
        while not self._ending.wait(self._idle / 4):
            with self._lock:
                pools = list(self._pools.values())
            for pool in pools:
                pool.end_idle(self._idle)

    def _start(self, realm: Realm) -> _Worker:
        key = self._credentials(realm.account_id)
        if key is None:
            raise HandlerFailed(
                f"handler {self._name!r}: account {realm.account_id} has no access key to act with: "
                "'sekisho account list' shows those there are"
            )
        return _Worker(self._name, realm, self._target, self._environment(realm, key), self._loading)

    def _environment(self, realm: Realm, key: AccessKey) -> Mapping[str, str]:
        # A proxy of the environment knows no loopback of ours.
        unproxied = ",".join(filter(None, (os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), self._api_host)))
        return self._own_environment | {
            "no_proxy": unproxied,
            "NO_PROXY": unproxied,
            "AWS_ENDPOINT_URL": self._api,
            "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false",
            "AWS_REGION": realm.region,
            "AWS_DEFAULT_REGION": realm.region,
            "AWS_ACCESS_KEY_ID": key.access_key_id,
            "AWS_SECRET_ACCESS_KEY": key.secret_access_key,
            "AWS_LAMBDA_FUNCTION_NAME": self._name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            # Lambda's default; nothing is limited.
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{self._name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": f"{realm}/[$LATEST]",
            "LAMBDA_TASK_ROOT": str(self._target.path),
            "_HANDLER": f"{self._target.module}.{self._target.function}",
        }

    def _arn(self, realm: Realm) -> str:
        return f"arn:aws:lambda:{realm.region}:{realm.account_id}:function:{self._name}"


def _own_environment(settings: HandlerSettings, target: PythonFunction) -> dict[str, str]:
    """Return what is the same in all processes of a handler. Raises ConfigError: a variable is not set."""
    named = {name: os.environ.get(name) for name in target.environment}
    if missing := [name for name, value in named.items() if value is None]:
        raise ConfigError(
            f"{settings.source}: environment names {', '.join(missing)}, which the server's environment does not have: "
            "set it before the start, or leave it out"
        )
    inherited = {name: value for name, value in os.environ.items() if INHERITED.fullmatch(name)}
    return inherited | {name: value for name, value in named.items() if value is not None} | dict(target.variables)


class _Pool:
    """The processes of one handler for one realm."""

    def __init__(self, name: str, most: int, start: Callable[[], _Worker]) -> None:
        self._name = name
        self._start = start
        self._free = threading.Semaphore(most)
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._busy: set[_Worker] = set()
        self._is_closed = False

    def take(self, patience: float) -> _Worker | None:
        """A process that waits, or None: one may be started. Whoever takes gives back. Raises HandlerFailed."""
        if not self._free.acquire(timeout=patience):
            raise HandlerFailed(
                f"handler {self._name!r} is busy: none of its processes was free within {patience:g} s; "
                "give it more workers"
            )
        with self._lock:
            while self._idle:
                worker = self._idle.pop()
                if worker.is_alive:
                    self._busy.add(worker)
                    return worker
                worker.end()
        return None

    def start(self) -> _Worker:
        """Start one. Raises HandlerFailed."""
        worker = self._start()
        with self._lock:
            # Closed meanwhile: the call fails, as all those under way do.
            if self._is_closed:
                worker.kill()
            self._busy.add(worker)
        return worker

    def give_back(self, worker: _Worker | None, *, is_usable: bool) -> None:
        """For the next call, or to be ended."""
        with self._lock:
            if worker is not None:
                self._busy.discard(worker)
            keep = worker is not None and is_usable and not self._is_closed
            if worker is not None and keep:
                self._idle.append(worker)
        if worker is not None and not keep:
            worker.end()
        self._free.release()

    def end_idle(self, seconds: float) -> None:
        """End those that were not called for so long."""
        with self._lock:
            old = [worker for worker in self._idle if worker.idle_for > seconds]
            self._idle = [worker for worker in self._idle if worker not in old]
        for worker in old:
            worker.end()

    def close(self) -> None:
        """End all, those that are busy too."""
        with self._lock:
            self._is_closed = True
            idle, busy = self._idle, list(self._busy)
            self._idle = []
        for worker in idle:
            worker.end()
        for worker in busy:
            # Whoever calls it sees it end, and gives it back.
            worker.kill()


class _Worker:
    """One process. It is called by one thread at a time; ``kill`` may come from any."""

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
            self._process = subprocess.Popen(  # noqa: S603 - the operator names what runs
                # -P: the folder in which it runs must not have the say about this program's own imports.
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
                # Ctrl-C is for the server, which ends its workers when it has finished with them.
                start_new_session=True,
            )
        except OSError as error:
            raise HandlerFailed(f"handler {name!r}: its process cannot be started: {error.strerror}") from None
        for pipe in (self._stdin, self._stdout):
            os.set_blocking(pipe.fileno(), False)
        self._log = threading.Thread(target=self._log_lines, name=f"handler-{name}-log", daemon=True)
        self._log.start()

    @property
    def is_alive(self) -> bool:
        """Whether its process runs."""
        return self._process.poll() is None

    @property
    def idle_for(self) -> float:
        """Seconds since its last call."""
        return time.monotonic() - self._last_used

    def call(self, call: Call, arn: str) -> Mapping[str, Any]:
        """Its answer. Raises HandlerFailed, after which the process is of no more use."""
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
        """End the process and all that it started; a call under way fails."""
        # Not once it was waited for: then its number may be another's.
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def end(self) -> None:
        """The same, when nobody calls it."""
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
            log.warning("a handler cannot be loaded", handler=self._name, error=error["type"], trace=error["trace"])
            raise HandlerFailed(f"handler {self._name!r} cannot be loaded: {_in_one_line(error)}", trace=error["trace"])
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
            if len(self._received) > MAX_RESULT:
                raise HandlerFailed(f"handler {self._name!r} answered with more than {MAX_RESULT} bytes")
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
        """What the function prints, a line of the log each."""
        with _there(self._process.stderr) as pipe, os.fdopen(pipe.fileno(), "rb", closefd=False) as reader:
            while line := reader.readline(MAX_LINE):
                text = line.decode(errors="replace").rstrip("\r\n")
                if text:
                    log.info(
                        "a handler says",
                        handler=self._name,
                        account_id=self._realm.account_id,
                        region=self._realm.region,
                        line=text,
                    )


def _in_one_line(error: Mapping[str, str]) -> str:
    return " ".join(f"{error['type']}: {error['message']}".split())


def _there(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None  # noqa: S101 - it was asked for
    return pipe
