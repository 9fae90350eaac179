"""Bulk registrations: whatever happens, each line is provisioned once, and its outcome is reported."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from sekisho.change import Change
from sekisho.clock import Clock
from sekisho.errors import LimitExceededException
from sekisho.pages import Window
from sekisho.provisioning.bulk.input import InputError, InputUnavailable
from sekisho.provisioning.bulk.model import RegistrationTask, RegistrationTaskStatus, ReportType
from sekisho.provisioning.bulk.registration import MAX_LINES_PER_STEP, BulkRegistration
from sekisho.provisioning.bulk.rules import RETENTION, RegistrationTasks, ReportFile
from sekisho.provisioning.bulk.store import RegistrationTaskRows
from sekisho.provisioning.provisioner import Provisioned, ProvisioningError, ResourceConflict
from sekisho.realm import Realm
from sekisho.store.errors import StoreError
from sekisho.store.store import Store
from sekisho.store.transaction import Transaction
from sekisho.tags.store import TagRows
from sekisho.templates.resources import Resources
from sekisho.things import rules as things
from sekisho.things.store import ThingRows
from tests.logs import captured_log, lines_of
from tests.stores import empty_store
from tests.unit.features.arrange import HOME, OTHER_ACCOUNT, SetClock
from tests.wait import eventually

CANCELLED, COMPLETED = RegistrationTaskStatus.CANCELLED, RegistrationTaskStatus.COMPLETED
FAILED, IN_PROGRESS = RegistrationTaskStatus.FAILED, RegistrationTaskStatus.IN_PROGRESS
ERRORS, RESULTS = ReportType.ERRORS, ReportType.RESULTS
TEMPLATE = json.dumps(
    {
        "Parameters": {"ThingName": {"Type": "String"}},
        "Resources": {"thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "ThingName"}}}},
    }
)


@dataclass
class Drawer:
    """One input. It fails at the given bytes, once at each."""

    content: bytes = b""
    version: str = "1"
    breaks_at: list[int] = field(default_factory=list)
    refuses: list[Exception] = field(default_factory=list)
    opened_at: list[int] = field(default_factory=list)
    announced_size: int | None = None
    meanwhile: Callable[[], None] = lambda: None

    @property
    def size(self) -> int:
        return len(self.content) if self.announced_size is None else self.announced_size

    @contextmanager
    def open(self, account_id: str, bucket: str, key: str, offset: int) -> Iterator[Reading]:
        assert account_id in (HOME.account_id, OTHER_ACCOUNT.account_id)
        assert (bucket, key) == ("bucket", "key")
        self.opened_at.append(offset)
        if self.refuses:
            raise self.refuses.pop(0)
        self.meanwhile()
        yield Reading(self, offset, self.size, self.version)


@dataclass
class Reading:
    drawer: Drawer
    place: int
    size: int
    version: str

    def read(self, size: int) -> bytes:
        # A few lines at a time, so that an input fails between them.
        piece = self.drawer.content[self.place : self.place + min(size, 500)]
        for at in self.drawer.breaks_at:
            if self.place <= at < self.place + len(piece):
                self.drawer.breaks_at.remove(at)
                raise InputUnavailable("the cable is out")
        self.place += len(piece)
        return piece


@dataclass
class Provisioner:
    """Raises where a thing is made a second time; calls ``before`` and ``after``."""

    before: Callable[[str], None] = lambda _: None
    after: Callable[[str], None] = lambda _: None
    called: list[str] = field(default_factory=list)
    realms: list[Realm] = field(default_factory=list)

    def __call__(self, tx: Transaction, realm: Realm, now: datetime, resources: Resources) -> Provisioned:
        assert resources.thing is not None
        name = resources.thing.name
        self.called.append(name)
        self.realms.append(realm)
        self.before(name)
        if ThingRows(tx).get(realm, name) is not None:
            raise LimitExceededException(f"{name} is there already")
        things.create_in(tx, realm, now, name)
        self.after(name)
        return Provisioned({"thing": f"arn of {name}"}, name, None, {})


@dataclass
class FailingStore:
    """A store that fails at the given writes, counted from 0: before they begin, or after their commit."""

    store: Store
    before: set[int] = field(default_factory=set)
    after: set[int] = field(default_factory=set)
    writes: int = 0

    def read(self) -> AbstractContextManager[Transaction]:
        return self.store.read()

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        number = self.writes
        self.writes += 1
        if number in self.before:
            raise StoreError("somebody else has it")
        with self.store.write() as tx:
            yield tx
        if number in self.after:
            raise StoreError("gone before it said that it was kept")


@dataclass
class World:
    store: Store
    clock: SetClock
    drawer: Drawer
    provisioner: Provisioner
    running: list[BulkRegistration] = field(default_factory=list)

    def server(self, store: Any = None, **options: Any) -> BulkRegistration:
        """Return another server on the same store; it is stopped with the test."""
        options = {"retry_delays": (0.001, 0.001, 0.001), **options}
        made = BulkRegistration(store or self.store, self.clock, self.drawer, self.provisioner, **options)
        self.running.append(made)
        return made

    def tasks(self, bulk: BulkRegistration) -> RegistrationTasks:
        return RegistrationTasks(self.store, self.clock, bulk.begin)

    def fill(self, many: int) -> None:
        """Make an input with this number of things."""
        self.drawer.content = b"".join(b'{"ThingName": "t%d"}\n' % number for number in range(1, many + 1))

    def start(self, bulk: BulkRegistration) -> str:
        return self.tasks(bulk).start(HOME, TEMPLATE, "bucket", "key", "role").task_id

    def task(self, task_id: str) -> RegistrationTask:
        with self.store.read() as tx:
            task = RegistrationTaskRows(tx).get(HOME, task_id)
        assert task is not None
        return task

    def when(self, task_id: str, condition: Callable[[RegistrationTask], bool]) -> RegistrationTask:
        """Return the task when the condition is true."""
        eventually(lambda: condition(self.task(task_id)), lambda: self.task(task_id))
        return self.task(task_id)

    def ended(self, task_id: str) -> RegistrationTask:
        return self.when(task_id, lambda task: task.status in (COMPLETED, FAILED, CANCELLED))

    def reported(self, task: RegistrationTask, kind: ReportType = RESULTS) -> list[Any]:
        """Return the lines of all reports, in order."""
        found: list[Any] = []
        with self.store.read() as tx:
            number = 1
            while parts := RegistrationTaskRows(tx).report(task, kind, number):
                found += [json.loads(line) for part in parts for line in part.splitlines()]
                number += 1
        return found

    def things(self) -> set[str]:
        with self.store.read() as tx:
            return {thing.name for thing in ThingRows(tx).page(HOME, Window(limit=100_000)).items}

    def check_that_each_of(self, many: int, task: RegistrationTask) -> None:
        """Check that every line was provisioned once, and reported once."""
        assert (task.status, task.success_count, task.failure_count) == (COMPLETED, many, 0), task
        assert (task.lines_done, task.bytes_done) == (many, len(self.drawer.content))
        assert [each["lineNumber"] for each in self.reported(task)] == list(range(1, many + 1))
        assert self.reported(task, ERRORS) == []
        assert self.things() == {f"t{number}" for number in range(1, many + 1)}


@pytest.fixture
def announced() -> list[Change]:
    return []


@pytest.fixture
def world(announced: list[Change]) -> Iterator[World]:
    with empty_store(announced.extend) as store:
        made = World(store, SetClock(), Drawer(), Provisioner())
        yield made
        for bulk in made.running:
            bulk.stop()


def test_each_line_is_provisioned_and_reported_with_its_number(world: World) -> None:
    world.fill(300)
    task = world.ended(world.start(world.server()))
    world.check_that_each_of(300, task)
    assert task.percentage == 100
    for each in world.reported(task):
        line = world.drawer.content[each["offset"] :].partition(b"\n")[0]
        assert each["response"] == {"ResourceArns": {"thing": f"arn of {json.loads(line)['ThingName']}"}}


def test_an_empty_input_is_done_at_once(world: World) -> None:
    task = world.ended(world.start(world.server()))
    assert (task.status, task.success_count, task.percentage) == (COMPLETED, 0, 100)


def test_a_line_that_fails_leaves_nothing_and_does_not_affect_others(world: World) -> None:
    world.fill(10)

    def fail(name: str) -> None:
        if name == "t4":
            raise ProvisioningError("thing", 7, "it is broken", None)
        if name == "t6":
            raise LimitExceededException("it is too much")
        if name == "t10":
            raise ResourceConflict("thing", 8, "it is another", None)

    world.provisioner.after = fail
    task = world.ended(world.start(world.server()))
    assert (task.status, task.success_count, task.failure_count) == (COMPLETED, 7, 3)
    assert world.things() == {f"t{number}" for number in range(1, 11)} - {"t4", "t6", "t10"}
    first, second, third = world.reported(task, ERRORS)
    assert (first["lineNumber"], first["errorCode"]) == (4, "ResourceRegistrationFailureException")
    assert first["templateLine"] == 7
    assert "it is broken" in first["errorMessage"]
    assert (second["lineNumber"], second["errorCode"]) == (6, "LimitExceededException")
    assert "templateLine" not in second
    assert (third["lineNumber"], third["errorCode"]) == (10, "ConflictingResourceUpdateException")


@pytest.mark.parametrize("culprits", [{"t1"}, {"t3", "t4", "t70"}, {"t100"}])
def test_an_unexpected_error_fails_only_its_line(world: World, culprits: set[str]) -> None:
    world.fill(100)

    def fail(name: str) -> None:
        if name in culprits:
            raise ZeroDivisionError

    world.provisioner.after = fail
    with captured_log() as logged:
        task = world.ended(world.start(world.server()))
    assert (task.status, task.success_count, task.failure_count) == (COMPLETED, 100 - len(culprits), len(culprits))
    assert {f"t{each['lineNumber']}" for each in world.reported(task, ERRORS)} == culprits
    assert {each["errorCode"] for each in world.reported(task, ERRORS)} == {"InternalFailureException"}
    assert len(world.things()) == 100 - len(culprits)
    told = lines_of(logged, "bulk_registration_line_failed")
    assert {f"t{each['line_number']}" for each in told} == culprits


def test_a_failing_store_is_tried_until_it_works(world: World) -> None:
    world.fill(200)
    failing = FailingStore(world.store, before={0, 1, 2, 3, 4, 5, 6, 7, 9, 11}, after={8, 10, 12})
    task = world.ended(world.start(world.server(failing)))
    world.check_that_each_of(200, task)
    assert failing.writes > 12


def test_a_committed_step_is_not_repeated_where_the_gateway_cannot_be_updated() -> None:
    broken = True

    def tell(_changes: Sequence[Change]) -> None:
        nonlocal broken
        if broken:
            broken = False
            raise ZeroDivisionError

    def changing(tx: Transaction, realm: Realm, now: datetime, resources: Resources) -> Provisioned:
        made = provisioner(tx, realm, now, resources)
        # A new thing is not announced; one that changes is.
        things.update_in(tx, realm, provisioner.called[-1], attributes={"a": "b"})
        return made

    provisioner = Provisioner()
    with empty_store(tell) as store:
        world = World(store, SetClock(), Drawer(), provisioner)
        world.fill(200)
        bulk = BulkRegistration(store, world.clock, world.drawer, changing)
        world.check_that_each_of(200, world.ended(world.start(bulk)))
        bulk.stop()
    assert not broken


def test_an_input_that_fails_is_opened_again_at_its_position(world: World) -> None:
    world.fill(1000)
    world.drawer.refuses = [InputUnavailable("not yet"), InputUnavailable("not yet")]
    # More often than would be allowed without progress.
    world.drawer.breaks_at = [0, 2500, 5000, 7500, 10_000, 12_500, 15_000, len(world.drawer.content) - 1]
    task = world.ended(world.start(world.server()))
    world.check_that_each_of(1000, task)
    assert world.drawer.opened_at[:4] == [0, 0, 0, 0]
    assert world.drawer.opened_at[4] > 1500
    assert world.drawer.breaks_at == []


def test_a_missing_input_fails_the_task_after_its_retries(world: World) -> None:
    world.fill(3)
    world.drawer.refuses = [InputUnavailable(f"{number} times away") for number in range(1, 9)]
    task = world.ended(world.start(world.server()))
    assert (task.status, task.message) == (FAILED, "4 times away")


def test_an_input_that_does_not_exist_fails_the_task_at_once(world: World) -> None:
    world.drawer.refuses = [InputError("x" * 5000)]
    task = world.ended(world.start(world.server()))
    assert (task.status, task.message) == (FAILED, "x" * 2048)
    assert world.drawer.opened_at == [0]


@pytest.mark.parametrize("more", [b"", b'{"ThingName": "half'])
def test_an_input_that_ends_too_early_is_not_complete(world: World, more: bytes) -> None:
    world.fill(100)
    world.drawer.content += more
    world.drawer.announced_size = 5000
    task = world.ended(world.start(world.server()))
    assert (task.status, task.success_count, task.failure_count) == (FAILED, 100, 0)
    assert task.message is not None
    assert "of its 5000 bytes" in task.message


def _stopped_half_way(world: World, many: int) -> str:
    """Start a server and stop it during a task; returns the task's id."""
    first = world.server(step_seconds=0.0)
    task_id = world.start(first)
    world.when(task_id, lambda task: task.lines_done >= 5)
    first.stop()
    assert world.task(task_id).status is IN_PROGRESS
    assert world.task(task_id).lines_done < many
    return task_id


