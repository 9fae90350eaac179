"""Bulk registrations at work: each task has a thread that takes its lines, some in a row, into the registry.

A step is one write transaction: the devices of some lines, what is reported of them, and how far the task has come. So
whatever ends the server, each line is provisioned once, and the next server goes on behind the last step. Within a
step each line stands alone: one that fails undoes nothing of its neighbours.

Steps are short, and between two of them, also of different tasks, there is a pause in which other writers have their
turn: the tasks of a hundred accounts together take no more of the store than one.

Source: Developer Guide, bulk-provisioning. What a report's line looks like is known from AWS's sample programs alone
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

MAX_LINES: Final = 64
"""Lines of a step, and lines that are read ahead."""

MAX_BYTES: Final = 1024 * 1024
"""Bytes of lines that are read ahead, give or take a line."""

STEP: Final = 0.05
"""Seconds after which a step takes no further line."""

PAUSE: Final = 0.01
"""Seconds between two steps of all tasks together."""

PATIENCE: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Seconds before each further attempt to use an input that is unavailable. The store is waited for without end."""

MAX_MESSAGE: Final = 2048
"""Characters of a task's message (the ``iot`` model's ErrorMessage)."""


class Provision(Protocol):
    """Provisions one device within a transaction. Raises ProvisioningError, or OSError where a CA cannot be kept."""

    def __call__(self, tx: Transaction, realm: Realm, now: datetime, resources: Resources) -> Provisioned: ...


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Why a line was not provisioned."""

    code: str
    message: str
    template_line: int | None = None


@dataclass(frozen=True, slots=True)
class _Ready:
    """A line, and what is to be done for it; None where it is empty."""

    line: Line
    wanted: Resources | _Refusal | None


class _Ended(Exception):
    """The task is at its end, or someone else's."""


class BulkRegistration:
    """Runs the tasks of all accounts. ``start`` once, ``stop`` once."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        buckets: Buckets,
        provision: Provision,
        *,
        patience: tuple[float, ...] = PATIENCE,
        step: float = STEP,
    ) -> None:
        self._store = store
        self._clock = clock
        self._buckets = buckets
        self._provision = provision
        self._patience = patience
        self._step = step
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._threads: dict[tuple[Realm, str], SupervisedThread] = {}
        self._turns = _Turns()

    def start(self) -> None:
        """Go on with what an earlier server left unfinished. Raises StoreError."""
        with self._store.read() as tx:
            unfinished = RegistrationTaskRows(tx).unfinished()
        for task in unfinished:
            self.begin(task.realm, task.task_id)

    def begin(self, realm: Realm, task_id: str) -> None:
        """Run a task that is in the store; returns at once. A task that runs already is left alone."""
        key = (realm, task_id)
        with self._lock:
            if key in self._threads or self._stopping.is_set():
                return
            name = f"registration-task-{task_id}"
            thread = SupervisedThread(lambda: self._run(*key), name)
            thread.start()
            self._threads[key] = thread

    def stop(self, timeout: float = 5.0) -> None:
        """Take no further step. Waits for those in hand, at most ``timeout`` seconds; the next server goes on."""
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
        # Not after an unexpected error: the thread runs this again.
        with self._lock:
            del self._threads[realm, task_id]

    def _persist(self, realm: Realm, task_id: str) -> None:
        """Try until the task has ended or the server ends."""
        patience = _Patience(self._patience)
        failed: str | None = None
        while not self._stopping.is_set():
            try:
                if failed is not None:
                    self._end(realm, task_id, RegistrationTaskStatus.FAILED, failed)
                self._go_on(self._current(realm, task_id), patience)
            except _Ended:
                raise
            except (StoreError, OSError) as failure:
                log.write(LogEvent.BULK_REGISTRATION_WAITS_FOR_STORE, reason=str(failure))
                self._wait(realm, task_id, patience.next() or self._patience[-1])
            except InputUnavailable as unavailable:
                seconds = patience.next()
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
                failed = "Sekisho failed at this task. Its log has the reason."

    def _wait(self, realm: Realm, task_id: str, seconds: float) -> None:
        """Until the time is over; less long where the server ends or the task is cancelled."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and not self._stopping.wait(min(left, 0.5)):
            with suppress(StoreError):
                if self._current(realm, task_id).status is RegistrationTaskStatus.CANCELLING:
                    return

    def _current(self, realm: Realm, task_id: str) -> RegistrationTask:
        """The task as it is, ready to go on. Raises _Ended where there is nothing to do."""
        with self._store.read() as tx:
            return _running(tx, realm, task_id)

    def _go_on(self, task: RegistrationTask, patience: _Patience) -> None:
        """Step by step until the task or the server ends."""
        if task.status is RegistrationTaskStatus.CANCELLING:
            self._end(task.realm, task.task_id, RegistrationTaskStatus.CANCELLED)
        if task.bytes_done == task.input_bytes:
            self._end(task.realm, task.task_id, RegistrationTaskStatus.COMPLETED)
        try:
            template = parse(task.template_body)
        except TemplateError as error:
            # It was accepted by a Sekisho that knew another language.
            raise InputError(f"The template cannot be used: {error}") from None
        place = (task.realm.account_id, task.input_bucket, task.input_key)
        with self._buckets.open(*place, task.bytes_done) as source:
            task = self._opened(task, source)
            coming = bulk_input.lines(_to_the_end(source, task), after=task.lines_done, begin=task.bytes_done)
            waiting: deque[_Ready] = deque()
            broken: InputUnavailable | None = None
            while not self._stopping.is_set():
                if broken is None:
                    try:
                        _fill(waiting, coming, template)
                    except InputUnavailable as unavailable:
                        # What was read before is good.
                        broken = unavailable
                if not waiting:
                    if broken is not None:
                        raise broken
                    self._end(task.realm, task.task_id, RegistrationTaskStatus.COMPLETED)
                with self._turns.turn():
                    if self._stopping.is_set():
                        return
                    task = self._take(task, list(waiting))
                    self._stopping.wait(PAUSE)
                patience.begin_anew()
                while waiting and waiting[0].line.number <= task.lines_done:
                    waiting.popleft()

    def _opened(self, task: RegistrationTask, source: Input) -> RegistrationTask:
        """Remember which content it is that the lines are counted in."""
        if task.input_version is None:
            with self._store.write() as tx:
                current = _as_it_was(tx, task)
                opened = replace(current, input_version=source.version, input_bytes=source.size)
                RegistrationTaskRows(tx).replace(opened)
            return opened
        if (task.input_version, task.input_bytes) != (source.version, source.size):
            raise InputError(
                f"The input {task.input_key} in bucket {task.input_bucket} is another one since the task began, so it "
                "cannot go on. Start a task for the lines that have no result yet."
            )
        return task

    def _take(self, task: RegistrationTask, ready: list[_Ready]) -> RegistrationTask:
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
                return self._take(task, ready[:1])
            log.exception(LogEvent.BULK_REGISTRATION_LINE_FAILED, line_number=ready[0].line.number)
            refusal = _Refusal("InternalFailureException", "Sekisho failed at this line. Its log has the reason.")
            return self._write(task, [replace(ready[0], wanted=refusal)])

    def _write(self, task: RegistrationTask, ready: list[_Ready]) -> RegistrationTask:
        """One step. Raises _Ended where the task was cancelled, or someone else has taken it."""
        with self._store.write() as tx:
            current = _as_it_was(tx, task)
            if current.status is RegistrationTaskStatus.IN_PROGRESS:
                return self._provision_lines(tx, current, ready)
        self._end(task.realm, task.task_id, RegistrationTaskStatus.CANCELLED)

    def _provision_lines(self, tx: Transaction, task: RegistrationTask, ready: list[_Ready]) -> RegistrationTask:
        now = self._clock()
        deadline = time.monotonic() + self._step
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
        reports.keep(tx)
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
        """Always raises: _Ended, or StoreError where that cannot be kept for now."""
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
    """One step at a time, with the pause after it. Tasks take turns: each account has one task."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._given = 0
        self._served = 0

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for all that came before, and have others wait."""
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


