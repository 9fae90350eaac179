"""Measure Sekisho beside mosquitto: the same certificates, the same load, in turn within one run.

    make bench                                    everything, some minutes
    scripts/bench --rounds 3 --only pairs         only workloads whose name holds a word
    scripts/bench --list                          the workloads

Each server has one core, the load generator another. A round measures mosquitto, then Sekisho; ratios are calculated
within a round. Sekisho runs with its defaults and all checks, mosquitto without every check that costs time.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from bench.fleet import POLICIES, Fleet
from bench.generator import Generator, check_generator, check_machine
from bench.result_file import FOLDER, Run, machine, write
from bench.results import Comparison, Sample, table
from bench.servers import MOSQUITTO_CONF, CannotMeasure, Mosquitto, Sekisho, Server, mosquitto_version
from bench.workloads import PAYLOAD, Workload, workloads
from sekisho import __version__
from sekisho.pki.keys import KeyType

_ROOT: Final = Path(__file__).resolve().parent.parent
_RSA_DEVICES: Final = 32
_QUIET: Final = 0.05
"""Part of the two cores that other processes may use; with more, rates mean nothing."""
_LOAD_SECONDS: Final = 120.0
"""Seconds that the load generator may need in addition to the measured time."""
_SIZES: Final = (5, 2.0, 600)
"""Rounds, seconds and devices of a complete run."""


def main() -> int:
    """Run, print, write the JSON file. Returns 1 if something could not be measured, or a message was lost."""
    chosen = _arguments()
    rows = [
        workload
        for workload in workloads(chosen.seconds, chosen.devices)
        if not chosen.only or any(word in workload.name for word in chosen.only)
    ]
    if chosen.list or not rows:
        for workload in workloads(chosen.seconds, chosen.devices):
            print(f"{workload.name:18} {workload.what}")
        return 0 if chosen.list else 2
    try:
        check_machine(chosen.server_core, chosen.load_core)
        check_generator(chosen.load)
        with tempfile.TemporaryDirectory(prefix="sekisho-bench-") as folder:
            comparisons = _measure(chosen, rows, Path(folder))
    except (CannotMeasure, KeyboardInterrupt) as error:
        print(str(error) or "Interrupted.", file=sys.stderr)
        return 1
    return _tell(chosen, comparisons)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=_SIZES[0], help="rounds of each workload [5]")
    parser.add_argument("--seconds", type=float, default=_SIZES[1], help="seconds measured in each [2]")
    parser.add_argument("--devices", type=int, default=_SIZES[2], help="P-256 devices; at least 201 [600]")
    parser.add_argument("--only", action="append", default=[], metavar="WORD", help="workloads with this in their name")
    parser.add_argument("--list", action="store_true", help="list the workloads and stop")
    parser.add_argument("--server-core", type=int, default=0)
    parser.add_argument("--load-core", type=int, default=1)
    parser.add_argument("--load", type=Path, default=_ROOT / "target" / "release" / "sekisho-load")
    parser.add_argument("--results", type=Path, default=FOLDER, help="folder for the JSON file")
    parser.add_argument("--machine", default="", help="name of this machine for the JSON file [its processor]")
    chosen = parser.parse_args()
    if chosen.rounds < 1 or chosen.seconds <= 0 or chosen.devices < 201:
        parser.error("--rounds is at least 1, --seconds more than 0, --devices at least 201")
    return chosen


def _measure(chosen: argparse.Namespace, rows: Sequence[Workload], folder: Path) -> list[Comparison]:
    fleet = _prepare(chosen, rows, folder)
    comparisons = []
    bench = _Bench(chosen, folder, fleet)
    lasting = [workload for workload in rows if workload.unit != "connection"]
    if lasting:
        with ExitStack() as stack:
            servers = bench.start(stack)
            comparisons += [bench.compare(workload, servers) for workload in lasting]
    # Memory that was used and freed hides later use, so these rounds have new processes.
    comparisons += [bench.compare_afresh(workload) for workload in rows if workload.unit == "connection"]
    return comparisons


def _prepare(chosen: argparse.Namespace, rows: Sequence[Workload], folder: Path) -> Fleet:
    """Register a fleet with Sekisho."""
    counts: dict[KeyType, int] = {}
    for row in rows:
        wanted = _RSA_DEVICES if row.device_key is KeyType.RSA_2048 else row.devices
        counts[row.device_key] = max(counts.get(row.device_key, 0), wanted)
    fleet = Fleet(folder / "fleet")
    for key_type, count in counts.items():
        _progress(f"making {count} devices, {key_type}")
        fleet.make(key_type, count)
    _progress("registering them")
    began = time.monotonic()
    with Sekisho(folder, chosen.server_core) as sekisho:
        try:
            fleet.register(sekisho.environment(), sekisho.run["account"])
        except (BotoCoreError, ClientError) as error:
            raise sekisho.failed(f"A device could not be registered: {error}") from None
    _progress(f"registered in {time.monotonic() - began:.1f} s")
    return fleet


class _Bench:
    """Runs workloads against servers."""

    def __init__(self, chosen: argparse.Namespace, folder: Path, fleet: Fleet) -> None:
        self._chosen = chosen
        self._generator = Generator(chosen.load, chosen.load_core)
        self._folder = folder
        self._fleet = fleet

    def start(self, stack: ExitStack) -> tuple[Server, Server]:
        """Start mosquitto and Sekisho; they end with ``stack``."""
        core = self._chosen.server_core
        sekisho = stack.enter_context(Sekisho(self._folder, core))
        mosquitto = stack.enter_context(Mosquitto(self._folder, core, self._fleet.ca_file, sekisho.chains()))
        return mosquitto, sekisho

    def compare(self, workload: Workload, servers: tuple[Server, Server]) -> Comparison:
        """Measure all rounds of one workload, the servers in turn."""
        samples: tuple[list[Sample], list[Sample]] = ([], [])
        for number in range(self._chosen.rounds):
            for server, taken in zip(servers, samples, strict=True):
                taken.append(self._sample(workload, server, number))
        return Comparison(workload, *samples)

    def compare_afresh(self, workload: Workload) -> Comparison:
        """Like ``compare``, with new processes for each round."""
        samples: tuple[list[Sample], list[Sample]] = ([], [])
        for number in range(self._chosen.rounds):
            with ExitStack() as stack:
                for server, taken in zip(self.start(stack), samples, strict=True):
                    taken.append(self._sample(workload, server, number))
        return Comparison(workload, *samples)

    def _sample(self, workload: Workload, server: Server, number: int) -> Sample:
        job = {
            "address": f"127.0.0.1:{server.port(workload.server_key)}",
            "server_name": "localhost",
            "root_ca": str(self._folder / "data" / "server" / "root-ca.pem"),
            "server_key": workload.server_key,
            "server_pid": server.pid,
            "cores": [self._chosen.server_core, self._chosen.load_core],
            "devices": [device.for_load() for device in self._devices(workload)],
            "work": workload.work,
        }
        report = self._generator.report(f"{workload.name} on {server.name}", job, self._chosen.seconds + _LOAD_SECONDS)
        try:
            sample = Sample.of(report)
        except ValueError as error:
            raise CannotMeasure(f"{workload.name} on {server.name}: {error}") from None
        _progress(
            f"{workload.name:18} round {number + 1}  {server.name:10} {sample.per_second:10.0f}/s "
            f"{sample.cpu_per_unit:9.2f} {'KiB' if workload.unit == 'connection' else 'µs'}/{workload.unit}  "
            f"server {sample.server_busy:4.0%}  load {sample.load_busy:4.0%}  others {sample.others_busy:4.0%}"
        )
        return sample

    def _devices(self, workload: Workload) -> Sequence[Any]:
        devices = self._fleet.devices(workload.device_key)
        return devices if workload.unit == "connect" else devices[: workload.devices]


def _tell(chosen: argparse.Namespace, comparisons: Sequence[Comparison]) -> int:
    troubles = [trouble for each in comparisons for trouble in each.troubles()]
    print()
    print(f"Sekisho {__version__}, mosquitto {mosquitto_version()}, {machine(chosen.machine)['name']}")
    print(f"{chosen.rounds} rounds of {chosen.seconds:g} s each, in turn; one core for the server, one for the load.")
    print(f"TLS 1.3, AES-128-GCM, X25519, full handshakes; MQTT 3.1.1, clean sessions, payload {PAYLOAD} bytes.")
    print("Sekisho: defaults, every certificate registered, thing attached, policies with variables.")
    print(f"mosquitto: {', '.join(MOSQUITTO_CONF.splitlines())}; no access control list.")
    print("Ratios are medians over rounds (least-most); above 1 is in Sekisho's favour.")
    print()
    print(table(comparisons))
    print()
    print("\n".join(troubles) if troubles else "Nothing was lost, doubled or refused.")
    others = max(each.others_busy() for each in comparisons)
    if others > _QUIET:
        print(f"Others took up to {others:.0%} of the two cores: CPU per unit stands, rates say little.")
    settings = {
        "mosquitto": mosquitto_version(),
        "seconds": chosen.seconds,
        "devices": chosen.devices,
        "payload_bytes": PAYLOAD,
        "mosquitto_conf": MOSQUITTO_CONF.splitlines(),
        "policies": POLICIES,
    }
    is_complete = not chosen.only and (chosen.rounds, chosen.seconds, chosen.devices) == _SIZES
    run = Run.now(
        "mosquitto", __version__, chosen.rounds, settings, is_complete=is_complete, machine_name=chosen.machine
    )
    file = write(chosen.results, run, [each.as_json() for each in comparisons])
    print(f"All samples: {file}")
    return 1 if troubles else 0


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
