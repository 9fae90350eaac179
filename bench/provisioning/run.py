"""Measure the cost of provisioning: registration at the first connect, through the API, and refusals.

    scripts/bench provisioning                          everything, with sizes that take minutes
    scripts/bench provisioning --only jitr --devices 1000
    scripts/bench provisioning --only register --certificates 100000

Each server has one core, the load another. Subjects are measured in turn within a round; ratios are calculated within
a round.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from bench.generator import Generator, check_generator, check_machine
from bench.provisioning import jitr, refusals, register, registry_size
from bench.provisioning.measure import Measure, table
from bench.provisioning.stage import Stage
from bench.result_file import FOLDER, Run, machine, write
from bench.servers import CannotMeasure
from sekisho import __version__

_ROOT: Final = Path(__file__).resolve().parent.parent.parent
_QUIET: Final = 0.05
"""Part of the two cores that other processes may use; with more, rates mean nothing."""

_BENCHMARKS: Final[Mapping[str, Callable[[Stage, argparse.Namespace], Measure]]] = {
    "jitr": lambda stage, chosen: jitr.measure(stage, chosen.devices, chosen.at_once),
    "register": lambda stage, chosen: register.measure(
        stage, chosen.certificates, chosen.fsync_milliseconds, chosen.against
    ),
    "registry-size": lambda stage, chosen: registry_size.measure(stage, chosen.connecting, chosen.small, chosen.large),
    "refusals": lambda stage, chosen: refusals.measure(stage, chosen.attempts),
}


_SIZES: Final = {
    "rounds": 3,
    "devices": 10_000,
    "at_once": 1000,
    "certificates": 5000,
    "fsync_milliseconds": 5,
    "connecting": 1000,
    "small": 10_000,
    "large": 1_000_000,
    "attempts": 30,
}
"""Defaults of the options for the sizes of the benchmarks."""


def main() -> int:
    """Run, print, write the JSON file. Returns 1 if something could not be measured, or had a wrong outcome."""
    chosen = _arguments()
    names = chosen.only or list(_BENCHMARKS)
    try:
        check_machine(chosen.server_core, chosen.load_core)
        check_generator(chosen.load)
        # Requests to the API from this process are load too.
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
    parser.add_argument("--rounds", type=int, default=_SIZES["rounds"], help="rounds of each [3]")
    parser.add_argument("--devices", type=int, default=_SIZES["devices"], help="jitr: devices that connect [10000]")
    parser.add_argument(
        "--at-once", type=int, default=_SIZES["at_once"], help="jitr: connections being made at any moment [1000]"
    )
    parser.add_argument(
        "--certificates", type=int, default=_SIZES["certificates"], help="register: certificates of each way [5000]"
    )
    parser.add_argument(
        "--fsync-milliseconds",
        type=int,
        default=_SIZES["fsync_milliseconds"],
        help="register: what a synchronisation takes in addition on the slow disk [5]",
    )
    parser.add_argument("--against", metavar="PYTHON", help="register: beside the Sekisho that this interpreter finds")
    parser.add_argument(
        "--connecting", type=int, default=_SIZES["connecting"], help="registry-size: devices that connect [1000]"
    )
    parser.add_argument("--small", type=int, default=_SIZES["small"], help="registry-size: certificates in one [10000]")
    parser.add_argument("--large", type=int, default=_SIZES["large"], help="registry-size: and in the other [1000000]")
    parser.add_argument(
        "--attempts", type=int, default=_SIZES["attempts"], help="refusals: attempts of each device in a round [30]"
    )
    parser.add_argument("--server-core", type=int, default=0)
    parser.add_argument("--load-core", type=int, default=1)
    parser.add_argument("--load", type=Path, default=_ROOT / "target" / "release" / "sekisho-load")
    parser.add_argument("--folder", type=Path, help="for the servers' data, some 4 GB for a million certificates")
    parser.add_argument("--results", type=Path, default=FOLDER, help="folder for the JSON file")
    parser.add_argument("--machine", default="", help="name of this machine for the JSON file [its processor]")
    chosen = parser.parse_args()
    if min(getattr(chosen, name) for name in _SIZES) < 1:
        parser.error("each number is at least 1")
    if not chosen.connecting <= chosen.small <= chosen.large:
        parser.error("--connecting is at most --small, and that at most --large")
    return chosen


def _tell(chosen: argparse.Namespace, measures: Sequence[Measure]) -> int:
    troubles = [trouble for each in measures for trouble in each.troubles]
    print()
    print(f"Sekisho {__version__}, {machine(chosen.machine)['name']}")
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
    options = {name: value if isinstance(value, int) else str(value) for name, value in vars(chosen).items()}
    is_complete = not (chosen.only or chosen.against) and all(
        getattr(chosen, name) == default for name, default in _SIZES.items()
    )
    run = Run.now(
        "provisioning", __version__, chosen.rounds, options, is_complete=is_complete, machine_name=chosen.machine
    )
    file = write(chosen.results, run, [each.as_json() for each in measures])
    print(f"All samples: {file}")
    return 1 if troubles else 0


if __name__ == "__main__":
    sys.exit(main())
