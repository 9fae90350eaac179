"""``sekisho ca``: make a certificate authority."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sekisho.cli.failure import Failure
from sekisho.cli.options import Force, Json, KeyType, OutputFolder

app = typer.Typer(help="A certificate authority of your own.", no_args_is_help=True)


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Common name of the CA; also names the files.")] = "ca",
    out: OutputFolder = Path(),
    key_type: KeyType = "P-256",
    days: Annotated[int, typer.Option(min=1, max=36500, help="How long it is valid.")] = 3650,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Make NAME.key (mode 0600) and NAME.crt: a self-signed CA that AWS IoT and Sekisho accept."""
    from datetime import timedelta

    from sekisho.cli.output import show_json, show_line
    from sekisho.cli.pem_files import file_name, key_of, refuse_to_overwrite, write_pem_files
    from sekisho.clock import utc_now
    from sekisho.pki import ca

    stem = out / file_name(name)
    key_file, certificate_file = stem.with_name(stem.name + ".key"), stem.with_name(stem.name + ".crt")
    refuse_to_overwrite([key_file, certificate_file], force=force)
    try:
        made = ca.create(name, key_of(key_type), now=utc_now(), lifetime=timedelta(days=days))
    except ValueError as error:
        raise Failure(str(error)) from None
    write_pem_files({key_file: made.key_pem, certificate_file: made.certificate_pem})
    if as_json:
        show_json({"certificate": str(certificate_file), "key": str(key_file), "certificateId": made.certificate_id})
        return
    show_line(f"{certificate_file}  {key_file}")
    show_line(f"certificate id {made.certificate_id}")
    show_line("Register it:")
    show_line(
        f"  aws iot register-ca-certificate --ca-certificate file://{certificate_file} "
        "--certificate-mode SNI_ONLY --set-as-active"
    )