def test_the_next_server_continues_where_the_last_one_was_stopped(world: World) -> None:
    world.fill(500)
    task_id = _stopped_half_way(world, 500)
    done = world.task(task_id)
    world.server().start()
    world.check_that_each_of(500, world.ended(task_id))
    assert done.bytes_done in world.drawer.opened_at
    assert len(world.provisioner.called) == 500


def test_a_changed_input_is_not_continued(world: World) -> None:
    world.fill(500)
    task_id = _stopped_half_way(world, 500)
    world.drawer.version = "2"
    world.server().start()
    task = world.ended(task_id)
    assert task.status is FAILED
    assert task.message is not None
    assert "was changed after the task began" in task.message


def test_a_step_ends_after_its_time_and_has_at_least_one_line(world: World) -> None:
    world.fill(20)
    failing = FailingStore(world.store)
    world.ended(world.start(world.server(failing, step_seconds=0.0)))
    # Opening; a step for each line; the end.
    assert failing.writes == 22


def test_two_servers_on_one_store_process_no_line_twice(world: World) -> None:
    world.fill(120)
    bulk = world.server(step_seconds=0.0)
    task_id = world.start(bulk)
    world.server(step_seconds=0.0).start()
    world.check_that_each_of(120, world.ended(task_id))


def test_a_server_that_opens_the_input_while_another_continues_leaves_the_task_to_it(world: World) -> None:
    world.fill(10)
    tasks = RegistrationTasks(world.store, world.clock, lambda _realm, _task_id: None)
    task = tasks.start(HOME, TEMPLATE, "bucket", "key", "role")

    def go_on() -> None:
        with world.store.write() as tx:
            RegistrationTaskRows(tx).replace(replace(task, lines_done=1, bytes_done=20, success_count=1))

    world.drawer.meanwhile = go_on
    with captured_log() as logged:
        bulk = world.server()
        bulk.start()
        eventually(lambda: not bulk._threads)
    assert world.provisioner.called == []
    assert logged[0]["code"] == "bulk_registration_taken"
    assert world.task(task.task_id).input_version is None


