"""Runs bulk registrations: each task has a thread that provisions the lines of its input, in batches.

A step is one write transaction with the devices of some lines, their reports and the task's progress. So if the server
is killed, each line is still provisioned once, and the next server continues after the last step. A line that fails
undoes nothing of the other lines of its step.

Steps are short, and there is a pause between any two steps of all tasks, in which other writers get the lock: the tasks
of a hundred accounts together use the store no more than one task.

Source: Developer Guide, bulk-provisioning. AWS documents the form of a report's line only in its sample programs
(aws-samples, aws-iot-device-management-workshop): ``response`` with ``ResourceArns`` and ``CertificatePem``.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, NoReturn, Protocol

from sekisho.clock import Clock
from sekisho.errors import AwsException
from sekisho.observe.event_log import log
from sekisho.observe.events import LogEvent
from sekisho.observe.threads import SupervisedThread, record_failure
from sekisho.provisioning.bulk import input as bulk_input
from sekisho.provisioning.bulk.input import BadLine, Buckets, Input, InputError, InputUnavailable, Line
from sekisho.provisioning.bulk.model import RegistrationTask, RegistrationTaskStatus, ReportType
from sekisho.provisioning.bulk.store import RegistrationTaskRows
from sekisho.provisioning.provisioner import Provisioned, ProvisioningError, ResourceConflict
from sekisho.realm import Realm
from sekisho.store.errors import StoreError
from sekisho.store.store import Store
from sekisho.store.transaction import Transaction
from sekisho.templates.error import TemplateError
from sekisho.templates.resources import Resources
from sekisho.templates.template import Template, parse

LINES_PER_REPORT: Final = 1000
"""Lines of one report file."""

MAX_LINES_PER_STEP: Final = 64
"""The maximum of lines of a step, and of lines that are read ahead."""

READ_AHEAD_BYTES: Final = 1024 * 1024
"""Bytes of lines that are read ahead, up to one line more."""

STEP_SECONDS: Final = 0.05
"""Seconds after which a step provisions no further line."""

PAUSE_SECONDS: Final = 0.01
"""Seconds between any two steps of all tasks."""

RETRY_DELAYS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Seconds before each retry of an input that is unavailable; after the last one the task fails. An error of the store
is retried without end.
"""

MAX_MESSAGE: Final = 2048
"""Characters of a task's message (the ``iot`` model's ErrorMessage)."""


