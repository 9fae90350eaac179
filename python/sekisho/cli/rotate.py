"""``sekisho rotate``: give devices new certificates while the old ones work, until the new ones have connected."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from sekisho.cli.failure import Failure
from sekisho.cli.options import Account, Data, Json, path

if TYPE_CHECKING:
    from sekisho.cli.api_client import ApiClient
    from sekisho.cli.new_papers import NewPapers
    from sekisho.cli.rotating import Outcome, Rotator, Step

T = TypeVar("T")

_POLL: Final = 0.2
"""Seconds between two looks at the progress."""

_SHOWN: Final = 20
"""Waiting devices that are listed for a person; a program gets all."""

_NO_CA: Final = (
    "The CA that signs is not registered here as ACTIVE. The new certificates are registered without a CA: devices "
    "have to send SNI, and 'sekisho rotate --ca' will not find them by it."
)


def rotate(
    certificate_id: Annotated[
        str | None, typer.Argument(metavar="[CERTIFICATE_ID]", help="The certificate that is to be replaced.")
    ] = None,
    certificate: Annotated[
        Path | None,
        typer.Option(
            parser=path, metavar="PATH", help="Its replacement, PEM, if you have made one. [default: one is made]"
        ),
    ] = None,
    ca: Annotated[
        str | None,
        typer.Option(metavar="CA_CERTIFICATE_ID", help="Replace every ACTIVE certificate registered with this CA."),
    ] = None,
    ca_certificate: Annotated[
        Path | None, typer.Option(parser=path, metavar="PATH", help="The CA that signs the new certificates, PEM.")
    ] = None,
    ca_key: Annotated[Path | None, typer.Option(parser=path, metavar="PATH", help="Its private key, PEM.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            parser=path,
            metavar="DIR",
            help="Folder for DIR/<old certificate id>/device.key (mode 0600) and device.crt.",
        ),
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=36500, help="How long the new certificates are valid.")] = 3650,
    key_type: Annotated[
        str | None,
        typer.Option(
            metavar="TYPE",
            help="RSA-2048, RSA-3072, RSA-4096, P-256, P-384 or P-521. [default: as the old certificate's]",
        ),
    ] = None,
    status: Annotated[bool, typer.Option("--status", help="How far the rotations are, and which wait.")] = False,
    wait: Annotated[
        float, typer.Option(metavar="SECONDS", help="With --status: wait so long until none is pending, else exit 1.")
    ] = 0.0,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="Give the rotation up: the new certificate becomes INACTIVE.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    account: Account = None,
    region: Annotated[str | None, typer.Option(help="Region to work in. [default: the server's]")] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Replace certificates; the old ones work until the new ones have connected. Run again, it goes on where it was."""
    asked = {
        "CERTIFICATE_ID": certificate_id,
        "--certificate": certificate,
        "--ca": ca,
        "--ca-certificate": ca_certificate,
        "--ca-key": ca_key,
        "--out": out,
        "--status": status,
        "--wait": wait,
        "--cancel": cancel,
        "--dry-run": dry_run,
    }
    given = {name for name, value in asked.items() if value}

    def client() -> ApiClient:
        from sekisho.cli.api_client import ApiClient, access

        return ApiClient(access(data, account), region)

    if status:
        _refuse_others(given, "--status", "--ca", "--wait")
        _show_status(client(), ca, wait, as_json=as_json)
    elif cancel:
        _refuse_others(given, "--cancel", "CERTIFICATE_ID")
        _cancel(client(), _required(certificate_id, "CERTIFICATE_ID"), as_json=as_json)
    elif certificate is not None:
        _refuse_others(given, "--certificate", "CERTIFICATE_ID", "--ca-certificate", "--dry-run")
        old = _required(certificate_id, "CERTIFICATE_ID")
        _replace(client(), old, certificate, ca_certificate, dry_run=dry_run, as_json=as_json)
    elif certificate_id is not None or ca is not None:
        which = "CERTIFICATE_ID" if ca is None else "--ca"
        _refuse_others(given, which, "--ca-certificate", "--ca-key", "--out", "--dry-run")
        papers = _papers(
            _required(ca_certificate, "--ca-certificate"),
            _required(ca_key, "--ca-key"),
            _required(out, "--out"),
            key_type,
            days,
        )
        server = client()
        with nullcontext() if dry_run else papers.held():
            if ca is None:
                _renew(server, papers, _required(certificate_id, which), dry_run=dry_run, as_json=as_json)
            else:
                _renew_fleet(server, papers, ca, dry_run=dry_run, as_json=as_json)
    else:
        raise Failure("name a certificate, or a CA with --ca, or ask with --status: 'sekisho rotate --help'")