def test_a_task_that_waits_for_its_input_can_be_cancelled(world: World) -> None:
    world.drawer.refuses = [InputUnavailable("away")] * 100
    bulk = world.server(retry_delays=(600.0,))
    task_id = world.start(bulk)
    eventually(lambda: world.drawer.opened_at)
    world.tasks(bulk).stop(HOME, task_id)
    assert world.ended(task_id).status is CANCELLED


def test_a_task_that_was_being_cancelled_at_the_end_of_the_server_is_cancelled_by_the_next(world: World) -> None:
    world.fill(500)
    task_id = _stopped_half_way(world, 500)
    done = world.task(task_id).lines_done
    world.tasks(world.running[0]).stop(HOME, task_id)
    world.server().start()
    task = world.ended(task_id)
    assert (task.status, task.lines_done) == (CANCELLED, done)


def test_other_writers_get_their_turn_between_two_steps(world: World) -> None:
    world.fill(10 * MAX_LINES_PER_STEP)
    task_id = world.start(world.server())
    world.when(task_id, lambda task: task.lines_done > 0)
    turns = 0
    while world.task(task_id).status is IN_PROGRESS:
        with world.store.write() as tx:
            TagRows(tx).put(HOME, "arn", {"k": "v"})
        turns += 1
    # At least ten steps, and after each a turn for a writer that waits.
    assert turns >= 3


