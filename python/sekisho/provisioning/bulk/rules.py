"""Bulk registrations as their owners see them: started, looked at, stopped, and what became of each line.

One task runs at a time in an account. A task is forgotten with its reports 30 days after its end.

Source: Developer Guide, bulk-provisioning; General Reference, iot-core; API Reference, StartThingRegistrationTask and
its neighbours.
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

KEPT: Final = timedelta(days=30)
"""How long a task is known after its end."""

_FORGOTTEN_AT_ONCE: Final = 10
"""Tasks that one start removes at most: it is not to wait for the disk."""

_REPORT_NAME: Final = re.compile(r"(results|errors)-([0-9]{4,9})\.json", re.ASCII)


@dataclass(frozen=True, slots=True)
class ReportFile:
    """A report that may be fetched with these three, and with nothing else."""

    task_id: str
    token: str
    name: str


class RegistrationTasks:
    """The bulk registrations of every realm.

    Args:
        store: Where they are kept.
        clock: The present time.
        begin: Runs a task that is in the store, and returns at once (``bulk.BulkRegistration.begin``).
    """

    def __init__(self, store: Store, clock: Clock, begin: Callable[[Realm, str], None]) -> None:
        self._store = store
        self._clock = clock
        self._begin = begin

    def start(
        self, realm: Realm, template_body: str, input_bucket: str, input_key: str, role_arn: str
    ) -> RegistrationTask:
        """Begin to provision a device for each line of an input. Whether the input can be read shows in the task.

        Args:
            realm: Where the devices come to be.
            template_body: A provisioning template.
            input_bucket: Where the input is.
            input_key: Its name there.
            role_arn: Stored and returned; no permissions are checked.

        Raises:
            InvalidRequestException: The template is none, or a task of this account is running.
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
                    f"The task {running.task_id} is running in {running.realm.region}, and an account has one at a "
                    "time. Wait until it has ended, or stop it."
                )
            for old in RegistrationTaskRows(tx).ended_before(now - KEPT, _FORGOTTEN_AT_ONCE):
                RegistrationTaskRows(tx).remove(old.realm, old.task_id)
            RegistrationTaskRows(tx).add(task)
        self._begin(realm, task.task_id)
        return task

    def describe(self, realm: Realm, task_id: str) -> RegistrationTask:
        """One task. Raises ResourceNotFoundException."""
        with self._store.read() as tx:
            return self._existing(tx, realm, task_id)

    def list(
        self, realm: Realm, window: Window, status: RegistrationTaskStatus | None = None
    ) -> Slice[RegistrationTask]:
        """Part of the realm's tasks, oldest first; of one status where it is given."""
        with self._store.read() as tx:
            page = RegistrationTaskRows(tx).page(realm, window, status=status)
        return Slice([task for task in page.items if not self._is_forgotten(task)], page.next_after)

    def stop(self, realm: Realm, task_id: str) -> None:
        """Cancel a task after the step in hand. What was provisioned stays. To cancel it again is no error.

        Raises:
            ResourceNotFoundException: There is no such task.
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
        """Part of the reports that there are by now. The last of a running task still grows.

        Raises InvalidRequestException where there is no such task: the operation has no other word for it.
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
        """The parts of a report, or None where there is none of this name or the token is another."""
        match = _REPORT_NAME.fullmatch(file.name)
        with self._store.read() as tx:
            task = RegistrationTaskRows(tx).everywhere(file.task_id)
            if (
                match is None
                or task is None
                or self._is_forgotten(task)
                or not hmac.compare_digest(task.report_token.encode(), file.token.encode())
            ):
                return None
            return RegistrationTaskRows(tx).report(task, ReportType(match[1].upper()), int(match[2])) or None

    def _existing(self, tx: Transaction, realm: Realm, task_id: str) -> RegistrationTask:
        task = RegistrationTaskRows(tx).get(realm, task_id)
        if task is None or self._is_forgotten(task):
            raise ResourceNotFoundException(
                f"There is no thing registration task {task_id} in this account and region. A task is forgotten "
                f"{KEPT.days} days after its end."
            )
        return task

    def _is_forgotten(self, task: RegistrationTask) -> bool:
        return task.status in _ENDED and task.modified_at < self._clock() - KEPT


_ENDED: Final = (
    RegistrationTaskStatus.COMPLETED,
    RegistrationTaskStatus.FAILED,
    RegistrationTaskStatus.CANCELLED,
)
