"""CPU time of a server while this process is the load (proc(5)); bench/load/src/gauge.rs is the same in Rust."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from bench.results import Sample

_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
_IDLE: Final = (3, 4)
"""Fields of a line of /proc/stat: idle and iowait."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of clock, server, this process and the cores, in seconds."""

    at: float
    server: float
    load: float
    busy: float

    @classmethod
    def now(cls, server_pid: int, cores: Sequence[int]) -> Self:
        """Read now."""
        return cls(time.monotonic(), _cpu(server_pid), time.process_time(), _busy(cores))

    @classmethod
    def before_start(cls, cores: Sequence[int]) -> Self:
        """Look now, for a server that is about to start."""
        return cls(time.monotonic(), 0.0, time.process_time(), _busy(cores))

    @classmethod
    def of_children(cls, cores: Sequence[int]) -> Self:
        """Look now; the server is all commands together that this process has run to their end."""
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return cls(time.monotonic(), used.ru_utime + used.ru_stime, time.process_time(), _busy(cores))

    def until(self, later: Reading, units: int, failed: int = 0) -> Sample:
        """Return the difference to a later reading."""
        seconds = later.at - self.at
        server, load = later.server - self.server, later.load - self.load
        return Sample(
            units=units,
            per_second=units / seconds,
            cpu_per_unit=server / max(units, 1) * 1e6,
            server_busy=server / seconds,
            load_busy=load / seconds,
            others_busy=max(0.0, later.busy - self.busy - server - load) / seconds / 2,
            failed=failed,
        )


def _cpu(pid: int) -> float:
    # The second field is the program's name in parentheses, which may contain anything.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def _busy(cores: Sequence[int]) -> float:
    ticks = 0
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name in {f"cpu{core}" for core in cores}:
            ticks += sum(int(field) for place, field in enumerate(fields[:8]) if place not in _IDLE)
    return ticks / _TICKS_PER_SECOND
