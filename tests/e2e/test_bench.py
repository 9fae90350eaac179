"""The benchmark itself: that it runs, counts and loses nothing. How fast anything is, no test says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="the server and the load need a core each")
@pytest.mark.skipif(shutil.which("taskset") is None, reason="taskset is missing: util-linux has it")
def test_the_benchmark_counts_connects_and_messages_on_both_servers(tmp_path: Path) -> None:
    subprocess.run(["cargo", "build", "--quiet", "--package", "sekisho-load"], cwd=ROOT, check=True, timeout=600)
    server_core, load_core = sorted(os.sched_getaffinity(0))[:2]

    options = (
        f"--only connect-p256 --only one-in-flight --rounds 1 --seconds 0.3 --results {tmp_path} "
        f"--server-core {server_core} --load-core {load_core} --load {ROOT}/target/debug/sekisho-load"
    ).split()

    measured = subprocess.run(
        [sys.executable, "-m", "bench.run", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert measured.returncode == 0, measured.stderr
    assert "Nothing was lost, doubled or refused." in measured.stdout
    (file,) = tmp_path.iterdir()
    results = json.loads(file.read_text())["results"]
    assert [row["workload"] for row in results] == ["connect-p256", "one-in-flight"]
    for row in results:
        for server in ("mosquitto", "sekisho"):
            assert all(sample["units"] > 0 and sample["cpu_per_unit"] > 0 for sample in row[server])
