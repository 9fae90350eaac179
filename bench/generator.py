"""The load generator (bench/load) in a separate process, on a separate core."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.servers import CannotMeasure


class Generator:
    """Runs jobs, one at a time."""

    def __init__(self, program: Path, core: int) -> None:
        self._command = ["taskset", "--cpu-list", str(core), str(program)]

    def report(self, what: str, job: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """Run a job and return its report (bench/load/src/report.rs).

        Args:
            what: The measured thing, which begins the message of an error.
            job: As bench/load/src/job.rs says.
            seconds: Maximum time.

        Raises CannotMeasure.
        """
        try:
            done = subprocess.run(
                self._command, input=json.dumps(job), capture_output=True, text=True, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired:
            raise CannotMeasure(f"{what}: the load did not end") from None
        if done.returncode != 0:
            raise CannotMeasure(f"{what}: {done.stderr.strip() or 'the load ended early'}")
        return dict(json.loads(done.stdout))


def check_generator(program: Path) -> None:
    """Check that it is built. Raises CannotMeasure."""
    if not program.is_file():
        raise CannotMeasure(f"{program} is missing: cargo build --release -p sekisho-load")


def check_machine(server_core: int, load_core: int) -> None:
    """Check that server and load have a core each, and raise the limit of open files. Raises CannotMeasure."""
    available = os.sched_getaffinity(0)
    if server_core == load_core or not {server_core, load_core} <= available:
        raise CannotMeasure(
            f"The server needs a core and the load another; there are {sorted(available)}. "
            "Choose with --server-core and --load-core."
        )
    if shutil.which("taskset") is None:
        raise CannotMeasure("taskset is missing. Debian: sudo apt-get install util-linux")
    # Server and load inherit it: a connection is a file descriptor in each.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