@pytest.mark.parametrize(
    ("changes", "percentage"),
    [
        ({}, 0),
        ({"input_bytes": 0}, 0),
        ({"input_bytes": 2000, "bytes_done": 999}, 49),
        # It has grown since it was opened.
        ({"input_bytes": 1000, "bytes_done": 1001}, 100),
        ({"status": COMPLETED}, 100),
        ({"status": CANCELLED, "input_bytes": 3, "bytes_done": 1}, 33),
    ],
)
def test_progress_is_the_processed_part_of_the_input(world: World, changes: dict[str, Any], percentage: int) -> None:
    task = RegistrationTasks(world.store, world.clock, lambda _realm, _id: None).start(HOME, TEMPLATE, "b", "k", "r")
    assert replace(task, **changes).percentage == percentage


def test_stopping_waits_for_the_current_step(world: World) -> None:
    world.fill(5)
    within, on = threading.Event(), threading.Event()

    def wait(_name: str) -> None:
        within.set()
        assert on.wait(10)

    world.provisioner.before = wait
    bulk = world.server()
    task_id = world.start(bulk)
    assert within.wait(10)
    stopping = threading.Thread(target=bulk.stop)
    stopping.start()
    on.set()
    stopping.join(10)
    done = world.task(task_id).lines_done
    assert done > 0
    assert len(world.reported(world.task(task_id))) == done