def _refuse_others(given: set[str], *fitting: str) -> None:
    strange = sorted(given - set(fitting))
    if strange:
        raise Failure(f"{' and '.join(strange)} cannot be given together with {fitting[0]}")


def _required(value: T | None, name: str) -> T:
    if value is None:
        raise Failure(f"{name} is missing: 'sekisho rotate --help'")
    return value


def _papers(ca_certificate: Path, ca_key: Path, out: Path, key_type: str | None, days: int) -> NewPapers:
    from datetime import timedelta

    from sekisho.cli.new_papers import NewPapers
    from sekisho.cli.papers import key_of, read_text
    from sekisho.clock import utc_now
    from sekisho.pki import ca

    try:
        authority = ca.load(read_text(ca_certificate), read_text(ca_key))
    except ValueError as error:
        raise Failure(str(error)) from None
    return NewPapers(out, authority, None if key_type is None else key_of(key_type), timedelta(days=days), utc_now)


def _asking(ask: Callable[[], T]) -> T:
    """What the server refuses becomes one line for a person."""
    from sekisho.cli.api_client import Refused

    try:
        return ask()
    except Refused as refused:
        raise Failure(str(refused)) from None


# One device


def _replace(client: ApiClient, old_id: str, file: Path, ca_file: Path | None, *, dry_run: bool, as_json: bool) -> None:
    from sekisho.cli.output import show_json, show_line
    from sekisho.cli.papers import read_text
    from sekisho.cli.rotating import active, begin, certificate_id
    from sekisho.pki.certificate import X509Certificate
    from sekisho.pki.pem import PemError

    old_id = certificate_id(old_id)
    try:
        new = X509Certificate.from_pem(read_text(file))
    except PemError as error:
        raise Failure(f"{file}: {error}") from None
    ca_pem = None if ca_file is None else read_text(ca_file)
    if dry_run:
        _asking(lambda: active(client, old_id))
        if as_json:
            show_json({"dryRun": True, "oldCertificateId": old_id, "newCertificateId": new.certificate_id})
        else:
            show_line(f"would register {new.certificate_id} beside {old_id}")
        return
    _show_rotation(_asking(lambda: begin(client, old_id, new, ca_pem)), as_json=as_json)


def _renew(client: ApiClient, papers: NewPapers, old_id: str, *, dry_run: bool, as_json: bool) -> None:
    from sekisho.cli.output import show_json, show_line
    from sekisho.cli.rotating import Rotator, certificate_id

    old_id = certificate_id(old_id)
    rotator = _asking(lambda: Rotator(client, papers, dry_run=dry_run))
    outcome = _asking(lambda: rotator.rotate(old_id))
    certificate, key = papers.certificate_file(old_id), papers.key_file(old_id)
    if as_json:
        show_json(
            {
                "dryRun": dry_run,
                "oldCertificateId": old_id,
                "newCertificateId": outcome.new_certificate_id,
                "step": outcome.step.value,
                "certificate": str(certificate),
                "key": str(key),
                "registeredWithCa": rotator.registers_with_ca,
            }
        )
        return
    if not rotator.registers_with_ca:
        show_line(_NO_CA)
    if dry_run:
        show_line(f"would {_would(outcome.step)}: {certificate}")
        return
    show_line(f"{certificate}  {key}")
    show_line(f"certificate id {outcome.new_certificate_id}")
    show_line("Bring both files to the device. The old certificate works until the new one has connected.")


def _cancel(client: ApiClient, old_id: str, *, as_json: bool) -> None:
    from sekisho.cli.rotating import ROTATIONS, certificate_id

    path = f"{ROTATIONS}/{certificate_id(old_id)}"
    _show_rotation(_asking(lambda: client.delete(path)), as_json=as_json)


def _show_rotation(rotation: dict[str, Any], *, as_json: bool) -> None:
    from sekisho.cli.output import show_json, show_line

    if as_json:
        show_json(rotation)
        return
    show_line(f"{rotation['oldCertificateId']} to {rotation['newCertificateId']}: {rotation['state']}")
    if rotation["state"] == "PENDING":
        show_line("The old certificate works until the new one has connected.")


# A whole CA


