"""``sekisho device``: make a device's key, certificate signing request and certificate, signed by your own CA."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sekisho.cli.failure import Failure
from sekisho.cli.options import Force, Json, KeyType, OutputFolder, path

app = typer.Typer(help="Device keys and certificates, signed by your own CA.", no_args_is_help=True)


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Common name of the certificate; also names the files.")],
    ca: Annotated[Path, typer.Option("--ca", parser=path, metavar="PATH", help="The CA's certificate, PEM.")],
    ca_key: Annotated[Path, typer.Option("--ca-key", parser=path, metavar="PATH", help="The CA's private key, PEM.")],
    out: OutputFolder = Path(),
    key_type: KeyType = "P-256",
    days: Annotated[int, typer.Option(min=1, max=36500, help="How long it is valid.")] = 3650,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Make NAME.key (mode 0600), NAME.csr and NAME.crt: X.509 v3, for TLS clients. Nothing is registered."""
    from datetime import timedelta

    from sekisho.cli.output import show_json, show_line
    from sekisho.cli.pem_files import file_name, key_of, read_text, refuse_to_overwrite, write_pem_files
    from sekisho.clock import utc_now
    from sekisho.pki import ca as authority

    stem = out / file_name(name)
    key_file, request_file, certificate_file = (
        stem.with_name(stem.name + ending) for ending in (".key", ".csr", ".crt")
    )
    refuse_to_overwrite([key_file, request_file, certificate_file], force=force)
    try:
        signer = authority.load(read_text(ca), read_text(ca_key))
        device = signer.new_device(name, key_of(key_type), now=utc_now(), lifetime=timedelta(days=days))
    except ValueError as error:
        raise Failure(str(error)) from None
    write_pem_files(
        {key_file: device.private_key_pem, request_file: device.request_pem, certificate_file: device.certificate_pem}
    )
    if as_json:
        show_json(
            {
                "certificate": str(certificate_file),
                "key": str(key_file),
                "request": str(request_file),
                "certificateId": device.certificate_id,
            }
        )
        return
    show_line(f"{certificate_file}  {key_file}  {request_file}")
    show_line(f"certificate id {device.certificate_id}")