class Provision(Protocol):
    """Provisions a device within a transaction. Raises ProvisioningError, or OSError (``provisioner.provision``)."""

    def __call__(self, tx: Transaction, realm: Realm, now: datetime, resources: Resources) -> Provisioned: ...


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Why a line was not provisioned."""

    code: str
    message: str
    template_line: int | None = None


@dataclass(frozen=True, slots=True)
class _Ready:
    """A line, and the resources to provision for it; None for an empty line."""

    line: Line
    wanted: Resources | _Refusal | None


class _Ended(Exception):
    """The task has ended, or another server runs it."""


class BulkRegistration:
    """Runs the tasks of all accounts. Call ``start`` and ``stop`` once each."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        buckets: Buckets,
        provision: Provision,
        *,
        retry_delays: tuple[float, ...] = RETRY_DELAYS,
        step_seconds: float = STEP_SECONDS,
    ) -> None:
        self._store = store
        self._clock = clock
        self._buckets = buckets
        self._provision = provision
        self._retry_delays = retry_delays
        self._step_seconds = step_seconds
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._threads: dict[tuple[Realm, str], SupervisedThread] = {}
        self._turns = _Turns()

    def start(self) -> None:
        """Continue the tasks that an earlier server did not finish. Raises StoreError."""
        with self._store.read() as tx:
            unfinished = RegistrationTaskRows(tx).unfinished()
        for task in unfinished:
            self.begin(task.realm, task.task_id)

    def begin(self, realm: Realm, task_id: str) -> None:
        """Start a thread that runs a task of the store, unless one runs it."""
        key = (realm, task_id)
        with self._lock:
            if key in self._threads or self._stopping.is_set():
                return
            name = f"registration-task-{task_id}"
            thread = SupervisedThread(lambda: self._run(*key), name)
            thread.start()
            self._threads[key] = thread

    def stop(self, timeout: float = 5.0) -> None:
        """Begin no further step, and wait at most ``timeout`` seconds for those that run."""
        with self._lock:
            self._stopping.set()
            threads = list(self._threads.values())
        deadline = time.monotonic() + timeout
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self, realm: Realm, task_id: str) -> None:
        with (
            log.fields(task_id=task_id, account_id=realm.account_id, region=realm.region),
            suppress(_Ended),
        ):
            self._persist(realm, task_id)
        # Not in a finally: after an unexpected error the supervised thread calls this method again.
        with self._lock:
            del self._threads[realm, task_id]

    def _persist(self, realm: Realm, task_id: str) -> None:
        """Run a task, with retries, until it has ended or the server stops."""
        delays = _RetryDelays(self._retry_delays)
        failed: str | None = None
        while not self._stopping.is_set():
            try:
                if failed is not None:
                    self._end(realm, task_id, RegistrationTaskStatus.FAILED, failed)
                self._run_steps(self._current(realm, task_id), delays)
            except _Ended:
                raise
            except (StoreError, OSError) as failure:
                log.write(LogEvent.BULK_REGISTRATION_WAITS_FOR_STORE, reason=str(failure))
                self._wait(realm, task_id, delays.next() or self._retry_delays[-1])
            except InputUnavailable as unavailable:
                seconds = delays.next()
                if seconds is None:
                    failed = str(unavailable)
                else:
                    log.write(LogEvent.BULK_REGISTRATION_WAITS_FOR_INPUT, reason=str(unavailable))
                    self._wait(realm, task_id, seconds)
            except InputError as error:
                failed = str(error)
            except Exception as error:
                record_failure(error)
                log.exception(LogEvent.BULK_REGISTRATION_FAILED)
                failed = "The task failed because of an internal error. The server's log says why."

    def _wait(self, realm: Realm, task_id: str, seconds: float) -> None:
        """Wait, at most until the server stops or the task is cancelled."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and not self._stopping.wait(min(left, 0.5)):
            with suppress(StoreError):
                if self._current(realm, task_id).status is RegistrationTaskStatus.CANCELLING:
                    return

    def _current(self, realm: Realm, task_id: str) -> RegistrationTask:
        """Read the task. Raises _Ended where it has ended."""
        with self._store.read() as tx:
            return _running(tx, realm, task_id)

    def _run_steps(self, task: RegistrationTask, delays: _RetryDelays) -> None:
        """Run steps until the task ends or the server stops."""
        if task.status is RegistrationTaskStatus.CANCELLING:
            self._end(task.realm, task.task_id, RegistrationTaskStatus.CANCELLED)
        if task.bytes_done == task.input_bytes:
            self._end(task.realm, task.task_id, RegistrationTaskStatus.COMPLETED)
        try:
            template = parse(task.template_body)
        except TemplateError as error:
            # Another version of Sekisho accepted it.
            raise InputError(f"The template cannot be used: {error}") from None
        with self._buckets.open(task.realm.account_id, task.input_bucket, task.input_key, task.bytes_done) as source:
            task = self._opened(task, source)
            coming = bulk_input.lines(_checking_end(source, task), after=task.lines_done, begin=task.bytes_done)
            waiting: deque[_Ready] = deque()
            broken: InputUnavailable | None = None
            while not self._stopping.is_set():
                if broken is None:
                    try:
                        _fill(waiting, coming, template)
                    except InputUnavailable as unavailable:
                        # Lines that were read before are provisioned first.
                        broken = unavailable
                if not waiting:
                    if broken is not None:
                        raise broken
                    self._end(task.realm, task.task_id, RegistrationTaskStatus.COMPLETED)
                with self._turns.turn():
                    if self._stopping.is_set():
                        return
                    task = self._step(task, list(waiting))
                    self._stopping.wait(PAUSE_SECONDS)
                delays.reset()
                while waiting and waiting[0].line.number <= task.lines_done:
                    waiting.popleft()

    def _opened(self, task: RegistrationTask, source: Input) -> RegistrationTask:
        """Store the version of the input, or check that it is still the same."""
        if task.input_version is None:
            with self._store.write() as tx:
                current = _unchanged(tx, task)
                opened = replace(current, input_version=source.version, input_bytes=source.size)
                RegistrationTaskRows(tx).replace(opened)
            return opened
        if (task.input_version, task.input_bytes) != (source.version, source.size):
            raise InputError(
                f"The input {task.input_key} in bucket {task.input_bucket} was changed after the task began, so the "
                "task cannot continue. Start a new task for the lines that have no result."
            )
        return task

    def _step(self, task: RegistrationTask, ready: list[_Ready]) -> RegistrationTask:
        """Write one batch. After an unexpected error, write its first line alone and report that as failed."""
        try:
            return self._write(task, ready)
        except (StoreError, OSError, _Ended):
            raise
        except Exception as error:
            record_failure(error)
            current = self._current(task.realm, task.task_id)
            if current.lines_done > task.lines_done:
                log.exception(LogEvent.BULK_REGISTRATION_STEP_FAILED)
                return current
            if len(ready) > 1:
                return self._step(task, ready[:1])
            log.exception(LogEvent.BULK_REGISTRATION_LINE_FAILED, line_number=ready[0].line.number)
            refusal = _Refusal("InternalFailureException", "An internal error occurred. The server's log says why.")
            return self._write(task, [replace(ready[0], wanted=refusal)])

    def _write(self, task: RegistrationTask, ready: list[_Ready]) -> RegistrationTask:
        """Write one step. Raises _Ended where the task was cancelled, or another server runs it."""
        with self._store.write() as tx:
            current = _unchanged(tx, task)
            if current.status is RegistrationTaskStatus.IN_PROGRESS:
                return self._provision_lines(tx, current, ready)
        self._end(task.realm, task.task_id, RegistrationTaskStatus.CANCELLED)

    def _provision_lines(self, tx: Transaction, task: RegistrationTask, ready: list[_Ready]) -> RegistrationTask:
        now = self._clock()
        deadline = time.monotonic() + self._step_seconds
        reports = _Reports(task)
        done = task
        for each in ready:
            if each.wanted is not None:
                try:
                    report = self._provisioned(tx, task.realm, now, each.wanted)
                except _Refused as refused:
                    reports.add(ReportType.ERRORS, each.line, refused.report)
                else:
                    reports.add(ReportType.RESULTS, each.line, report)
            done = replace(done, lines_done=each.line.number, bytes_done=each.line.end)
            if time.monotonic() >= deadline:
                break
        done = replace(
            done,
            success_count=reports.counts[ReportType.RESULTS],
            failure_count=reports.counts[ReportType.ERRORS],
            modified_at=now,
        )
        reports.write(tx)
        RegistrationTaskRows(tx).replace(done)
        return done

    def _provisioned(
        self, tx: Transaction, realm: Realm, now: datetime, wanted: Resources | _Refusal
    ) -> dict[str, Any]:
        if isinstance(wanted, _Refusal):
            raise _Refused(wanted)
        try:
            with tx.savepoint():
                provisioned = self._provision(tx, realm, now, wanted)
        except ResourceConflict as error:
            raise _Refused(_Refusal("ConflictingResourceUpdateException", str(error), error.line)) from None
        except ProvisioningError as error:
            raise _Refused(_Refusal("ResourceRegistrationFailureException", str(error), error.line)) from None
        except AwsException as error:
            raise _Refused(_Refusal(error.code, error.message)) from None
        response: dict[str, Any] = {"ResourceArns": dict(provisioned.resource_arns)}
        if provisioned.certificate is not None:
            response["CertificatePem"] = provisioned.certificate.certificate_pem
        return {"response": response}

    def _end(self, realm: Realm, task_id: str, status: RegistrationTaskStatus, message: str | None = None) -> NoReturn:
        """Write the task's final status, then raise _Ended. Raises StoreError where it cannot be written."""
        with self._store.write() as tx:
            task = replace(_running(tx, realm, task_id), status=status, modified_at=self._clock())
            if message is not None:
                task = replace(task, message=message[:MAX_MESSAGE])
            RegistrationTaskRows(tx).replace(task)
        log.write(
            LogEvent.BULK_REGISTRATION_ENDED,
            status=status.value,
            reason=message,
            success_count=task.success_count,
            failure_count=task.failure_count,
        )
        raise _Ended