def _renew_fleet(client: ApiClient, papers: NewPapers, ca_id: str, *, dry_run: bool, as_json: bool) -> None:
    from sekisho.cli.api_client import Refused, Unreachable
    from sekisho.cli.rotating import Rotator

    rotator = _asking(lambda: Rotator(client, papers, dry_run=dry_run))
    fleet = _asking(lambda: rotator.fleet(ca_id))
    outcomes: list[Outcome] = []
    failed: list[tuple[str, str]] = []
    lost: Unreachable | None = None
    with _bar(fleet.old_certificate_ids, is_shown=not as_json) as devices:
        for old_id in devices:
            try:
                outcomes.append(rotator.rotate(old_id, fleet.pending.get(old_id)))
            except Unreachable as error:
                lost = error
                break
            except (Failure, Refused) as error:
                failed.append((old_id, str(error)))
    _report(rotator, papers, outcomes, failed, dry_run=dry_run, as_json=as_json)
    if lost is not None:
        raise Failure(f"{lost}. Run the same command again to go on")
    if failed:
        raise typer.Exit(1)


@contextmanager
def _bar(items: Sequence[str], *, is_shown: bool) -> Iterator[Iterator[str]]:
    """The items one by one, with a progress bar on a terminal's standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("rotating"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not (is_shown and console.is_terminal)) as progress:
        yield iter(progress.track(items, total=len(items)))


def _report(
    rotator: Rotator,
    papers: NewPapers,
    outcomes: Sequence[Outcome],
    failed: Sequence[tuple[str, str]],
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    from sekisho.cli.output import show_json, show_line
    from sekisho.cli.rotating import Step

    counts = {step: sum(outcome.step is step for outcome in outcomes) for step in Step}
    if as_json:
        show_json(
            {
                "dryRun": dry_run,
                "made": counts[Step.MAKE],
                "registered": counts[Step.REGISTER],
                "waiting": counts[Step.WAIT],
                "failed": [{"certificateId": old_id, "reason": reason} for old_id, reason in failed],
                "devices": [
                    {
                        "oldCertificateId": outcome.old_certificate_id,
                        "newCertificateId": outcome.new_certificate_id,
                        "step": outcome.step.value,
                    }
                    for outcome in outcomes
                ],
                "registeredWithCa": rotator.registers_with_ca,
            }
        )
        return
    if not rotator.registers_with_ca:
        show_line(_NO_CA)
    if dry_run:
        for step, count in counts.items():
            show_line(f"would {_would(step)}: {count}")
    else:
        show_line(
            f"{counts[Step.MAKE]} made, {counts[Step.REGISTER]} registered from files of an earlier run, "
            f"{counts[Step.WAIT]} waiting already, {len(failed)} failed"
        )
        if outcomes:
            show_line(f"Bring the files in {papers.folder} to the devices. 'sekisho rotate --status' tells who waits.")
    for old_id, reason in failed:
        show_line(f"failed: {old_id}: {reason}")


def _would(step: Step) -> str:
    from sekisho.cli.rotating import Step

    return {
        Step.MAKE: "make a key and a certificate and register it",
        Step.REGISTER: "register the certificate that is there from an earlier run",
        Step.WAIT: "do no more, the new certificate being registered",
    }[step]


# How far it is


def _show_status(client: ApiClient, ca_id: str | None, wait: float, *, as_json: bool) -> None:
    import time
    from itertools import islice

    from sekisho.cli.output import show_json, show_line
    from sekisho.cli.rotating import ROTATIONS, certificate_id

    ca_id = None if ca_id is None else certificate_id(ca_id)
    deadline = time.monotonic() + wait
    while True:
        progress = _asking(lambda: client.get(f"{ROTATIONS}/progress", caCertificateId=ca_id))
        if not progress["pending"] or time.monotonic() >= deadline:
            break
        time.sleep(_POLL)
    listed = client.each(ROTATIONS, "rotations", caCertificateId=ca_id)
    waiting = _asking(lambda: list(listed if as_json else islice(listed, _SHOWN)))
    if as_json:
        show_json({**progress, "waiting": waiting})
    else:
        show_line(f"{progress['pending']} pending, {progress['done']} done, {progress['cancelled']} cancelled")
        for each in waiting:
            since = _moment(each["startedAt"])
            show_line(f"{each['oldCertificateId']} waits for {each['newCertificateId']} since {since}")
        if progress["pending"] > len(waiting) == _SHOWN:
            show_line(f"and {progress['pending'] - _SHOWN} more: --json lists all")
    if wait and progress["pending"]:
        raise typer.Exit(1)


def _moment(seconds: float) -> str:
    from datetime import UTC, datetime

    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
