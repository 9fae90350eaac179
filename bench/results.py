"""Measured numbers: ratios within a round, because a machine's speed changes during a run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Final, Self

from bench.workloads import Workload

_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement of one server under one workload."""

    units: int
    per_second: float
    cpu_per_unit: float
    """Microseconds of the server's CPU time; for idle connections KiB of its memory."""
    server_busy: float
    """Part of one core."""
    load_busy: float
    others_busy: float
    """Part of the two cores together that other processes used."""
    failed: int = 0
    lost: int = 0
    duplicates: int = 0

    @classmethod
    def of(cls, report: Mapping[str, Any]) -> Self:
        """Read the output of the load generator. Raises ValueError where nothing was counted."""
        if "connections" in report:
            connections = report["connections"]
            return cls(connections, 0.0, (report["after_kib"] - report["before_kib"]) / connections, 0.0, 0.0, 0.0)
        units, seconds = report["units"], report["seconds"]
        if units == 0 or report["server_ticks"] == 0:
            raise ValueError(f"nothing was counted; {report['last_failure'] or 'no message arrived'}")
        server, load = (report[f"{side}_ticks"] / _TICKS_PER_SECOND for side in ("server", "load"))
        return cls(
            units=units,
            per_second=units / seconds,
            cpu_per_unit=server / units * 1e6,
            server_busy=server / seconds,
            load_busy=load / seconds,
            others_busy=report["other_ticks"] / _TICKS_PER_SECOND / seconds / 2,
            failed=report["failed"],
            lost=report["lost"],
            duplicates=report["duplicates"],
        )


@dataclass(frozen=True, slots=True)
class Spread:
    """Minimum, median and maximum of several rounds."""

    least: float
    middle: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Return the spread of at least one value."""
        return cls(min(values), median(values), max(values))

    def __str__(self) -> str:
        return f"{self.middle:.2f} ({self.least:.2f}-{self.most:.2f})"


@dataclass(frozen=True, slots=True)
class Comparison:
    """All rounds of one workload, the two servers in turn."""

    workload: Workload
    theirs: Sequence[Sample]
    ours: Sequence[Sample]

    def cheaper(self) -> Spread:
        """Return mosquitto's CPU time (memory) per unit divided by ours, per round."""
        return Spread.of(
            [theirs.cpu_per_unit / ours.cpu_per_unit for theirs, ours in zip(self.theirs, self.ours, strict=True)]
        )

    def faster(self) -> Spread | None:
        """Return our units per second divided by mosquitto's; None for memory."""
        if self.workload.unit == "connection":
            return None
        return Spread.of(
            [ours.per_second / theirs.per_second for theirs, ours in zip(self.theirs, self.ours, strict=True)]
        )

    def troubles(self) -> list[str]:
        """Return messages about lost, repeated and refused units."""
        found = []
        for name, samples in (("mosquitto", self.theirs), ("sekisho", self.ours)):
            for what in ("failed", "lost", "duplicates"):
                count = sum(getattr(sample, what) for sample in samples)
                if count:
                    found.append(f"{self.workload.name}: {name} {what} {count} of {sum(s.units for s in samples)}")
        return found

    def others_busy(self) -> float:
        """Return the maximum part of the two cores that other processes used in any round."""
        return max(sample.others_busy for sample in (*self.theirs, *self.ours))

    def as_json(self) -> dict[str, Any]:
        """Return everything, for a file."""
        faster = self.faster()
        return {
            "workload": self.workload.name,
            "what": self.workload.what,
            "unit": self.workload.unit,
            "times_less_per_unit": asdict(self.cheaper()),
            "times_more_per_second": asdict(faster) if faster else None,
            "mosquitto": [asdict(sample) for sample in self.theirs],
            "sekisho": [asdict(sample) for sample in self.ours],
        }


def table(comparisons: Sequence[Comparison]) -> str:
    """Return a Markdown table of medians, with minimum and maximum of the ratios."""
    head = ("workload", "unit", "mosquitto", "sekisho", "times less", "times the rate", "load busy")
    rows = [head, tuple("---" for _ in head)]
    for each in comparisons:
        memory = each.workload.unit == "connection"
        unit = "KiB/connection" if memory else f"µs CPU/{each.workload.unit}"
        busy = [f"{median(sample.load_busy for sample in samples) * 100:.0f} %" for samples in (each.theirs, each.ours)]
        rows.append(
            (
                each.workload.what,
                unit,
                f"{median(sample.cpu_per_unit for sample in each.theirs):.1f}",
                f"{median(sample.cpu_per_unit for sample in each.ours):.1f}",
                str(each.cheaper()),
                str(each.faster() or "-"),
                "-" if memory else ", ".join(busy),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    )