class _Turns:
    """Allows one step with its pause at a time, to the tasks in the order in which they wait."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._given = 0
        self._served = 0

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for all earlier turns; later ones wait for the block."""
        with self._changed:
            number = self._given
            self._given += 1
            self._changed.wait_for(lambda: self._served == number)
        try:
            yield
        finally:
            with self._changed:
                self._served += 1
                self._changed.notify_all()


class _RetryDelays:
    """The delays before retries: longer each time, until a step succeeds."""

    def __init__(self, seconds: tuple[float, ...]) -> None:
        self._seconds = seconds
        self._attempts = 0

    def reset(self) -> None:
        self._attempts = 0

    def next(self) -> float | None:
        """Return the seconds before the next retry; None after the last one."""
        if self._attempts == len(self._seconds):
            return None
        self._attempts += 1
        return self._seconds[self._attempts - 1]


class _Refused(Exception):
    """A line was not provisioned."""

    def __init__(self, refusal: _Refusal) -> None:
        super().__init__(refusal.message)
        self.report: dict[str, Any] = {"errorCode": refusal.code, "errorMessage": refusal.message}
        if refusal.template_line is not None:
            self.report["templateLine"] = refusal.template_line


class _Reports:
    """The report lines of a step, by report file of LINES_PER_REPORT lines."""

    def __init__(self, task: RegistrationTask) -> None:
        self._task = task
        self._parts: dict[tuple[ReportType, int], list[tuple[int, str]]] = {}
        self.counts = {ReportType.RESULTS: task.success_count, ReportType.ERRORS: task.failure_count}

    def add(self, kind: ReportType, line: Line, report: dict[str, Any]) -> None:
        number = self.counts[kind] // LINES_PER_REPORT + 1
        text = json.dumps({"lineNumber": line.number, "offset": line.begin, **report}, separators=(",", ":")) + "\n"
        self._parts.setdefault((kind, number), []).append((line.number, text))
        self.counts[kind] += 1

    def write(self, tx: Transaction) -> None:
        for (kind, number), part in self._parts.items():
            content = "".join(text for _, text in part)
            RegistrationTaskRows(tx).add_report(self._task, kind, number, part[0][0], content)


