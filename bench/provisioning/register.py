"""RegisterCertificate beside moto_server, and beside a bulk registration of the same certificates.

boto3 takes half as long for a request as the server. So the same requests are also signed in advance and sent by
clients that only write and read: then the server determines the rate. CPU time does not depend on it. One client waits
for an fsync with each request; eight share them.

Where the disk answers at once, one client is bound by CPU time like eight, and sharing shows little. So one and eight
clients are also measured on a server whose synchronisations take some milliseconds longer (``servers.slow_disk``).

``--against`` measures the package of another interpreter in the same rounds, such as that of a git worktree.
"""

from __future__ import annotations

import http.client
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import BotoCoreError, ClientError

from bench.peers import MOTO, RunningPeer
from bench.provisioning import moto
from bench.provisioning.gauge import Reading
from bench.provisioning.measure import Measure
from bench.provisioning.stage import PARALLEL, DeviceFiles, Stage, api
from bench.servers import CannotMeasure, Sekisho, slow_disk

_BULK_SECONDS: Final = 3600.0
_SEKISHO: Final = "sekisho, boto3"
_SEKISHO_AHEAD: Final = "sekisho, signed ahead"
_SEKISHO_ONE: Final = "sekisho, signed ahead, one client"
_AGAINST_AHEAD: Final = "other sekisho, signed ahead"
_AGAINST_ONE: Final = "other sekisho, signed ahead, one client"
_SLOW_DISK_AHEAD: Final = "sekisho, slow disk, signed ahead"
_SLOW_DISK_ONE: Final = "sekisho, slow disk, signed ahead, one client"
_SEKISHO_BULK: Final = "sekisho, bulk registration"
_MOTO: Final = "moto_server, boto3"
_MOTO_AHEAD: Final = "moto_server, signed ahead"
_BUCKET: Final = "benchmark"
_ROLE: Final = "arn:aws:iam::123456789012:role/bulk"
_TEMPLATE: Final = json.dumps(
    {
        "Parameters": {"Certificate": {"Type": "String"}, "CACertificate": {"Type": "String"}},
        "Resources": {
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": {
                    "CertificatePem": {"Ref": "Certificate"},
                    "CACertificatePem": {"Ref": "CACertificate"},
                    "Status": "ACTIVE",
                },
            }
        },
    }
)

_Send = Callable[[], int]
"""Registers the prepared certificates, and returns the number of failures."""


@dataclass(frozen=True, slots=True)
class _Way:
    """One way to register, on a separate server so that each has the same certificates."""

    subject: str
    pid: int
    prepare: Callable[[Sequence[str]], _Send]
    """Gets PEM texts; not measured."""


def measure(stage: Stage, count: int, fsync_milliseconds: int, against: str | None = None) -> Measure:
    """Register ``count`` certificates in each way, divided among the rounds. Raises CannotMeasure.

    Args:
        fsync_milliseconds: Added to the time of each fsync of the slow disk.
        against: An interpreter with another Sekisho, to be measured too.
    """
    beside = {
        _MOTO: _SEKISHO,
        _MOTO_AHEAD: _SEKISHO_AHEAD,
        _SEKISHO_BULK: _SEKISHO,
        _SEKISHO_AHEAD: _SEKISHO_ONE,
        _SEKISHO_ONE: _AGAINST_ONE,
        _AGAINST_AHEAD: _AGAINST_ONE,
        _SLOW_DISK_AHEAD: _SLOW_DISK_ONE,
    }
    found = Measure("register", "certificate", beside)
    files = DeviceFiles(stage.folder / "register", "device")
    certificates = [device.certificate.read_text() for device in files.make(count)]
    with ExitStack() as stack:
        ways = _ways(stage, stack, found, files, against)
        try:
            slow_disk(fsync_milliseconds, files.folder / "strace")
        except CannotMeasure as error:
            found.skipped.append(f"register on a slow disk: {error}")
        else:
            ways += _ways_of_slow_disk(stage, stack, files, fsync_milliseconds)
            found.remarks.append(f"register on a slow disk: each synchronisation takes {fsync_milliseconds} ms more.")
        for some in _parts(certificates, stage.rounds):
            for way in ways:
                try:
                    send = way.prepare(some)
                    before = Reading.now(way.pid, (stage.server_core, stage.load_core))
                    failed = send()
                except (BotoCoreError, ClientError, OSError) as error:
                    raise CannotMeasure(f"register, {way.subject}: {error}") from None
                after = Reading.now(way.pid, (stage.server_core, stage.load_core))
                sample = before.until(after, len(some) - failed, failed)
                stage.tell(f"register, {way.subject}", sample)
                found.add(way.subject, sample)
    return found


