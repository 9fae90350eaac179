"""The arithmetic of the benchmark: what it makes of what the load generator reports."""

from __future__ import annotations

import os

import pytest

from bench.provisioning.gauge import Reading
from bench.provisioning.measure import Measure
from bench.provisioning.measure import table as provisioning_table
from bench.results import Comparison, Sample, table
from bench.workloads import workloads

TICKS = os.sysconf("SC_CLK_TCK")


def report(units: int, server_seconds: float, **more: object) -> dict[str, object]:
    nothing = {"failed": 0, "lost": 0, "duplicates": 0, "last_failure": None}
    ticks = {"server_ticks": int(server_seconds * TICKS), "load_ticks": TICKS, "other_ticks": TICKS}
    return {"units": units, "seconds": 2.0, **ticks, **nothing, **more}


def compare(theirs: list[Sample], ours: list[Sample]) -> Comparison:
    return Comparison(workloads(1.0, 600)[0], theirs, ours)


def test_cpu_time_is_counted_per_unit_and_units_per_second() -> None:
    sample = Sample.of(report(units=1000, server_seconds=1.0))
    assert (sample.cpu_per_unit, sample.per_second) == (1000.0, 500.0)
    assert (sample.server_busy, sample.load_busy) == (0.5, 0.5)
    assert sample.others_busy == 0.25


def test_memory_is_counted_per_connection() -> None:
    assert Sample.of({"connections": 10, "before_kib": 1000, "after_kib": 1150}).cpu_per_unit == 15.0


def test_a_run_that_counted_nothing_is_no_sample() -> None:
    with pytest.raises(ValueError, match="refused"):
        Sample.of(report(units=0, server_seconds=1.0, last_failure="the server refused"))


def test_ratios_are_taken_round_by_round() -> None:
    # The machine got four times slower between the rounds; neither round says that one server did.
    theirs = [Sample.of(report(1000, 1.0)), Sample.of(report(250, 1.0))]
    ours = [Sample.of(report(2000, 1.0)), Sample.of(report(500, 1.0))]
    comparison = compare(theirs, ours)
    cheaper, faster = comparison.cheaper(), comparison.faster()
    assert (cheaper.least, cheaper.middle, cheaper.most) == (2.0, 2.0, 2.0)
    assert faster is not None
    assert (faster.least, faster.most) == (2.0, 2.0)


def test_what_was_lost_is_told_and_by_whom() -> None:
    comparison = compare([Sample.of(report(1000, 1.0))], [Sample.of(report(1000, 1.0, lost=3))])
    assert comparison.troubles() == ["connect-p256: sekisho lost 3 of 1000"]


def test_the_table_has_a_row_for_each_workload() -> None:
    rows = workloads(1.0, 600)
    sample = [Sample.of(report(1000, 1.0))]
    lines = table([Comparison(row, sample, sample) for row in rows]).splitlines()
    assert len(lines) == len(rows) + 2
    assert len({line.count("|") for line in lines}) == 1


def test_every_workload_names_devices_that_it_has_asked_for() -> None:
    for row in workloads(1.0, 600):
        groups = row.work.get("messages", {}).get("groups", [])
        used = [end["device"] for group in groups for end in group["publishers"] + group["subscribers"]]
        assert len(used) == len(set(used)), f"{row.name}: a device has one connection"
        assert all(number < row.devices for number in used), row.name


def sample(cpu: float, per_second: float, **more: int) -> Sample:
    return Sample(10, per_second, cpu, server_busy=0.5, load_busy=0.25, others_busy=0.0, **more)


def test_what_stands_beside_another_is_compared_round_by_round() -> None:
    measure = Measure("jitr", "connect", {"new": "known"})
    for known, new in ((100.0, 300.0), (200.0, 400.0), (100.0, 250.0)):
        measure.add("known", sample(known, 10.0))
        measure.add("new", sample(new, 5.0))
    cpu, rate = measure.cpu_ratio("new"), measure.rate_ratio("new")
    assert cpu is not None
    assert rate is not None
    assert (cpu.least, cpu.middle, cpu.most) == (2.0, 2.5, 3.0)
    assert (rate.least, rate.most) == (0.5, 0.5)
    assert measure.cpu_ratio("known") is None
    assert "| jitr" in provisioning_table([measure])
    assert measure.as_json()["subjects"][1]["times_the_cpu"] == {"least": 2.0, "middle": 2.5, "most": 3.0}


def test_without_its_peer_a_subject_stands_alone() -> None:
    measure = Measure("register", "certificate", {"moto_server": "sekisho"})
    measure.add("sekisho", sample(100.0, 10.0))
    assert [row[4:6] for row in measure.rows()] == [("-", "-")]


def test_what_ended_otherwise_is_a_trouble() -> None:
    measure = Measure("knocking", "attempt", {})
    measure.add("refused", sample(100.0, 10.0, failed=3))
    assert measure.troubles == ["knocking, refused: 3 ended otherwise than expected"]


def test_the_gauge_counts_what_a_process_computes() -> None:
    before = Reading.now(os.getpid(), [])
    while Reading.now(os.getpid(), []).server - before.server < 0.02:
        sum(range(100_000))
    measured = before.until(Reading.now(os.getpid(), []), units=10)
    assert measured.cpu_per_unit >= 2000
    assert measured.server_busy > 0
    assert measured.load_busy > 0
