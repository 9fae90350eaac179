"""Measure the start of a server and short commands, beside the start of other servers of AWS APIs.

    scripts/bench start                     ten rounds
    scripts/bench start --rounds 3

A round starts Sekisho in an empty folder, starts it again there, runs ``sekisho env``, ``status`` and ``--help``, and
starts each other server that is installed. Ratios are taken within a round.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Final

from bench.generator import check_machine
from bench.peers import MINISTACK, MOTO, Peer, RunningPeer
from bench.provisioning.gauge import Reading
from bench.provisioning.measure import Measure
from bench.result_file import FOLDER, Run, machine, write
from bench.servers import CannotMeasure, Sekisho
from sekisho import __version__

ROUNDS: Final = 10
PEERS: Final = (MOTO, MINISTACK)

FIRST: Final = "sekisho up, empty folder"
AGAIN: Final = "sekisho up, again"
ENV: Final = "sekisho env"
STATUS: Final = "sekisho status"
HELP: Final = "sekisho --help"

_QUIET: Final = 0.05
"""Part of the two cores that others may take before the clock means nothing."""


def main() -> int:
    """Run, print, write the JSON file. 1: something could not be measured."""
    chosen = _arguments()
    programs = {peer: program for peer in PEERS if (program := peer.find())}
    beside = dict.fromkeys((FIRST, AGAIN, ENV, STATUS, HELP, MINISTACK.program), MOTO.program)
    found = Measure("start", "start", beside)
    found.skipped += [peer.missing for peer in PEERS if peer not in programs]
    try:
        check_machine(chosen.server_core, chosen.load_core)
        os.sched_setaffinity(0, {chosen.load_core})
        with tempfile.TemporaryDirectory(prefix="sekisho-bench-", dir=chosen.folder) as folder:
            for number in range(chosen.rounds):
                print(f"round {number + 1} of {chosen.rounds}", file=sys.stderr, flush=True)
                _round(found, programs, Path(folder) / str(number), (chosen.server_core, chosen.load_core))
    except (CannotMeasure, KeyboardInterrupt) as error:
        print(str(error) or "Interrupted.", file=sys.stderr)
        return 1
    _tell(chosen, found)
    return 0


def _round(found: Measure, programs: Mapping[Peer, str], folder: Path, cores: tuple[int, int]) -> None:
    core, _ = cores
    folder.mkdir(mode=0o700)
    for subject in (FIRST, AGAIN):
        before = Reading.before_start(cores)
        with Sekisho(folder, core) as server:
            found.add(subject, before.until(Reading.now(server.pid, cores), units=1))
            if subject == AGAIN:
                _commands(found, server, cores)
    for peer, program in programs.items():
        before = Reading.before_start(cores)
        with RunningPeer(peer, program, folder / peer.program, core) as running:
            found.add(peer.program, before.until(Reading.now(running.pid, cores), units=1))


def _commands(found: Measure, server: Sekisho, cores: Sequence[int]) -> None:
    data = ("--data", str(server.data))
    for subject, arguments in ((ENV, ("env", *data)), (STATUS, ("status", *data)), (HELP, ("--help",))):
        before = Reading.of_children(cores)
        server.run_command(*arguments)
        found.add(subject, before.until(Reading.of_children(cores), units=1))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench start", description=__doc__.splitlines()[0] if __doc__ else None
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"rounds [{ROUNDS}]")
    parser.add_argument("--server-core", type=int, default=0)
    parser.add_argument("--load-core", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="for the servers' data")
    parser.add_argument("--results", type=Path, default=FOLDER, help="folder for the JSON file")
    parser.add_argument("--machine", default="", help="name of this machine for the JSON file [its processor]")
    chosen = parser.parse_args()
    if chosen.rounds < 1:
        parser.error("--rounds is at least 1")
    return chosen


def table(found: Measure) -> str:
    """Return a Markdown table of medians, with least and most of the ratios."""
    head = ("what", "ms", "ms CPU", f"times {MOTO.program}", "times its CPU time")
    rows = [head, tuple("---" for _ in head)]
    for subject, samples in found.samples.items():
        rows.append(
            (
                subject,
                f"{median(1000 / sample.per_second for sample in samples):.0f}",
                f"{median(sample.cpu_per_unit / 1000 for sample in samples):.0f}",
                str(found.time_ratio(subject) or "-"),
                str(found.cpu_ratio(subject) or "-"),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    )


def _tell(chosen: argparse.Namespace, found: Measure) -> None:
    print(f"\nSekisho {__version__}, {machine(chosen.machine)['name']}")
    print(f"{chosen.rounds} rounds, in turn; medians, and ratios over rounds (least-most).\n")
    print(table(found), end="\n\n")
    for why in found.skipped:
        print(f"skipped: {why}")
    others = found.others_busy()
    if others > _QUIET:
        print(f"Others took up to {others:.0%} of the two cores: CPU time stands, the clock says little.")
    options = {name: value if isinstance(value, int) else str(value) for name, value in vars(chosen).items()}
    run = Run.now(
        "start",
        __version__,
        chosen.rounds,
        options,
        is_complete=chosen.rounds == ROUNDS and not found.skipped,
        machine_name=chosen.machine,
    )
    print(f"All samples: {write(chosen.results, run, [found.as_json()])}")


if __name__ == "__main__":
    sys.exit(main())
