"""Results: a row for each measured subject, and ratios within a round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from bench.results import Sample, Spread


@dataclass(slots=True)
class Measure:
    """One benchmark: several subjects, measured once per round, and their comparisons."""

    name: str
    unit: str
    beside: Mapping[str, str]
    """Subject → the one that its CPU time and rate are divided by."""
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    """What could not be measured here, with what to do."""
    remarks: list[str] = field(default_factory=list)

    def add(self, subject: str, sample: Sample) -> None:
        """Add one round of a subject."""
        self.samples.setdefault(subject, []).append(sample)
        if sample.failed:
            self.troubles.append(f"{self.name}, {subject}: {sample.failed} ended otherwise than expected")

    def cpu_ratio(self, subject: str) -> Spread | None:
        """Return its CPU time divided by that of its peer; None where one of them was not measured."""
        return self._ratio(subject, lambda sample: sample.cpu_per_unit)

    def rate_ratio(self, subject: str) -> Spread | None:
        """Return its rate divided by that of its peer."""
        return self._ratio(subject, lambda sample: sample.per_second)

    def time_ratio(self, subject: str) -> Spread | None:
        """How many times its time for one unit."""
        return self._ratio(subject, lambda sample: 1 / sample.per_second)

    def _ratio(self, subject: str, of: Any) -> Spread | None:
        ours, theirs = self.samples.get(subject), self.samples.get(self.beside.get(subject, ""))
        if not ours or not theirs:
            return None
        return Spread.of([of(one) / of(other) for one, other in zip(ours, theirs, strict=True)])

    def others_busy(self) -> float:
        """Return the maximum part of the two cores that other processes used."""
        return max((sample.others_busy for samples in self.samples.values() for sample in samples), default=0.0)

    def as_json(self) -> dict[str, Any]:
        """Return everything, for a file."""
        return {
            "name": self.name,
            "unit": self.unit,
            "subjects": [
                {
                    "subject": subject,
                    "beside": self.beside.get(subject),
                    "times_the_cpu": _json(self.cpu_ratio(subject)),
                    "times_the_rate": _json(self.rate_ratio(subject)),
                    "samples": [asdict(sample) for sample in samples],
                }
                for subject, samples in self.samples.items()
            ],
            "troubles": self.troubles,
            "skipped": self.skipped,
            "remarks": self.remarks,
        }

    def rows(self) -> list[tuple[str, ...]]:
        """Return rows for ``table``."""
        return [
            (
                self.name,
                subject,
                f"{median(sample.cpu_per_unit for sample in samples):.0f} µs CPU/{self.unit}",
                f"{median(sample.per_second for sample in samples):.0f}/s",
                str(self.cpu_ratio(subject) or "-"),
                str(self.rate_ratio(subject) or "-"),
                self.beside.get(subject, "-"),
                f"{median(sample.server_busy for sample in samples):.0%}, "
                f"{median(sample.load_busy for sample in samples):.0%}",
            )
            for subject, samples in self.samples.items()
        ]


def _json(spread: Spread | None) -> dict[str, float] | None:
    return asdict(spread) if spread else None


def table(measures: Sequence[Measure]) -> str:
    """Return a Markdown table of medians, with minimum and maximum of the ratios."""
    head = ("benchmark", "subject", "cost", "rate", "times the CPU", "times the rate", "of", "server, load busy")
    rows = [head, tuple("---" for _ in head), *(row for measure in measures for row in measure.rows())]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    )
