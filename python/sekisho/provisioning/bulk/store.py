"""Bulk registrations and their reports."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Row,
    UniqueConstraint,
    bindparam,
    select,
)
from sqlalchemy import insert as sql_insert

from sekisho.pages import Slice, Window
from sekisho.provisioning.bulk.model import RegistrationTask, RegistrationTaskStatus, ReportType
from sekisho.realm import Realm
from sekisho.store.rows import REALM, RealmRows, RealmTable, realm_of, realm_values
from sekisho.store.statements import (
    its,
    reading,
    realm_parameters,
)
from sekisho.store.tables import Instant, String, keyed, listed, realm_columns

REGISTRATION_TASKS = listed(
    "registration_tasks",
    *realm_columns(),
    Column("task_id", String, nullable=False),
    Column("template_body", String, nullable=False),
    Column("input_bucket", String, nullable=False),
    Column("input_key", String, nullable=False),
    Column("role_arn", String, nullable=False),
    Column("report_token", String, nullable=False),
    Column("status", String, nullable=False),
    Column("message", String),
    Column("success_count", BigInteger, nullable=False),
    Column("failure_count", BigInteger, nullable=False),
    Column("lines_done", BigInteger, nullable=False),
    Column("bytes_done", BigInteger, nullable=False),
    Column("input_bytes", BigInteger),
    Column("input_version", String),
    Column("created_at", Instant, nullable=False),
    Column("modified_at", Instant, nullable=False),
    # In this order it also serves ``everywhere``.
    UniqueConstraint("task_id", "account_id", "region"),
    Index(None, "account_id", "region", "seq"),
    Index(None, "account_id", "region", "status", "seq"),
    # For ``unfinished`` and ``ended_before``.
    Index(None, "status", "account_id", "seq"),
    Index(None, "status", "modified_at"),
    # The tables of the registered resources announce them.
    announces=None,
)

# The report lines of a step, each a JSON object.
REGISTRATION_TASK_REPORTS = keyed(
    "registration_task_reports",
    *realm_columns(),
    Column("task_id", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("number", Integer, nullable=False),
    Column("line", BigInteger, nullable=False),
    Column("content", String, nullable=False),
    PrimaryKeyConstraint("task_id", "account_id", "region", "kind", "number", "line"),
    ForeignKeyConstraint(
        ["task_id", "account_id", "region"],
        ["registration_tasks.task_id", "registration_tasks.account_id", "registration_tasks.region"],
        ondelete="CASCADE",
    ),
    # No decision depends on reports.
    announces=None,
)


_UNFINISHED = (RegistrationTaskStatus.IN_PROGRESS, RegistrationTaskStatus.CANCELLING)
_ENDED = tuple(status for status in RegistrationTaskStatus if status not in _UNFINISHED)


def _make(row: Row[Any]) -> RegistrationTask:
    return RegistrationTask(
        realm=realm_of(row),
        task_id=row.task_id,
        template_body=row.template_body,
        input_bucket=row.input_bucket,
        input_key=row.input_key,
        role_arn=row.role_arn,
        report_token=row.report_token,
        status=RegistrationTaskStatus(row.status),
        created_at=row.created_at,
        modified_at=row.modified_at,
        message=row.message,
        success_count=row.success_count,
        failure_count=row.failure_count,
        lines_done=row.lines_done,
        bytes_done=row.bytes_done,
        input_bytes=row.input_bytes,
        input_version=row.input_version,
    )


def _values(task: RegistrationTask) -> dict[str, Any]:
    return {
        **realm_values(task.realm),
        "task_id": task.task_id,
        "template_body": task.template_body,
        "input_bucket": task.input_bucket,
        "input_key": task.input_key,
        "role_arn": task.role_arn,
        "report_token": task.report_token,
        "status": task.status.value,
        "created_at": task.created_at,
        "modified_at": task.modified_at,
        "message": task.message,
        "success_count": task.success_count,
        "failure_count": task.failure_count,
        "lines_done": task.lines_done,
        "bytes_done": task.bytes_done,
        "input_bytes": task.input_bytes,
        "input_version": task.input_version,
    }


_OF_STATUS = reading(REGISTRATION_TASKS, _make, "account_id", "region", "status")
_EVERYWHERE = reading(REGISTRATION_TASKS, _make, "task_id")
_WITH_STATUS = reading(REGISTRATION_TASKS, _make, "status")
_WITH_STATUS_OF_ACCOUNT = reading(REGISTRATION_TASKS, _make, "status", "account_id")
_ENDED_BEFORE = (
    select(REGISTRATION_TASKS)
    .where(its(REGISTRATION_TASKS, "status") & (REGISTRATION_TASKS.c.modified_at < bindparam("its_moment")))
    .order_by(REGISTRATION_TASKS.c.modified_at)
    .limit(bindparam("its_limit"))
)

_KEY = ("task_id", *REALM)
_ADD_REPORT = sql_insert(REGISTRATION_TASK_REPORTS).inline()
_REPORT = (
    select(REGISTRATION_TASK_REPORTS.c.content)
    .where(its(REGISTRATION_TASK_REPORTS, *_KEY, "kind", "number"))
    # All columns of the key, so that the database uses the order of the index.
    .order_by(*(REGISTRATION_TASK_REPORTS.c[name] for name in (*_KEY, "kind", "number", "line")))
)


def _key(task: RegistrationTask) -> dict[str, Any]:
    return realm_parameters(task.realm, task_id=task.task_id)


class RegistrationTaskRows(RealmRows[RegistrationTask]):
    """Bulk registrations of all realms, and their reports."""

    __slots__ = ()

    _table = RealmTable(REGISTRATION_TASKS, "task_id", _make, _values)

    def add(self, task: RegistrationTask) -> None:
        """Add it. Raises AlreadyThere where the realm has it."""
        self._insert(task)

    def page(
        self, realm: Realm, window: Window, *, status: RegistrationTaskStatus | None = None
    ) -> Slice[RegistrationTask]:
        """Return a page of the realm's tasks, all or those of one status."""
        if status is None:
            return super().page(realm, window)
        return _OF_STATUS.page(self._tx, window, realm_parameters(realm, status=status.value))

    def everywhere(self, task_id: str) -> RegistrationTask | None:
        """Return the task with this id in any realm, or None."""
        return _EVERYWHERE.one(self._tx, {"its_task_id": task_id})

    def unfinished(self, account_id: str | None = None) -> Sequence[RegistrationTask]:
        """Return the tasks that are in progress, then those being cancelled, of one account or of all."""
        found: list[RegistrationTask] = []
        for status in _UNFINISHED:
            its_status = {"its_status": status.value}
            if account_id is None:
                found += _WITH_STATUS.all(self._tx, its_status)
            else:
                found += _WITH_STATUS_OF_ACCOUNT.all(self._tx, its_status | {"its_account_id": account_id})
        return found

    def ended_before(self, moment: datetime, limit: int) -> Sequence[RegistrationTask]:
        """Return at most ``limit`` tasks that ended before ``moment``, in the order of their ends."""
        found: list[RegistrationTask] = []
        for status in _ENDED:
            parameters = {"its_status": status.value, "its_moment": moment, "its_limit": limit}
            found += [_make(row) for row in self._tx.execute(_ENDED_BEFORE, parameters)]
        return sorted(found, key=lambda task: task.modified_at)[:limit]

    def add_report(self, task: RegistrationTask, kind: ReportType, number: int, line: int, content: str) -> None:
        """Add a part to a report. ``line``: the number of its first line."""
        values = {
            **realm_values(task.realm),
            "task_id": task.task_id,
            "kind": kind.value,
            "number": number,
            "line": line,
            "content": content,
        }
        self._tx.execute(_ADD_REPORT, values)

    def report(self, task: RegistrationTask, kind: ReportType, number: int) -> Sequence[str]:
        """Return a report's parts in the order of their lines; empty where there is none."""
        parameters = _key(task) | {"its_kind": kind.value, "its_number": number}
        return list(self._tx.execute(_REPORT, parameters).scalars())
