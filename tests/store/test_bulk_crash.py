"""A bulk registration whose process is killed: within a step, and when a step has become durable."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sekisho.clock import utc_now
from sekisho.pages import Window
from sekisho.provisioning.bulk.model import RegistrationTaskStatus, ReportType
from sekisho.provisioning.bulk.rules import RegistrationTasks
from sekisho.provisioning.bulk.store import RegistrationTaskRows
from sekisho.store.store import Store
from sekisho.things.store import ThingRows
from tests.store.builders import HOME

MANY = 400
TEMPLATE = json.dumps(
    {
        "Parameters": {"ThingName": {"Type": "String"}},
        "Resources": {"thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "ThingName"}}}},
    }
)

# Runs unfinished tasks, and kills itself: at its nth device, or when its nth step is committed.
# It runs without pytest, so its loop is its own; the test ends it.
SERVER = """
import os, signal, sys, time
from pathlib import Path
from sekisho.buckets.folder import FolderBuckets
from sekisho.clock import utc_now
from sekisho.errors import LimitExceededException
from sekisho.provisioning.bulk.registration import BulkRegistration
from sekisho.provisioning.provisioner import Provisioned
from sekisho.provisioning.bulk.store import RegistrationTaskRows
from sekisho.store.store import Store
from sekisho.things import rules as things
from sekisho.things.store import ThingRows
from tests.store.builders import HOME

url, folder, place, number = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
left = {"device": 10**9, "step": 10**9, place: number}

def pass_by(place):
    left[place] -= 1
    if not left[place]:
        os.kill(os.getpid(), signal.SIGKILL)

def provision(tx, realm, now, resources):
    pass_by("device")
    name = resources.thing.name
    if ThingRows(tx).get(realm, name) is not None:
        raise LimitExceededException("a second time")
    things.create_in(tx, realm, now, name)
    return Provisioned({"thing": name}, name, None, {})

with Store(url, lambda _: pass_by("step")) as store:
    bulk = BulkRegistration(store, utc_now, FolderBuckets(folder), provision)
    bulk.start()
    unfinished = True
    while unfinished:
        time.sleep(0.01)
        with store.read() as tx:
            unfinished = RegistrationTaskRows(tx).unfinished()
    bulk.stop()
"""


@pytest.mark.parametrize("place", ["device", "step"])
def test_kill_9_neither_repeats_nor_loses_a_line(url: str, tmp_path: Path, place: str) -> None:
    folder = tmp_path / HOME.account_id / "bucket"
    folder.mkdir(parents=True)
    lines = [json.dumps({"ThingName": f"t{number}"}) for number in range(1, MANY + 1)]
    (folder / "key").write_text("\n".join(lines))
    with Store(url, lambda _: None) as store:
        tasks = RegistrationTasks(store, utc_now, lambda _realm, _task_id: None)
        task = tasks.start(HOME, TEMPLATE, "bucket", "key", "role")
    for number in (1, 2, 90, 1, 3, 10**6):
        ended = subprocess.run(
            [sys.executable, "-c", SERVER, url, str(tmp_path), place, str(number)], check=False, timeout=120
        )
        assert ended.returncode in (0, -signal.SIGKILL)
    assert ended.returncode == 0
    with Store(url, lambda _: None) as store, store.read() as tx:
        done = RegistrationTaskRows(tx).get(HOME, task.task_id)
        assert done is not None
        assert (done.status, done.success_count, done.failure_count) == (RegistrationTaskStatus.COMPLETED, MANY, 0)
        reported = "".join(RegistrationTaskRows(tx).report(done, ReportType.RESULTS, 1)).splitlines()
        assert [json.loads(line)["lineNumber"] for line in reported] == list(range(1, MANY + 1))
        assert len(ThingRows(tx).page(HOME, Window(limit=MANY + 1)).items) == MANY
