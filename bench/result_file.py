"""Writes and checks the JSON file of a benchmark run; docs/benchmarks.md describes its format.

The files of complete runs of a clean commit are tracked in ``bench/results``, so that a number can be compared with the
same machine's number of an earlier commit.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from math import isclose, isfinite
from pathlib import Path
from typing import Any, Final, Self

from bench.results import Sample, Spread

FORMAT: Final = 1
"""Raised with each change that a reader of the files has to know of."""

FOLDER: Final = Path(__file__).resolve().parent / "results"

_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_GIT_TIMEOUT_SECONDS: Final = 30.0

_TOP: Final[Mapping[str, type]] = {
    "format": int,
    "benchmark": str,
    "date": str,
    "commit": str,
    "is_clean": bool,
    "is_complete": bool,
    "sekisho": str,
    "machine": dict,
    "rounds": int,
    "settings": dict,
    "results": list,
}
_MACHINE: Final[Mapping[str, type]] = {
    "name": str,
    "processor": str,
    "cores": int,
    "memory_mib": int,
    "kernel": str,
    "python": str,
}
_SAMPLE: Final = frozenset(field.name for field in fields(Sample))


@dataclass(frozen=True, slots=True)
class Run:
    """What a file says besides its results."""

    benchmark: str
    """``mosquitto``, ``provisioning`` or ``start``."""
    when: datetime
    commit: str
    """40 hexadecimal digits."""
    is_clean: bool
    """Whether the work tree had no changes beside that commit."""
    is_complete: bool
    """Whether everything was measured, in its default size."""
    sekisho: str
    """Its version."""
    machine_name: str
    rounds: int
    settings: Mapping[str, Any]

    @classmethod
    def now(cls, benchmark: str, sekisho: str, rounds: int, settings: Mapping[str, Any], **more: Any) -> Self:
        """Describe a run that has just ended, of the commit that is checked out.

        Args:
            more: ``is_complete`` and ``machine_name``, which may be empty: then the processor names the machine.
        """
        commit, is_clean = _revision()
        return cls(
            benchmark, datetime.now(UTC), commit, is_clean, sekisho=sekisho, rounds=rounds, settings=settings, **more
        )

    @property
    def file_name(self) -> str:
        """``DATE-COMMIT[-provisioning|-start][-partial][-changed].json``; git ignores partial and changed ones."""
        parts = [f"{self.when:%Y-%m-%d}", self.commit[:10]]
        parts += [self.benchmark] if self.benchmark != "mosquitto" else []
        parts += [] if self.is_complete else ["partial"]
        parts += [] if self.is_clean else ["changed"]
        return f"{'-'.join(parts)}.json"


def write(folder: Path, run: Run, results: Sequence[Mapping[str, Any]]) -> Path:
    """Write a run's file, and return its path. Raises ValueError, which names what is wrong with the results."""
    content = {
        "format": FORMAT,
        "benchmark": run.benchmark,
        "date": run.when.isoformat(timespec="seconds"),
        "commit": run.commit,
        "is_clean": run.is_clean,
        "is_complete": run.is_complete,
        "sekisho": run.sekisho,
        "machine": machine(run.machine_name),
        "rounds": run.rounds,
        "settings": dict(run.settings),
        "results": list(results),
    }
    file = folder / run.file_name
    # Through JSON, so that what is checked is what a reader gets.
    text = json.dumps(content, indent=2, default=str)
    _check(json.loads(text), file.name)
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(text + "\n", encoding="utf-8")
    return file


