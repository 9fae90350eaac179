"""``sekisho env``: what to export so that AWS tools talk to the running server."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from sekisho.cli.failure import Failure
from sekisho.cli.options import Data, Json, settings_of


def env(
    data: Data = None,
    account: Annotated[
        str | None, typer.Option(help="Account to sign as. [default: the server's default account]")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print exports for a shell: eval "$(sekisho env)"."""
    from sekisho import run_file
    from sekisho.app import CannotStart, open_accounts
    from sekisho.cli.output import show_json, show_line

    settings = settings_of(data)
    folder = settings.data
    run = run_file.answering(folder)
    if run is None:
        raise Failure(f"no server answers on {folder}: start one with 'sekisho up --data {shlex.quote(str(folder))}'")
    account_id = account or run.account
    try:
        with open_accounts(settings) as accounts:
            keys = accounts.access_keys(account_id)
    except CannotStart as error:
        raise Failure(str(error)) from None
    if not keys:
        raise Failure(f"there is no account {account_id}: 'sekisho account list' shows those there are")
    values = {
        "AWS_ENDPOINT_URL": run.api,
        "AWS_ENDPOINT_URL_IOT": run.api,
        # botocore derives this name from the service id "IoT Data Plane".
        "AWS_ENDPOINT_URL_IOT_DATA_PLANE": run.api,
        "AWS_REGION": run.region,
        "AWS_DEFAULT_REGION": run.region,
        "AWS_ACCESS_KEY_ID": keys[0].access_key_id,
        "AWS_SECRET_ACCESS_KEY": keys[0].secret_access_key,
        "SEKISHO_ROOT_CA": run.root_ca,
        "SEKISHO_DATA": str(folder),
    }
    if as_json:
        show_json(values)
        return
    # A profile or session token of another account would win over, or spoil, the keys above.
    show_line("unset AWS_PROFILE AWS_SESSION_TOKEN AWS_SECURITY_TOKEN")
    for name, value in values.items():
        show_line(f"export {name}={shlex.quote(value)}")