@dataclass
class Forgetful:
    """Tasks with a clock that a test moves."""

    now: datetime

    def __call__(self) -> datetime:
        return self.now


def test_a_task_is_deleted_with_its_reports_30_days_after_its_end(world: World) -> None:
    clock: Clock = (moved := Forgetful(world.clock()))
    tasks = RegistrationTasks(world.store, clock, lambda _realm, _task_id: None)
    old = tasks.start(HOME, TEMPLATE, "bucket", "key", "role")
    with world.store.write() as tx:
        RegistrationTaskRows(tx).replace(replace(old, status=COMPLETED, success_count=1))
        RegistrationTaskRows(tx).add_report(old, RESULTS, 1, 1, "{}\n")
    (file,) = tasks.reports(HOME, old.task_id, RESULTS, Window(limit=9)).items
    moved.now += RETENTION
    assert tasks.report(file) == ["{}\n"]
    assert tasks.describe(HOME, old.task_id)
    moved.now += timedelta(seconds=1)
    assert tasks.report(file) is None
    assert tasks.list(HOME, Window(limit=9)).items == []
    with world.store.read() as tx:
        assert RegistrationTaskRows(tx).get(HOME, old.task_id) is not None
    # Starting another task deletes old ones.
    new = tasks.start(OTHER_ACCOUNT, TEMPLATE, "bucket", "key", "role")
    with world.store.read() as tx:
        assert RegistrationTaskRows(tx).get(HOME, old.task_id) is None
        assert RegistrationTaskRows(tx).report(old, RESULTS, 1) == []
    moved.now += 2 * RETENTION
    # A running task is never deleted.
    assert tasks.describe(OTHER_ACCOUNT, new.task_id) == new


@pytest.mark.parametrize(
    "name",
    ["results-1.json", "results-0002.json", "errors-0001.json", "../results-0001.json", "results-0001.jsonx", ""],
)
def test_a_missing_report_is_none(world: World, name: str) -> None:
    world.fill(1)
    bulk = world.server()
    task = world.ended(world.start(bulk))
    good = ReportFile(task.task_id, task.report_token, "results-0001.json")
    assert world.tasks(bulk).report(good)
    assert world.tasks(bulk).report(replace(good, name=name)) is None
    assert world.tasks(bulk).report(replace(good, token="é")) is None
    assert world.tasks(bulk).report(replace(good, task_id="another")) is None


def test_tasks_of_two_accounts_alternate_and_never_use_the_store_together(world: World) -> None:
    world.fill(30)
    bulk = world.server(step_seconds=0.0)
    tasks = RegistrationTasks(world.store, world.clock, lambda _realm, _task_id: None)
    started = {realm: tasks.start(realm, TEMPLATE, "bucket", "key", "role").task_id for realm in (HOME, OTHER_ACCOUNT)}
    at_once: list[int] = []
    running = threading.Semaphore(1)

    def before(_: str) -> None:
        at_once.append(not running.acquire(blocking=False))

    world.provisioner.before, world.provisioner.after = before, lambda _: running.release()
    for realm, task_id in started.items():
        bulk.begin(realm, task_id)
    eventually(lambda: len(world.provisioner.realms) >= 60)
    assert not any(at_once)
    accounts = ["first" if realm == HOME else "second" for realm in world.provisioner.realms]
    # From the time when both run until one has ended.
    begin = max(accounts.index("first"), accounts.index("second"))
    end = min(len(accounts) - 1 - accounts[::-1].index(account) for account in ("first", "second"))
    together = accounts[begin : end + 1]
    assert len(together) > 20
    assert all(one != other for one, other in itertools.pairwise(together))