def _running(tx: Transaction, realm: Realm, task_id: str) -> RegistrationTask:
    task = RegistrationTaskRows(tx).get(realm, task_id)
    if task is None or task.status not in (RegistrationTaskStatus.IN_PROGRESS, RegistrationTaskStatus.CANCELLING):
        raise _Ended
    return task


def _unchanged(tx: Transaction, task: RegistrationTask) -> RegistrationTask:
    """Read the task. Raises _Ended where it has ended, or another server has continued it."""
    current = _running(tx, task.realm, task.task_id)
    if current.lines_done != task.lines_done:
        log.write(LogEvent.BULK_REGISTRATION_TAKEN)
        raise _Ended
    return current


def _checking_end(source: Input, task: RegistrationTask) -> Callable[[int], bytes]:
    """Return ``source.read`` that raises InputUnavailable if the input ends too early, within a line perhaps."""
    offset = task.bytes_done

    def read(size: int) -> bytes:
        nonlocal offset
        content = source.read(size)
        offset += len(content)
        if not content and offset < source.size:
            raise InputUnavailable(f"The input ended after {offset} of its {source.size} bytes.")
        return content

    return read


def _fill(waiting: deque[_Ready], coming: Iterator[Line], template: Template) -> None:
    """Read lines ahead, outside of transactions, since an input may be slow."""
    size = sum(each.line.end - each.line.begin for each in waiting)
    while len(waiting) < MAX_LINES_PER_STEP and size < READ_AHEAD_BYTES:
        line = next(coming, None)
        if line is None:
            return
        size += line.end - line.begin
        waiting.append(_Ready(line, _wanted(line, template)))


def _wanted(line: Line, template: Template) -> Resources | _Refusal | None:
    try:
        given = bulk_input.parameters(line)
        return None if given is None else template.resolve(given)
    except BadLine as error:
        return _Refusal("InvalidRequestException", f"{str(error)[:1].upper()}{str(error)[1:]}.")
    except TemplateError as error:
        return _Refusal("InvalidRequestException", str(error), error.line)
