"""The arithmetic of the benchmark, from the reports of the load generator."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bench import result_file
from bench.provisioning.gauge import Reading
from bench.provisioning.measure import Measure
from bench.provisioning.measure import table as provisioning_table
from bench.result_file import FOLDER, Run
from bench.results import Comparison, Sample, table
from bench.workloads import workloads

TICKS = os.sysconf("SC_CLK_TCK")


def report(units: int, server_seconds: float, **more: object) -> dict[str, object]:
    nothing = {"failed": 0, "lost": 0, "duplicates": 0, "last_failure": None}
    ticks = {"server_ticks": int(server_seconds * TICKS), "load_ticks": TICKS, "other_ticks": TICKS}
    return {"units": units, "seconds": 2.0, **ticks, **nothing, **more}


def compare(theirs: list[Sample], ours: list[Sample]) -> Comparison:
    return Comparison(workloads(1.0, 600)[0], theirs, ours)


def test_cpu_time_is_per_unit_and_the_rate_in_units_per_second() -> None:
    sample = Sample.of(report(units=1000, server_seconds=1.0))
    assert (sample.cpu_per_unit, sample.per_second) == (1000.0, 500.0)
    assert (sample.server_busy, sample.load_busy) == (0.5, 0.5)
    assert sample.others_busy == 0.25


def test_memory_is_per_connection() -> None:
    assert Sample.of({"connections": 10, "before_kib": 1000, "after_kib": 1150}).cpu_per_unit == 15.0


def test_a_run_without_a_count_is_not_a_sample() -> None:
    with pytest.raises(ValueError, match="refused"):
        Sample.of(report(units=0, server_seconds=1.0, last_failure="the server refused"))


def test_ratios_are_calculated_per_round() -> None:
    # The machine became four times slower between the rounds; in neither round did a server.
    theirs = [Sample.of(report(1000, 1.0)), Sample.of(report(250, 1.0))]
    ours = [Sample.of(report(2000, 1.0)), Sample.of(report(500, 1.0))]
    comparison = compare(theirs, ours)
    cheaper, faster = comparison.cheaper(), comparison.faster()
    assert (cheaper.least, cheaper.middle, cheaper.most) == (2.0, 2.0, 2.0)
    assert faster is not None
    assert (faster.least, faster.most) == (2.0, 2.0)


def test_lost_messages_are_reported_with_the_server() -> None:
    comparison = compare([Sample.of(report(1000, 1.0))], [Sample.of(report(1000, 1.0, lost=3))])
    assert comparison.troubles() == ["connect-p256: sekisho lost 3 of 1000"]


def test_the_table_has_a_row_for_each_workload() -> None:
    rows = workloads(1.0, 600)
    sample = [Sample.of(report(1000, 1.0))]
    lines = table([Comparison(row, sample, sample) for row in rows]).splitlines()
    assert len(lines) == len(rows) + 2
    assert len({line.count("|") for line in lines}) == 1


def test_every_workload_uses_only_devices_that_it_has_asked_for() -> None:
    for row in workloads(1.0, 600):
        groups = row.work.get("messages", {}).get("groups", [])
        used = [end["device"] for group in groups for end in group["publishers"] + group["subscribers"]]
        assert len(used) == len(set(used)), f"{row.name}: a device has one connection"
        assert all(number < row.devices for number in used), row.name


def sample(cpu: float, per_second: float, **more: int) -> Sample:
    return Sample(10, per_second, cpu, server_busy=0.5, load_busy=0.25, others_busy=0.0, **more)


def test_compared_subjects_are_compared_per_round() -> None:
    measure = Measure("jitr", "connect", {"new": "known"})
    for known, new in ((100.0, 300.0), (200.0, 400.0), (100.0, 250.0)):
        measure.add("known", sample(known, 10.0))
        measure.add("new", sample(new, 5.0))
    cpu, rate = measure.cpu_ratio("new"), measure.rate_ratio("new")
    assert cpu is not None
    assert rate is not None
    assert (cpu.least, cpu.middle, cpu.most) == (2.0, 2.5, 3.0)
    assert (rate.least, rate.most) == (0.5, 0.5)
    time = measure.time_ratio("new")
    assert time is not None
    assert (time.least, time.most) == (2.0, 2.0)
    assert measure.cpu_ratio("known") is None
    assert "| jitr" in provisioning_table([measure])
    assert measure.as_json()["subjects"][1]["times_the_cpu"] == {"least": 2.0, "middle": 2.5, "most": 3.0}


def test_without_its_peer_a_subject_has_no_ratio() -> None:
    measure = Measure("register", "certificate", {"moto_server": "sekisho"})
    measure.add("sekisho", sample(100.0, 10.0))
    assert [row[4:6] for row in measure.rows()] == [("-", "-")]


def test_an_unexpected_outcome_is_reported() -> None:
    measure = Measure("refusals", "attempt", {})
    measure.add("refused", sample(100.0, 10.0, failed=3))
    assert measure.troubles == ["refusals, refused: 3 ended otherwise than expected"]


def test_the_gauge_counts_the_cpu_time_of_a_process() -> None:
    before = Reading.now(os.getpid(), [])
    while Reading.now(os.getpid(), []).server - before.server < 0.02:
        sum(range(100_000))
    measured = before.until(Reading.now(os.getpid(), []), units=10)
    assert measured.cpu_per_unit >= 2000
    assert measured.server_busy > 0
    assert measured.load_busy > 0


# The files of results


RUN = Run(
    "mosquitto", datetime(2026, 11, 28, 9, tzinfo=UTC), "ab" * 20, True, True, "0.1.0", "lab 1", 2, {"seconds": 2}
)


def written(folder: Path, run: Run = RUN) -> Path:
    samples = [Sample.of(report(1000, 1.0)), Sample.of(report(500, 1.0))]
    return result_file.write(folder, run, [compare(samples, samples).as_json()])


def test_every_tracked_file_of_results_has_the_documented_format() -> None:
    for file in FOLDER.glob("*.json"):
        assert result_file.read(file)["benchmark"] in ("mosquitto", "provisioning", "start"), file.name


def test_a_file_is_named_after_day_and_commit_and_contains_the_machine(tmp_path: Path) -> None:
    file = written(tmp_path)
    assert file.name == "2026-11-28-ababababab.json"
    content = result_file.read(file)
    assert content["machine"]["name"] == "lab 1"
    assert content["machine"]["cores"] == os.cpu_count()
    assert content["results"][0]["times_less_per_unit"]["middle"] == 1.0


def test_a_file_that_cannot_be_compared_has_another_name() -> None:
    run = replace(RUN, benchmark="provisioning", is_complete=False, is_clean=False)
    assert run.file_name == "2026-11-28-ababababab-provisioning-partial-changed.json"


def test_a_machine_without_a_name_is_named_after_its_processor(tmp_path: Path) -> None:
    machine = result_file.read(written(tmp_path, replace(RUN, machine_name="")))["machine"]
    assert machine["name"] == f"{machine['processor']}, {machine['cores']} cores"


def test_a_run_contains_the_commit_that_it_measured(tmp_path: Path) -> None:
    run = Run.now("mosquitto", "0.1.0", 2, {}, is_complete=False, machine_name="lab 1")
    assert len(run.commit) == 40
    assert result_file.read(written(tmp_path, run))["commit"] == run.commit


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda content: content.pop("commit"), "missing or unknown: commit"),
        (lambda content: content.update(format=2), "format 2 is not 1"),
        (lambda content: content.update(rounds=True), "rounds is int, not True"),
        (lambda content: content.update(commit="main"), "40 hexadecimal digits"),
        (lambda content: content.update(date="2026-11-29T09:00:00+00:00"), "belongs into a file 2026-11-29-"),
        (lambda content: content.update(date="2026-11-28T09:00:00"), "offset from UTC"),
        (lambda content: content["machine"].update(name=""), "machine has a name"),
        (lambda content: content["results"][0]["sekisho"].pop(), "one sample for each of 2 rounds"),
        (lambda content: content["results"][0]["sekisho"][0].pop("lost"), "a sample has the numbers"),
        (lambda content: content["results"][0]["sekisho"][0].update(cpu_per_unit=1), "is not that of the samples"),
        (lambda content: content.update(results=[]), "results is not empty"),
    ],
)
def test_a_damaged_file_is_refused_by_name(
    tmp_path: Path, spoil: Callable[[dict[str, Any]], object], complaint: str
) -> None:
    file = written(tmp_path)
    content = json.loads(file.read_text())
    spoil(content)
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=complaint) as refusal:
        result_file.read(file)
    assert str(refusal.value).startswith(file.name)


def test_the_ratios_of_provisioning_are_checked(tmp_path: Path) -> None:
    measure = Measure("jitr", "connect", {"new": "known"})
    for known, new in ((100.0, 300.0), (200.0, 400.0)):
        measure.add("known", sample(known, 10.0))
        measure.add("new", sample(new, 5.0))
    row = measure.as_json()
    run = replace(RUN, benchmark="provisioning")
    assert result_file.read(result_file.write(tmp_path, run, [row]))["results"] == [row]
    row["subjects"][1]["times_the_cpu"]["most"] = 4.0
    with pytest.raises(ValueError, match=r"jitr, new: the ratio .* is not that of the samples"):
        result_file.write(tmp_path, run, [row])