def read(file: Path) -> Mapping[str, Any]:
    """Read a file of this format. Raises ValueError, which names the file and what is wrong."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file.name}: not JSON: {error}") from None
    _check(content, file.name)
    return content  # type: ignore[no-any-return]


def machine(name: str = "") -> dict[str, Any]:
    """Describe this machine. ``name``: what people call it; without one its processor and cores name it."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "unknown"
    )
    memory_kib = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal:")), 0)
    cores = os.cpu_count() or 1
    return {
        "name": name or f"{model}, {cores} cores",
        "processor": model,
        "cores": cores,
        "memory_mib": memory_kib // 1024,
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def _lines(file: str) -> Sequence[str]:
    return Path(file).read_text(encoding="utf-8").splitlines()


def _revision() -> tuple[str, bool]:
    """Return the commit that is checked out, and whether nothing was changed. Without git: zeros, and False."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(FOLDER.parent), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=_GIT_TIMEOUT_SECONDS, check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD"), not git("status", "--porcelain", "--", ":/", ":(exclude,top)bench/results")
    except (OSError, subprocess.SubprocessError):
        return "0" * 40, False


def _check(content: Any, name: str) -> None:
    """Check everything that a reader relies on. Raises ValueError."""

    def require(condition: bool, what: str) -> None:
        if not condition:
            raise ValueError(f"{name}: {what}")

    require(isinstance(content, dict), "the file is a JSON object")
    _check_types(content, _TOP, name)
    require(content["format"] == FORMAT, f"format {content['format']} is not {FORMAT}, which this code reads")
    require(content["benchmark"] in _ROWS, f"benchmark is one of {', '.join(_ROWS)}, not {content['benchmark']!r}")
    require(_COMMIT.fullmatch(content["commit"]) is not None, "commit has 40 hexadecimal digits")
    _check_types(content["machine"], _MACHINE, f"{name}: machine")
    require(bool(content["machine"]["name"]), "machine has a name")
    require(content["rounds"] >= 1, "rounds is at least 1")
    require(bool(content["results"]), "results is not empty")
    try:
        when = datetime.fromisoformat(content["date"])
    except ValueError:
        raise ValueError(f"{name}: date is an ISO 8601 time, not {content['date']!r}") from None
    require(when.utcoffset() is not None, "date has an offset from UTC")
    run = Run(**{**_described(content), "when": when})
    require(name == run.file_name, f"its content belongs into a file {run.file_name}")
    for row in content["results"]:
        _ROWS[content["benchmark"]](row, content["rounds"], name)


def _described(content: Mapping[str, Any]) -> dict[str, Any]:
    names = ("benchmark", "commit", "is_clean", "is_complete", "sekisho", "rounds", "settings")
    return {name: content[name] for name in names} | {"machine_name": content["machine"]["name"]}


def _check_types(content: Mapping[str, Any], types: Mapping[str, type], name: str) -> None:
    if content.keys() != types.keys():
        difference = sorted(content.keys() ^ types.keys())
        raise ValueError(f"{name}: missing or unknown: {', '.join(difference)}")
    for key, kind in types.items():
        if type(content[key]) is not kind:
            raise ValueError(f"{name}: {key} is {kind.__name__}, not {content[key]!r}")


def _check_comparison(row: Mapping[str, Any], rounds: int, name: str) -> None:
    """Check a workload measured on both servers; the ratios have to be those of the samples."""
    what = f"{name}: {row.get('workload')}"
    theirs, ours = (_samples(row.get(server), rounds, f"{what}, {server}") for server in ("mosquitto", "sekisho"))
    _check_spread(
        row.get("times_less_per_unit"),
        [(a.cpu_per_unit, b.cpu_per_unit) for a, b in zip(theirs, ours, strict=True)],
        what,
    )
    if row.get("unit") != "connection":
        _check_spread(
            row.get("times_more_per_second"),
            [(b.per_second, a.per_second) for a, b in zip(theirs, ours, strict=True)],
            what,
        )


def _check_measure(row: Mapping[str, Any], rounds: int, name: str) -> None:
    """Check the subjects of one benchmark; the ratios have to be those of the samples."""
    what = f"{name}: {row.get('name')}"
    subjects = {each["subject"]: each for each in row.get("subjects", [])}
    if not subjects:
        raise ValueError(f"{what}: has no subjects")
    samples = {
        subject: _samples(each.get("samples"), rounds, f"{what}, {subject}") for subject, each in subjects.items()
    }
    for subject, each in subjects.items():
        if each["beside"] in samples:
            pairs = list(zip(samples[subject], samples[each["beside"]], strict=True))
            _check_spread(
                each["times_the_cpu"], [(a.cpu_per_unit, b.cpu_per_unit) for a, b in pairs], f"{what}, {subject}"
            )
            _check_spread(
                each["times_the_rate"], [(a.per_second, b.per_second) for a, b in pairs], f"{what}, {subject}"
            )


def _samples(content: Any, rounds: int, what: str) -> Sequence[Sample]:
    if not isinstance(content, list) or len(content) != rounds:
        raise ValueError(f"{what}: has not one sample for each of {rounds} rounds")
    for each in content:
        numbers = each.values() if isinstance(each, dict) and each.keys() == _SAMPLE else [None]
        if not all(isinstance(number, int | float) and isfinite(number) and number >= 0 for number in numbers):
            raise ValueError(
                f"{what}: a sample has the numbers {', '.join(sorted(_SAMPLE))}, none negative, not {each!r}"
            )
    return [Sample(**each) for each in content]


def _check_spread(content: Any, pairs: Sequence[tuple[float, float]], what: str) -> None:
    expected = asdict(Spread.of([one / other for one, other in pairs]))
    if not isinstance(content, dict) or content.keys() != expected.keys():
        raise ValueError(f"{what}: a ratio has {', '.join(expected)}, not {content!r}")
    if not all(isclose(content[key], expected[key], rel_tol=1e-9) for key in expected):
        raise ValueError(f"{what}: the ratio {content} is not that of the samples, {expected}")


_ROWS: Final = {"mosquitto": _check_comparison, "provisioning": _check_measure, "start": _check_measure}