def _parts(certificates: Sequence[str], rounds: int) -> list[Sequence[str]]:
    size = max(1, len(certificates) // rounds)
    return [certificates[start : start + size] for start in range(0, size * rounds, size)]


def _ways(stage: Stage, stack: ExitStack, found: Measure, files: DeviceFiles, against: str | None) -> list[_Way]:
    ca_pem = files.ca.certificate_pem
    program = MOTO.find()
    if program is None:
        found.skipped.append(f"register beside moto_server: {MOTO.missing}")
    ways = _ways_of_few_clients(stage, stack, files, against)
    for ours, theirs, prepare in ((_SEKISHO, _MOTO, _by_boto3), (_SEKISHO_AHEAD, _MOTO_AHEAD, _signed_ahead)):
        running: list[tuple[str, int, Any]] = []
        if program is not None:
            peer = stack.enter_context(RunningPeer(MOTO, program, files.folder / theirs, stage.server_core))
            running.append((theirs, peer.pid, moto.client(peer)))
        server = stack.enter_context(stage.server(files.folder / ours))
        running.append((ours, server.pid, api(server)))
        for subject, pid, iot in running:
            _register_ca(iot, ca_pem)
            ways.append(_Way(subject, pid, prepare(iot, ca_pem)))
    server = stack.enter_context(stage.server(files.folder / _SEKISHO_BULK))
    iot = api(server)
    _register_ca(iot, ca_pem)
    if _has_bulk(iot):
        ways.append(_Way(_SEKISHO_BULK, server.pid, _in_bulk(iot, ca_pem, server)))
    else:
        found.skipped.append("register in bulk: this server has no StartThingRegistrationTask")
    return ways


def _ways_of_few_clients(stage: Stage, stack: ExitStack, files: DeviceFiles, against: str | None) -> list[_Way]:
    kinds = [(_SEKISHO_ONE, sys.executable, 1)]
    if against is not None:
        kinds = [(_AGAINST_ONE, against, 1), *kinds, (_AGAINST_AHEAD, against, PARALLEL)]
    ways: list[_Way] = []
    for subject, python, clients in kinds:
        server = stack.enter_context(stage.server(files.folder / subject, python))
        iot = api(server)
        _register_ca(iot, files.ca.certificate_pem)
        ways.append(_Way(subject, server.pid, _signed_ahead(iot, files.ca.certificate_pem, clients)))
    return ways


def _ways_of_slow_disk(stage: Stage, stack: ExitStack, files: DeviceFiles, milliseconds: int) -> list[_Way]:
    ways: list[_Way] = []
    for subject, clients in ((_SLOW_DISK_ONE, 1), (_SLOW_DISK_AHEAD, PARALLEL)):
        runner = slow_disk(milliseconds, files.folder / f"{subject}.strace")
        server = stack.enter_context(stage.server(files.folder / subject, runner=runner))
        iot = api(server)
        _register_ca(iot, files.ca.certificate_pem)
        ways.append(_Way(subject, server.pid, _signed_ahead(iot, files.ca.certificate_pem, clients)))
    return ways


def _register_ca(iot: Any, ca_pem: str) -> None:
    iot.register_ca_certificate(caCertificate=ca_pem, certificateMode="SNI_ONLY", setAsActive=True)


def _by_boto3(iot: Any, ca_pem: str) -> Callable[[Sequence[str]], _Send]:
    def register(certificate_pem: str) -> bool:
        try:
            iot.register_certificate(certificatePem=certificate_pem, caCertificatePem=ca_pem, status="ACTIVE")
        except ClientError:
            return False
        return True

    def prepare(some: Sequence[str]) -> _Send:
        def send() -> int:
            with ThreadPoolExecutor(PARALLEL) as pool:
                return sum(not done for done in pool.map(register, some))

        return send

    return prepare


def _signed_ahead(iot: Any, ca_pem: str, clients: int = PARALLEL) -> Callable[[Sequence[str]], _Send]:
    signed: list[AWSPreparedRequest] = []

    def keep(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        # botocore sends nothing where an event handler returns an answer.
        signed.append(request)
        return _Nothing(request.url, 200, {}, None)

    def prepare(some: Sequence[str]) -> _Send:
        signed.clear()
        iot.meta.events.register("before-send.iot.RegisterCertificate", keep)
        for certificate_pem in some:
            iot.register_certificate(certificatePem=certificate_pem, caCertificatePem=ca_pem, status="ACTIVE")
        iot.meta.events.unregister("before-send.iot.RegisterCertificate", keep)
        shares = [signed[first::clients] for first in range(clients)]

        def send() -> int:
            with ThreadPoolExecutor(clients) as pool:
                return sum(pool.map(_replay, [share for share in shares if share]))

        return send

    return prepare


class _Nothing(AWSResponse):  # type: ignore[misc]  # botocore carries no types.
    @property
    def content(self) -> bytes:
        return b"{}"


def _replay(requests: Sequence[AWSPreparedRequest]) -> int:
    """Send them over one connection, as long as the server keeps it; returns the number of refusals."""
    first = urlsplit(requests[0].url)
    connection = http.client.HTTPConnection(first.hostname or "", first.port, timeout=60)
    failed = 0
    for request in requests:
        url = urlsplit(request.url)
        headers = {name: _text(value) for name, value in request.headers.items()}
        connection.request(request.method, f"{url.path}?{url.query}", request.body, headers)
        with connection.getresponse() as response:
            response.read()
            failed += response.status != http.client.OK
    connection.close()
    return failed


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _has_bulk(iot: Any) -> bool:
    try:
        iot.list_thing_registration_tasks()
    except ClientError as error:
        if error.response["Error"]["Code"] == "NotImplementedException":
            return False
        raise
    return True


def _in_bulk(iot: Any, ca_pem: str, server: Sekisho) -> Callable[[Sequence[str]], _Send]:
    """Register in bulk. The operator puts the file into a folder, which is not an API request and not measured."""
    number = 0

    def prepare(some: Sequence[str]) -> _Send:
        nonlocal number
        number += 1
        file = server.data / "buckets" / "123456789012" / _BUCKET / f"{number}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = (json.dumps({"Certificate": each, "CACertificate": ca_pem}) for each in some)
        file.write_text("".join(f"{line}\n" for line in lines))

        def send() -> int:
            task = iot.start_thing_registration_task(
                templateBody=_TEMPLATE, inputFileBucket=_BUCKET, inputFileKey=file.name, roleArn=_ROLE
            )
            return len(some) - _succeeded(iot, task["taskId"])

        return send

    return prepare


def _succeeded(iot: Any, task_id: str) -> int:
    """Wait for the end of a task; returns the number of registered lines."""
    deadline = time.monotonic() + _BULK_SECONDS
    task: Mapping[str, Any] = {}
    while time.monotonic() < deadline:
        task = iot.describe_thing_registration_task(taskId=task_id)
        if task["status"] != "InProgress":
            return int(task.get("successCount", 0))
        time.sleep(0.1)
    raise CannotMeasure(f"register in bulk: {task.get('message') or 'the task did not end'}")
