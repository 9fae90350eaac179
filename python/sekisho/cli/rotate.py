"""``sekisho rotate``: give devices new certificates while the old ones work, until the new ones have connected."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

from sekisho.cli.failure import Failure
from sekisho.cli.options import KEY_TYPES, Account, Data, Json, choices, path, region_names

if TYPE_CHECKING:
    from sekisho.cli.api_client import ApiClient
    from sekisho.cli.device_files import DeviceFiles
    from sekisho.cli.rotator import Outcome

T = TypeVar("T")

_POLL_SECONDS: Final = 0.2
"""Between two requests for the progress, while ``status --wait`` waits."""

_SHOWN_ROTATIONS: Final = 20
"""Pending rotations that ``status`` lists in text; with ``--json`` it lists all."""

app = typer.Typer(
    help="Replace certificates; the old ones work until the new ones have connected.",
    no_args_is_help=True,
)

CertificateId = Annotated[
    str, typer.Argument(metavar="CERTIFICATE_ID", help="The certificate that is replaced, ACTIVE.")
]
CaCertificate = Annotated[
    Path,
    typer.Option("--ca-certificate", parser=path, metavar="PATH", help="The CA that signs the new certificates, PEM."),
]
CaKey = Annotated[Path, typer.Option("--ca-key", parser=path, metavar="PATH", help="Its private key, PEM.")]
Out = Annotated[
    Path,
    typer.Option(
        "--out",
        parser=path,
        metavar="DIR",
        help="Folder for DIR/<old certificate id>/device.key (mode 0600) and device.crt.",
    ),
]
Days = Annotated[int, typer.Option("--days", min=1, max=36500, help="How long the new certificates are valid.")]
KeyType = Annotated[
    str | None,
    typer.Option(
        "--key-type",
        metavar="TYPE",
        help="RSA-2048, RSA-3072, RSA-4096, P-256, P-384 or P-521. [default: that of the old certificate's key]",
        autocompletion=choices(*KEY_TYPES),
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Region = Annotated[
    str | None, typer.Option("--region", help="Region to work in. [default: the server's]", autocompletion=region_names)
]


@app.command("device")
def rotate_device(
    certificate_id: CertificateId,
    ca_certificate: CaCertificate,
    ca_key: CaKey,
    out: Out,
    days: Days = 3650,
    key_type: KeyType = None,
    dry_run: DryRun = False,
    account: Account = None,
    region: Region = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Make a key and a certificate for one device, and register the certificate beside the old one.

    Run again, it continues.
    """
    from sekisho.cli.rotation_output import show_device
    from sekisho.cli.rotator import Rotator, require_certificate_id

    old_id = require_certificate_id(certificate_id)
    files = _device_files(ca_certificate, ca_key, out, key_type, days)
    client = _client(data, account, region)
    with nullcontext() if dry_run else files.held():
        rotator = _refusals_as_failures(lambda: Rotator(client, files, dry_run=dry_run))
        outcome = _refusals_as_failures(lambda: rotator.rotate(old_id))
    show_device(rotator, files, outcome, dry_run=dry_run, as_json=as_json)


