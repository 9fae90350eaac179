"""Used by all benchmarks of provisioning: a server on one core, the load on another, device files, and API clients."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from bench.fleet import Device, iot_client, make_device
from bench.generator import Generator
from bench.results import Sample
from bench.servers import CannotMeasure, Sekisho
from sekisho.clock import utc_now
from sekisho.pki import ca
from sekisho.pki.ca import CertificateAuthority
from sekisho.pki.certificate import X509Certificate
from sekisho.pki.keys import KeyType

LIFETIME: Final = timedelta(days=30)
PARALLEL: Final = 8
"""API requests at a time."""
_LOAD_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True)
class Stage:
    """The environment of a benchmark."""

    folder: Path
    generator: Generator
    server_core: int
    load_core: int
    rounds: int

    def server(self, folder: Path, python: str = sys.executable, runner: Sequence[str] = ()) -> Sekisho:
        """Return a server on a data folder, of the package that ``python`` finds. ``runner``: see ``Sekisho``."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Sekisho(folder, self.server_core, python, runner)

    def attempts(
        self, what: str, server: Sekisho, devices: Sequence[Device], expect: str, *, concurrency: int, each: int = 1
    ) -> Sample:
        """Let devices try to connect. Raises CannotMeasure.

        Args:
            expect: ``accepted`` or ``refused``.
        """
        job = {
            "address": f"127.0.0.1:{server.port('ecdsa')}",
            "server_name": "localhost",
            "root_ca": str(server.data / "server" / "root-ca.pem"),
            "server_key": "ecdsa",
            "server_pid": server.pid,
            "cores": [self.server_core, self.load_core],
            "devices": [device.for_load() for device in devices],
            "work": {
                "attempts": {"concurrency": min(concurrency, len(devices)), "rounds": each, "expect": expect},
            },
        }
        report = self.generator.report(what, job, _LOAD_SECONDS)
        try:
            sample = Sample.of(report)
        except ValueError:
            why = report["last_failure"] or "too few attempts for the clock of /proc, which ticks 100 times a second"
            raise CannotMeasure(f"{what}: nothing was counted; {why}") from None
        last = f"  {report['last_failure']}" if sample.failed else ""
        self.tell(what, sample, f"failed {sample.failed}{last}")
        return sample

    def tell(self, what: str, sample: Sample, more: str = "") -> None:
        """Print progress while it runs."""
        say(
            f"{what:42} {sample.units:7} {sample.per_second:9.0f}/s {sample.cpu_per_unit:8.0f} µs  "
            f"server {sample.server_busy:4.0%}  load {sample.load_busy:4.0%}  others {sample.others_busy:4.0%}  {more}"
        )


class DeviceFiles:
    """A CA, and the files of devices that it signed."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder / name
        self.folder.mkdir(mode=0o700, parents=True)
        self.ca: CertificateAuthority = ca.create(f"Benchmark {name}", KeyType.P_256, now=utc_now(), lifetime=LIFETIME)
        self._name = name

    def make(self, count: int) -> list[Device]:
        """Make devices with P-256 keys."""
        say(f"making {count} devices, {self._name}")
        return [
            make_device(self.folder, self.ca, f"{self._name}-{number:06}", KeyType.P_256) for number in range(count)
        ]


def certificate_id(device: Device) -> str:
    """Return the id of its certificate."""
    return X509Certificate.from_pem(device.certificate.read_text()).certificate_id


def api(server: Sekisho) -> Any:
    """Return boto3's client for it."""
    return iot_client(server.environment(), PARALLEL)


def say(text: str) -> None:
    """Print to standard error, because standard output is for the results."""
    print(text, file=sys.stderr, flush=True)
