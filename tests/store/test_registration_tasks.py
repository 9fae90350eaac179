"""Bulk registrations and their reports in every store."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from sekisho.pages import Window
from sekisho.provisioning.bulk.model import RegistrationTaskStatus, ReportType
from sekisho.provisioning.bulk.store import RegistrationTaskRows
from sekisho.store.errors import AlreadyThere
from sekisho.store.store import Store
from tests.store.builders import HOME, NOW, OTHER_ACCOUNT, OTHER_REGION, registration_task

CANCELLED, CANCELLING = RegistrationTaskStatus.CANCELLED, RegistrationTaskStatus.CANCELLING
COMPLETED, FAILED = RegistrationTaskStatus.COMPLETED, RegistrationTaskStatus.FAILED
ERRORS, RESULTS = ReportType.ERRORS, ReportType.RESULTS


def test_a_task_is_read_as_it_was_written(store: Store) -> None:
    task = registration_task()
    later = replace(
        task,
        status=FAILED,
        message="why",
        success_count=2**40,
        failure_count=3,
        lines_done=2**41,
        bytes_done=2**50,
        input_bytes=2**51,
        input_version="etag",
        modified_at=NOW + timedelta(seconds=1),
    )
    with store.write() as tx:
        RegistrationTaskRows(tx).add(task)
        assert RegistrationTaskRows(tx).get(HOME, task.task_id) == task
        with pytest.raises(AlreadyThere):
            RegistrationTaskRows(tx).add(task)
        RegistrationTaskRows(tx).replace(later)
    with store.read() as tx:
        assert RegistrationTaskRows(tx).get(HOME, task.task_id) == later
        assert RegistrationTaskRows(tx).get(OTHER_REGION, task.task_id) is None
        assert RegistrationTaskRows(tx).everywhere(task.task_id) == later
        assert RegistrationTaskRows(tx).everywhere("another") is None
    with store.write() as tx, pytest.raises(KeyError):
        RegistrationTaskRows(tx).replace(registration_task(2))


def test_tasks_are_listed_by_realm_and_status_in_order_of_creation(store: Store) -> None:
    with store.write() as tx:
        for number in range(6):
            RegistrationTaskRows(tx).add(registration_task(number, status=(COMPLETED, FAILED)[number % 2]))
        RegistrationTaskRows(tx).add(registration_task(9, OTHER_REGION, status=FAILED))
    with store.read() as tx:
        first = RegistrationTaskRows(tx).page(HOME, Window(limit=4))
        rest = RegistrationTaskRows(tx).page(HOME, Window(limit=4, after=first.next_after))
        assert [task.task_id for task in (*first.items, *rest.items)] == [f"task {number}" for number in range(6)]
        failed = RegistrationTaskRows(tx).page(HOME, Window(limit=9), status=FAILED)
        assert [task.task_id for task in failed.items] == ["task 1", "task 3", "task 5"]


def test_unfinished_tasks_are_found_by_account_in_all_regions(store: Store) -> None:
    tasks = [
        registration_task(1),
        registration_task(2, OTHER_REGION, status=CANCELLING),
        registration_task(3, OTHER_ACCOUNT),
        registration_task(4, status=COMPLETED),
        registration_task(5, status=FAILED),
        registration_task(6, status=CANCELLED),
    ]
    with store.write() as tx:
        for task in tasks:
            RegistrationTaskRows(tx).add(task)
    with store.read() as tx:
        assert RegistrationTaskRows(tx).unfinished(HOME.account_id) == tasks[:2]
        assert set(RegistrationTaskRows(tx).unfinished()) == set(tasks[:3])


def test_old_tasks_are_found_and_removed_with_their_reports(store: Store) -> None:
    old = [
        registration_task(number, status=status, modified_at=NOW - timedelta(seconds=10 - number))
        for number, status in enumerate((CANCELLED, FAILED, COMPLETED))
    ]
    recent = registration_task(3, status=COMPLETED)
    running = registration_task(4, modified_at=NOW - timedelta(days=99))
    with store.write() as tx:
        for task in (*old, recent, running):
            RegistrationTaskRows(tx).add(task)
            RegistrationTaskRows(tx).add_report(task, RESULTS, 1, 1, task.task_id)
    with store.read() as tx:
        assert RegistrationTaskRows(tx).ended_before(NOW, 9) == old
        assert RegistrationTaskRows(tx).ended_before(NOW, 2) == old[:2]
    with store.write() as tx:
        RegistrationTaskRows(tx).remove(HOME, old[0].task_id)
    with store.read() as tx:
        assert RegistrationTaskRows(tx).get(HOME, old[0].task_id) is None
        assert RegistrationTaskRows(tx).report(old[0], RESULTS, 1) == []
        assert RegistrationTaskRows(tx).report(old[1], RESULTS, 1) == ["task 1"]


def test_a_report_has_its_parts_in_order_of_their_lines(store: Store) -> None:
    task = registration_task()
    with store.write() as tx:
        RegistrationTaskRows(tx).add(task)
        for line in (11, 2, 1):
            RegistrationTaskRows(tx).add_report(task, RESULTS, 1, line, f"{line}\n")
        RegistrationTaskRows(tx).add_report(task, RESULTS, 2, 12, "12\n")
        RegistrationTaskRows(tx).add_report(task, ERRORS, 1, 5, "5\n")
    with store.read() as tx:
        assert RegistrationTaskRows(tx).report(task, RESULTS, 1) == ["1\n", "2\n", "11\n"]
        assert RegistrationTaskRows(tx).report(task, RESULTS, 2) == ["12\n"]
        assert RegistrationTaskRows(tx).report(task, ERRORS, 1) == ["5\n"]
        assert RegistrationTaskRows(tx).report(task, ERRORS, 2) == []
