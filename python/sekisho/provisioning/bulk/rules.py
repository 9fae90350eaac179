"""Bulk registrations: starts, lists and stops tasks, and returns their reports.

An account runs one task at a time. A task is deleted with its reports 30 days after its end.

Source: Developer Guide, bulk-provisioning; General Reference, iot-core; the API Reference of each operation.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from sekisho import ids
from sekisho.clock import Clock
from sekisho.errors import InvalidRequestException, ResourceNotFoundException
from sekisho.pages import Slice, Window
from sekisho.provisioning.bulk.model import RegistrationTask, RegistrationTaskStatus, ReportType
from sekisho.provisioning.bulk.registration import LINES_PER_REPORT
from sekisho.provisioning.bulk.store import RegistrationTaskRows
from sekisho.realm import Realm
from sekisho.store.store import Store
from sekisho.store.transaction import Transaction
from sekisho.templates.error import TemplateError
from sekisho.templates.template import parse

RETENTION: Final = timedelta(days=30)
"""The time after its end for which a task is kept."""

_REMOVED_PER_START: Final = 10
"""Expired tasks that one ``start`` removes at most, to remain fast."""

_REPORT_NAME: Final = re.compile(r"(results|errors)-([0-9]{4,9})\.json", re.ASCII)


@dataclass(frozen=True, slots=True)
class ReportFile:
    """A report file. All three members are needed to fetch it."""

    task_id: str
    token: str
    name: str


class RegistrationTasks:
    """Starts, lists and stops bulk registrations.

    Args:
        store: Stores the tasks and their reports.
        clock: Returns the current time.
        begin: Runs a stored task in the background (``bulk.registration.BulkRegistration.begin``).
    """

    def __init__(self, store: Store, clock: Clock, begin: Callable[[Realm, str], None]) -> None:
        self._store = store
        self._clock = clock
        self._begin = begin

    def start(
        self, realm: Realm, template_body: str, input_bucket: str, input_key: str, role_arn: str
    ) -> RegistrationTask:
        """Start a task that provisions a device for each line of an input. The task fails if that cannot be read.

        Args:
            realm: The realm of the devices.
            template_body: A provisioning template.
            input_bucket: The bucket of the input.
            input_key: The key of the input in the bucket.
            role_arn: Stored and returned; no permissions are checked.

        Raises:
            InvalidRequestException: It is not a template, or the account has a running task.
        """
        try:
            parse(template_body)
        except TemplateError as error:
            raise InvalidRequestException(f"templateBody: {error}") from None
        now = self._clock()
        task = RegistrationTask(
            realm=realm,
            task_id=ids.unique(),
            template_body=template_body,
            input_bucket=input_bucket,
            input_key=input_key,
            role_arn=role_arn,
            report_token=secrets.token_urlsafe(32),
            status=RegistrationTaskStatus.IN_PROGRESS,
            created_at=now,
            modified_at=now,
        )
        with self._store.write() as tx:
            for running in RegistrationTaskRows(tx).unfinished(realm.account_id):
                raise InvalidRequestException(
                    f"The task {running.task_id} is running in {running.realm.region}, and an account can run one task "
                    "at a time. Wait until it has ended, or stop it."
                )
            for old in RegistrationTaskRows(tx).ended_before(now - RETENTION, _REMOVED_PER_START):
                RegistrationTaskRows(tx).remove(old.realm, old.task_id)
            RegistrationTaskRows(tx).add(task)
        self._begin(realm, task.task_id)
        return task

    def describe(self, realm: Realm, task_id: str) -> RegistrationTask:
        """Return a task. Raises ResourceNotFoundException."""
        with self._store.read() as tx:
            return self._existing(tx, realm, task_id)

    def list(
        self, realm: Realm, window: Window, status: RegistrationTaskStatus | None = None
    ) -> Slice[RegistrationTask]:
        """Return a page of the realm's tasks, oldest first, all or those of one status."""
        with self._store.read() as tx:
            page = RegistrationTaskRows(tx).page(realm, window, status=status)
        return Slice([task for task in page.items if not self._is_expired(task)], page.next_after)

    def stop(self, realm: Realm, task_id: str) -> None:
        """Cancel a task after its present step. Provisioned devices remain. Cancelling it again is without effect.

        Raises:
            ResourceNotFoundException: No such task.
            InvalidRequestException: It has ended.
        """
        with self._store.write() as tx:
            task = self._existing(tx, realm, task_id)
            if task.status is RegistrationTaskStatus.IN_PROGRESS:
                cancelling = replace(task, status=RegistrationTaskStatus.CANCELLING, modified_at=self._clock())
                RegistrationTaskRows(tx).replace(cancelling)
            elif task.status is not RegistrationTaskStatus.CANCELLING:
                raise InvalidRequestException(f"The task {task_id} has ended: it is {task.status.value}.")
        self._begin(realm, task_id)

    def reports(self, realm: Realm, task_id: str, kind: ReportType, window: Window) -> Slice[ReportFile]:
        """Return a page of a task's reports. The last report of a running task is not complete.

        Raises InvalidRequestException where there is no such task: the operation declares no other error for it.
        """
        try:
            task = self.describe(realm, task_id)
        except ResourceNotFoundException as error:
            raise InvalidRequestException(error.message) from None
        count = task.success_count if kind is ReportType.RESULTS else task.failure_count
        last = -(-count // LINES_PER_REPORT)
        first = (window.after or 0) + 1
        numbers = range(first, min(last, first + window.limit - 1) + 1)
        files = [ReportFile(task_id, task.report_token, f"{kind.value.lower()}-{number:04}.json") for number in numbers]
        return Slice(files, numbers[-1] if numbers and numbers[-1] < last else None)

    def report(self, file: ReportFile) -> Sequence[str] | None:
        """Return the parts of a report; None where it does not exist or the token is wrong."""
        match = _REPORT_NAME.fullmatch(file.name)
        with self._store.read() as tx:
            task = RegistrationTaskRows(tx).everywhere(file.task_id)
            if (
                match is None
                or task is None
                or self._is_expired(task)
                or not hmac.compare_digest(task.report_token.encode(), file.token.encode())
            ):
                return None
            return RegistrationTaskRows(tx).report(task, ReportType(match[1].upper()), int(match[2])) or None

    def _existing(self, tx: Transaction, realm: Realm, task_id: str) -> RegistrationTask:
        task = RegistrationTaskRows(tx).get(realm, task_id)
        if task is None or self._is_expired(task):
            raise ResourceNotFoundException(
                f"There is no thing registration task {task_id} in this account and region. A task is deleted "
                f"{RETENTION.days} days after its end."
            )
        return task

    def _is_expired(self, task: RegistrationTask) -> bool:
        return task.status in _ENDED and task.modified_at < self._clock() - RETENTION


_ENDED: Final = (
    RegistrationTaskStatus.COMPLETED,
    RegistrationTaskStatus.FAILED,
    RegistrationTaskStatus.CANCELLED,
)