@app.command("ca")
def rotate_ca(
    ca_certificate_id: Annotated[
        str,
        typer.Argument(metavar="CA_CERTIFICATE_ID", help="The registered CA whose devices get new certificates."),
    ],
    ca_certificate: CaCertificate,
    ca_key: CaKey,
    out: Out,
    days: Days = 3650,
    key_type: KeyType = None,
    dry_run: DryRun = False,
    account: Account = None,
    region: Region = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Make a key and a certificate for every ACTIVE certificate that is registered with a CA.

    Run again, it continues. A device that fails does not stop the others; the exit code is then 1.
    """
    from sekisho.cli.api_client import Refused, Unreachable
    from sekisho.cli.rotation_output import show_fleet
    from sekisho.cli.rotator import Rotator, require_certificate_id

    ca_id = require_certificate_id(ca_certificate_id)
    files = _device_files(ca_certificate, ca_key, out, key_type, days)
    client = _client(data, account, region)
    outcomes: list[Outcome] = []
    failed: list[tuple[str, str]] = []
    lost: Unreachable | None = None
    with nullcontext() if dry_run else files.held():
        rotator = _refusals_as_failures(lambda: Rotator(client, files, dry_run=dry_run))
        fleet = _refusals_as_failures(lambda: rotator.fleet(ca_id))
        with _progress_bar(fleet.old_certificate_ids, is_shown=not as_json) as old_ids:
            for old_id in old_ids:
                try:
                    outcomes.append(rotator.rotate(old_id, fleet.pending.get(old_id)))
                except Unreachable as error:
                    lost = error
                    break
                except (Failure, Refused) as error:
                    failed.append((old_id, str(error)))
    show_fleet(rotator, files, outcomes, failed, dry_run=dry_run, as_json=as_json)
    if lost is not None:
        raise Failure(f"{lost}. Run the same command again to go on")
    if failed:
        raise typer.Exit(1)


@app.command("register")
def register(
    certificate_id: CertificateId,
    new_certificate: Annotated[
        Path, typer.Argument(parser=path, metavar="PATH", help="The certificate that takes its place, PEM.")
    ],
    ca_certificate: Annotated[
        Path | None,
        typer.Option(
            parser=path, metavar="PATH", help="The CA that signed it, PEM. [default: the registered CA that fits]"
        ),
    ] = None,
    dry_run: DryRun = False,
    account: Account = None,
    region: Region = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Register a certificate of your own making beside the one that it replaces."""
    from sekisho.cli.output import show_json, show_line
    from sekisho.cli.pem_files import read_text
    from sekisho.cli.rotation_output import show_rotation
    from sekisho.cli.rotator import begin, require_active, require_certificate_id
    from sekisho.pki.certificate import X509Certificate
    from sekisho.pki.pem import PemError

    old_id = require_certificate_id(certificate_id)
    try:
        new = X509Certificate.from_pem(read_text(new_certificate))
    except PemError as error:
        raise Failure(f"{new_certificate}: {error}") from None
    ca_pem = None if ca_certificate is None else read_text(ca_certificate)
    client = _client(data, account, region)
    if not dry_run:
        show_rotation(_refusals_as_failures(lambda: begin(client, old_id, new, ca_pem)), as_json=as_json)
        return
    _refusals_as_failures(lambda: require_active(client, old_id))
    if as_json:
        show_json({"dryRun": True, "oldCertificateId": old_id, "newCertificateId": new.certificate_id})
    else:
        show_line(f"would register {new.certificate_id} beside {old_id}")


@app.command("status")
def status(
    ca: Annotated[
        str | None,
        typer.Option(metavar="CA_CERTIFICATE_ID", help="Only of certificates registered with this CA. [default: all]"),
    ] = None,
    wait: Annotated[
        float,
        typer.Option(metavar="SECONDS", help="Wait up to this long until none is pending; exit code 1 where one is."),
    ] = 0.0,
    account: Account = None,
    region: Region = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show how many rotations are pending, done and cancelled, and which are pending."""
    import time
    from itertools import islice

    from sekisho.cli.rotation_output import show_progress
    from sekisho.cli.rotator import ROTATIONS, require_certificate_id

    ca_id = None if ca is None else require_certificate_id(ca)
    client = _client(data, account, region)
    deadline = time.monotonic() + wait
    while True:
        progress = _refusals_as_failures(lambda: client.get(f"{ROTATIONS}/progress", caCertificateId=ca_id))
        if not progress["pending"] or time.monotonic() >= deadline:
            break
        time.sleep(_POLL_SECONDS)
    listed = client.each(ROTATIONS, "rotations", caCertificateId=ca_id)
    pending = _refusals_as_failures(lambda: list(listed if as_json else islice(listed, _SHOWN_ROTATIONS)))
    show_progress(progress, pending, as_json=as_json)
    if wait and progress["pending"]:
        raise typer.Exit(1)


@app.command("cancel")
def cancel(
    certificate_id: CertificateId,
    account: Account = None,
    region: Region = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Cancel a pending rotation: the new certificate becomes INACTIVE, the old one stays."""
    from sekisho.cli.rotation_output import show_rotation
    from sekisho.cli.rotator import ROTATIONS, require_certificate_id

    target = f"{ROTATIONS}/{require_certificate_id(certificate_id)}"
    client = _client(data, account, region)
    show_rotation(_refusals_as_failures(lambda: client.delete(target)), as_json=as_json)


def _client(data: Path | None, account: str | None, region: str | None) -> ApiClient:
    from sekisho.cli.api_client import ApiClient, access

    return ApiClient(access(data, account), region)


def _device_files(ca_certificate: Path, ca_key: Path, out: Path, key_type: str | None, days: int) -> DeviceFiles:
    from datetime import timedelta

    from sekisho.cli.device_files import DeviceFiles
    from sekisho.cli.pem_files import key_of, read_text
    from sekisho.clock import utc_now
    from sekisho.pki import ca

    try:
        authority = ca.load(read_text(ca_certificate), read_text(ca_key))
    except ValueError as error:
        raise Failure(str(error)) from None
    return DeviceFiles(out, authority, None if key_type is None else key_of(key_type), timedelta(days=days), utc_now)


def _refusals_as_failures(ask: Callable[[], T]) -> T:
    """Return what ``ask`` returns. Raises Failure with one line for the user where the server refuses."""
    from sekisho.cli.api_client import Refused

    try:
        return ask()
    except Refused as refused:
        raise Failure(str(refused)) from None


@contextmanager
def _progress_bar(items: Sequence[str], *, is_shown: bool) -> Iterator[Iterator[str]]:
    """Yield the items one by one, with a progress bar where standard error is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("rotating"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not (is_shown and console.is_terminal)) as progress:
        yield iter(progress.track(items, total=len(items)))
