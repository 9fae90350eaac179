"""Measure what provisioning costs: registration at the first connect, through the API, and refusing for good.

    scripts/bench provisioning                          everything, with sizes that take minutes
    scripts/bench provisioning --only jitr --devices 1000
    scripts/bench provisioning --only register --certificates 100000

Each server has one core, the load another. What is compared is measured in turn within a round; ratios are taken within
a round.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bench.generator import Generator, check_generator, check_machine
from bench.provisioning import jitr, knocking, register, registry_size
from bench.provisioning.measure import Measure, table
from bench.provisioning.stage import Stage
from bench.results import machine
from bench.servers import CannotMeasure
from sekisho import __version__

_ROOT: Final = Path(__file__).resolve().parent.parent.parent
_QUIET: Final = 0.05
"""Part of the two cores that others may take before rates mean nothing."""

_BENCHMARKS: Final[Mapping[str, Callable[[Stage, argparse.Namespace], Measure]]] = {
    "jitr": lambda stage, chosen: jitr.measure(stage, chosen.devices, chosen.at_once),
    "register": lambda stage, chosen: register.measure(stage, chosen.certificates, chosen.against),
    "registry-size": lambda stage, chosen: registry_size.measure(stage, chosen.connecting, chosen.small, chosen.large),
    "knocking": lambda stage, chosen: knocking.measure(stage, chosen.attempts),
}


def main() -> int:
    """Run, print, write the JSON file. 1: something could not be measured, or did not end as it must."""
    chosen = _arguments()
    names = chosen.only or list(_BENCHMARKS)
    try:
        check_machine(chosen.server_core, chosen.load_core)
        check_generator(chosen.load)
        # What sends requests to the API from here is load as well.
        os.sched_setaffinity(0, {chosen.load_core})
        with tempfile.TemporaryDirectory(prefix="sekisho-bench-", dir=chosen.folder) as folder:
            generator = Generator(chosen.load, chosen.load_core)
            stage = Stage(Path(folder), generator, chosen.server_core, chosen.load_core, chosen.rounds)
            measures = [_BENCHMARKS[name](stage, chosen) for name in names]
    except (CannotMeasure, KeyboardInterrupt) as error:
        print(str(error) or "Interrupted.", file=sys.stderr)
        return 1
    return _tell(chosen, measures)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench provisioning", description=__doc__.splitlines()[0] if __doc__ else None
    )
    parser.add_argument("--only", action="append", choices=list(_BENCHMARKS), help="these alone")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each [3]")
    parser.add_argument("--devices", type=int, default=10_000, help="jitr: devices that connect [10000]")
    parser.add_argument("--at-once", type=int, default=1000, help="jitr: connections being made at any moment [1000]")
    parser.add_argument("--certificates", type=int, default=5000, help="register: certificates of each way [5000]")
    parser.add_argument("--against", metavar="PYTHON", help="register: beside the Sekisho that this interpreter finds")
    parser.add_argument("--connecting", type=int, default=1000, help="registry-size: devices that connect [1000]")
    parser.add_argument("--small", type=int, default=10_000, help="registry-size: certificates in one [10000]")
    parser.add_argument("--large", type=int, default=1_000_000, help="registry-size: and in the other [1000000]")
    parser.add_argument("--attempts", type=int, default=30, help="knocking: attempts of each device in a round [30]")
    parser.add_argument("--server-core", type=int, default=0)
    parser.add_argument("--load-core", type=int, default=1)
    parser.add_argument("--load", type=Path, default=_ROOT / "target" / "release" / "sekisho-load")
    parser.add_argument("--folder", type=Path, help="for the servers' data, some 4 GB for a million certificates")
    parser.add_argument("--results", type=Path, default=_ROOT / "bench" / "results", help="folder for the JSON file")
    chosen = parser.parse_args()
    sizes = ("rounds", "devices", "at_once", "certificates", "connecting", "small", "large", "attempts")
    if min(getattr(chosen, name) for name in sizes) < 1:
        parser.error("each number is at least 1")
    if not chosen.connecting <= chosen.small <= chosen.large:
        parser.error("--connecting is at most --small, and that at most --large")
    return chosen


def _tell(chosen: argparse.Namespace, measures: Sequence[Measure]) -> int:
    now = datetime.now(UTC)
    troubles = [trouble for each in measures for trouble in each.troubles]
    print()
    print(f"Sekisho {__version__}, {now:%Y-%m-%d}, {machine()['processor']}")
    print(f"{chosen.rounds} rounds, in turn; one core for the servers, one for the load.")
    print("Full TLS 1.3 handshakes, P-256 keys; the store is SQLite, every commit is synced to the disk.")
    print("Costs are medians of the server's CPU time, ratios medians over rounds (least-most).")
    print()
    print(table(measures))
    print()
    for line in (line for each in measures for line in (*each.remarks, *(f"skipped: {why}" for why in each.skipped))):
        print(line)
    print("\n".join(troubles) if troubles else "Everything ended as it must.")
    others = max(each.others_busy() for each in measures)
    if others > _QUIET:
        print(f"Others took up to {others:.0%} of the two cores: CPU per unit stands, rates say little.")
    chosen.results.mkdir(parents=True, exist_ok=True)
    file = chosen.results / f"provisioning-{now:%Y%m%dT%H%M%SZ}.json"
    facts = {
        "date": now.isoformat(timespec="seconds"),
        "machine": machine(),
        "sekisho": __version__,
        "options": {name: value if isinstance(value, int) else str(value) for name, value in vars(chosen).items()},
    }
    file.write_text(json.dumps({**facts, "results": [each.as_json() for each in measures]}, indent=2) + "\n")
    print(f"All samples: {file}")
    return 1 if troubles else 0


if __name__ == "__main__":
    sys.exit(main())