class _Patience:
    """How long to wait before the next attempt, longer each time until there is some progress."""

    def __init__(self, seconds: tuple[float, ...]) -> None:
        self._seconds = seconds
        self._attempts = 0

    def begin_anew(self) -> None:
        self._attempts = 0

    def next(self) -> float | None:
        """Seconds, or None where it is over."""
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
    """What one step reports, cut into files of LINES_PER_REPORT lines."""

    def __init__(self, task: RegistrationTask) -> None:
        self._task = task
        self._parts: dict[tuple[ReportType, int], list[tuple[int, str]]] = {}
        self.counts = {ReportType.RESULTS: task.success_count, ReportType.ERRORS: task.failure_count}

    def add(self, kind: ReportType, line: Line, report: dict[str, Any]) -> None:
        number = self.counts[kind] // LINES_PER_REPORT + 1
        text = json.dumps({"lineNumber": line.number, "offset": line.begin, **report}, separators=(",", ":")) + "\n"
        self._parts.setdefault((kind, number), []).append((line.number, text))
        self.counts[kind] += 1

    def keep(self, tx: Transaction) -> None:
        for (kind, number), part in self._parts.items():
            content = "".join(text for _, text in part)
            RegistrationTaskRows(tx).add_report(self._task, kind, number, part[0][0], content)


def _running(tx: Transaction, realm: Realm, task_id: str) -> RegistrationTask:
    task = RegistrationTaskRows(tx).get(realm, task_id)
    if task is None or task.status not in (RegistrationTaskStatus.IN_PROGRESS, RegistrationTaskStatus.CANCELLING):
        raise _Ended
    return task


def _as_it_was(tx: Transaction, task: RegistrationTask) -> RegistrationTask:
    """The task as it is now, but where another server has come further with it. Raises _Ended."""
    current = _running(tx, task.realm, task.task_id)
    if current.lines_done != task.lines_done:
        log.write(LogEvent.BULK_REGISTRATION_TAKEN)
        raise _Ended
    return current


def _to_the_end(source: Input, task: RegistrationTask) -> Callable[[int], bytes]:
    """As ``source.read``; but what ends too early is no end: half a line would be taken for a line."""
    place = task.bytes_done

    def read(size: int) -> bytes:
        nonlocal place
        content = source.read(size)
        place += len(content)
        if not content and place < source.size:
            raise InputUnavailable(f"The input ended after {place} of its {source.size} bytes.")
        return content

    return read


def _fill(waiting: deque[_Ready], coming: Iterator[Line], template: Template) -> None:
    """Read ahead, outside of any transaction: an input may be slow."""
    size = sum(each.line.end - each.line.begin for each in waiting)
    while len(waiting) < MAX_LINES and size < MAX_BYTES:
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
