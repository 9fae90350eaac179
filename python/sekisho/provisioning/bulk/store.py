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
from sekisho.store.statements import (
    insert,
    its,
    reading,
    realm_parameters,
    removing,
    replace,
    replacing,
)
from sekisho.store.tables import Instant, String, keyed, listed, realm_columns
from sekisho.store.transaction import Transaction

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
    # In this order it answers ``everywhere`` too.
    UniqueConstraint("task_id", "account_id", "region"),
    Index(None, "account_id", "region", "seq"),
    Index(None, "account_id", "region", "status", "seq"),
    # For ``unfinished`` and ``ended_before``.
    Index(None, "status", "account_id", "seq"),
    Index(None, "status", "modified_at"),
    # What a task registers is announced by its own tables.
    announces=None,
)

# What became of the lines, some lines in a row, each a JSON object: written with the step that they report.
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
    # Reports are read by their users.
    announces=None,
)


_UNFINISHED = (RegistrationTaskStatus.IN_PROGRESS, RegistrationTaskStatus.CANCELLING)
_ENDED = tuple(status for status in RegistrationTaskStatus if status not in _UNFINISHED)


def _make(row: Row[Any]) -> RegistrationTask:
    return RegistrationTask(
        realm=Realm(row.account_id, row.region),
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
        "account_id": task.realm.account_id,
        "region": task.realm.region,
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


_KEY = ("task_id", "account_id", "region")
_BY_KEY = reading(REGISTRATION_TASKS, _make, *_KEY)
_OF_REALM = reading(REGISTRATION_TASKS, _make, "account_id", "region")
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
_REPLACE = replacing(REGISTRATION_TASKS, *_KEY)
_REMOVE = removing(REGISTRATION_TASKS, *_KEY)

_ADD_REPORT = sql_insert(REGISTRATION_TASK_REPORTS).inline()
_REPORT = (
    select(REGISTRATION_TASK_REPORTS.c.content)
    .where(its(REGISTRATION_TASK_REPORTS, *_KEY, "kind", "number"))
    # All of the key, so that the index is seen to be in this order.
    .order_by(*(REGISTRATION_TASK_REPORTS.c[name] for name in (*_KEY, "kind", "number", "line")))
)


def _key(task: RegistrationTask) -> dict[str, Any]:
    return realm_parameters(task.realm, task_id=task.task_id)


class RegistrationTaskRows:
    """Bulk registrations of all realms."""

    __slots__ = ("_tx",)

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    def get(self, realm: Realm, task_id: str) -> RegistrationTask | None:
        """The task, or None."""
        return _BY_KEY.one(self._tx, realm_parameters(realm, task_id=task_id))

    def add(self, task: RegistrationTask) -> None:
        """Raises AlreadyThere where the realm has it."""
        insert(self._tx, REGISTRATION_TASKS, _values(task), task.task_id)

    def replace(self, task: RegistrationTask) -> None:
        """Overwrite it. Raises KeyError where the realm has none of this id."""
        replace(self._tx, _REPLACE, _values(task) | _key(task), task.task_id)

    def remove(self, realm: Realm, task_id: str) -> None:
        """Forget it, and its reports."""
        self._tx.execute(_REMOVE, realm_parameters(realm, task_id=task_id))

    def page(
        self, realm: Realm, window: Window, *, status: RegistrationTaskStatus | None = None
    ) -> Slice[RegistrationTask]:
        """Part of the realm's list, or of those with one status."""
        if status is None:
            return _OF_REALM.page(self._tx, window, realm_parameters(realm))
        return _OF_STATUS.page(self._tx, window, realm_parameters(realm, status=status.value))

    def everywhere(self, task_id: str) -> RegistrationTask | None:
        """The task of this id, whosever it is."""
        return _EVERYWHERE.one(self._tx, {"its_task_id": task_id})

    def unfinished(self, account_id: str | None = None) -> Sequence[RegistrationTask]:
        """Those in progress, then those being cancelled; of one account or of all."""
        found: list[RegistrationTask] = []
        for status in _UNFINISHED:
            its_status = {"its_status": status.value}
            if account_id is None:
                found += _WITH_STATUS.all(self._tx, its_status)
            else:
                found += _WITH_STATUS_OF_ACCOUNT.all(self._tx, its_status | {"its_account_id": account_id})
        return found

    def ended_before(self, moment: datetime, limit: int) -> Sequence[RegistrationTask]:
        """At most ``limit``, the longest ended first."""
        found: list[RegistrationTask] = []
        for status in _ENDED:
            parameters = {"its_status": status.value, "its_moment": moment, "its_limit": limit}
            found += [_make(row) for row in self._tx.execute(_ENDED_BEFORE, parameters)]
        return sorted(found, key=lambda task: task.modified_at)[:limit]

    def add_report(self, task: RegistrationTask, kind: ReportType, number: int, line: int, content: str) -> None:
        """Add lines to the report of this number."""
        values = {
            "account_id": task.realm.account_id,
            "region": task.realm.region,
            "task_id": task.task_id,
            "kind": kind.value,
            "number": number,
            "line": line,
            "content": content,
        }
        self._tx.execute(_ADD_REPORT, values)

    def report(self, task: RegistrationTask, kind: ReportType, number: int) -> Sequence[str]:
        """The report's parts in order of their lines; empty where there is none."""
        parameters = _key(task) | {"its_kind": kind.value, "its_number": number}
        return list(self._tx.execute(_REPORT, parameters).scalars())
