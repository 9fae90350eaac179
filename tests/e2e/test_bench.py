"""The benchmark runs, counts, and loses nothing. No test checks speed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench import result_file

ROOT = Path(__file__).resolve().parents[2]


pytestmark = [
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="the server and the load need a core each"),
    pytest.mark.skipif(shutil.which("taskset") is None, reason="taskset is missing: util-linux has it"),
]


@pytest.fixture(scope="module")
def load() -> Path:
    """Return the load generator."""
    subprocess.run(["cargo", "build", "--quiet", "--package", "sekisho-load"], cwd=ROOT, check=True, timeout=600)
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / "sekisho-load"


def run(module: str, options: str, load: Path | None, results: Path) -> tuple[str, list[dict[str, Any]]]:
    """Run the benchmark; returns its output, and the results in its file."""
    server_core, load_core = sorted(os.sched_getaffinity(0))[:2]
    cores = f"--server-core {server_core} --load-core {load_core}".split()
    generator = [] if load is None else ["--load", str(load)]
    measured = subprocess.run(
        [sys.executable, "-m", module, *options.split(), *cores, "--results", str(results), *generator],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert measured.returncode == 0, measured.stderr + measured.stdout
    (file,) = results.iterdir()
    assert "partial" in file.name
    return measured.stdout, result_file.read(file)["results"]


def subjects(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the only sample of each subject."""
    return {each["subject"]: each["samples"][0] for each in result["subjects"]}


def test_the_benchmark_counts_connects_and_messages_on_both_servers(load: Path, tmp_path: Path) -> None:
    options = "--only connect-p256 --only one-in-flight --rounds 1 --seconds 0.3"

    output, results = run("bench.run", options, load, tmp_path)

    assert "Nothing was lost, doubled or refused." in output
    assert [row["workload"] for row in results] == ["connect-p256", "one-in-flight"]
    for row in results:
        for server in ("mosquitto", "sekisho"):
            assert all(sample["units"] > 0 and sample["cpu_per_unit"] > 0 for sample in row[server])


def test_the_benchmark_of_provisioning_registers_every_device_exactly_once(load: Path, tmp_path: Path) -> None:
    output, (result,) = run("bench.provisioning.run", "--only jitr --rounds 1 --devices 40", load, tmp_path)

    assert "Everything ended as it must." in output
    assert {subject: sample["units"] for subject, sample in subjects(result).items()} == {
        "known, first connect": 40,
        "known, seen before": 40,
        "unknown, registered": 40,
    }


def test_the_benchmark_of_registration_registers_all_certificates_in_every_variant(load: Path, tmp_path: Path) -> None:
    options = f"--only register --rounds 1 --certificates 16 --against {sys.executable}"

    output, (result,) = run("bench.provisioning.run", options, load, tmp_path)

    assert "Everything ended as it must." in output
    samples = subjects(result)
    ahead = {"sekisho, signed ahead", "sekisho, signed ahead, one client"}
    assert {"sekisho, boto3", *ahead, *(f"other {each}" for each in ahead)} <= set(samples)
    assert all(sample["units"] == 16 and sample["failed"] == 0 for sample in samples.values())
    # What could not be measured here is listed with what to do.
    assert ("moto_server, boto3" in samples) != any("pipx install" in why for why in result["skipped"])


def test_the_benchmark_of_registry_sizes_connects_to_a_registry_of_each_size(load: Path, tmp_path: Path) -> None:
    options = "--only registry-size --rounds 1 --connecting 40 --small 40 --large 600"

    output, (result,) = run("bench.provisioning.run", options, load, tmp_path)

    assert "Everything ended as it must." in output
    samples = subjects(result)
    assert len(samples) == 4
    assert all(sample["units"] == 40 and sample["failed"] == 0 for sample in samples.values())


def test_in_the_benchmark_of_refusals_every_attempt_is_refused(load: Path, tmp_path: Path) -> None:
    output, (result,) = run("bench.provisioning.run", "--only refusals --rounds 1 --attempts 1", load, tmp_path)

    assert "Everything ended as it must." in output
    samples = subjects(result)
    assert set(samples) == {"known, connects", "CA_NOT_REGISTERED", "PENDING_ACTIVATION", "PROVISIONING_FAILED"}
    assert all(sample["units"] == 64 and sample["failed"] == 0 for sample in samples.values())


def test_the_benchmark_of_the_start_measures_two_starts_and_three_commands(tmp_path: Path) -> None:
    said, (result,) = run("bench.start", "--rounds 1", None, tmp_path)

    samples = subjects(result)
    assert {
        "sekisho up, empty folder", "sekisho up, again", "sekisho env", "sekisho status", "sekisho --help"
    } <= samples.keys()  # fmt: skip
    assert all(sample["units"] == 1 and sample["cpu_per_unit"] > 0 for sample in samples.values())
    for program in ("moto_server", "ministack"):
        assert (program in samples) != any(program in why for why in result["skipped"])
        assert program in said
