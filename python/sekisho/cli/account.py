"""``sekisho account``: the accounts of a server. Works with and without a running server."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from sekisho.cli.failure import Failure
from sekisho.cli.options import Data, Json, settings_of

app = typer.Typer(help="Accounts and their access keys.", no_args_is_help=True)


@app.command("create")
def create(
    account_id: Annotated[
        str | None, typer.Argument(metavar="[ACCOUNT_ID]", help="12 digits. [default: chosen at random]")
    ] = None,
    name: Annotated[str | None, typer.Option(help="A name for people.")] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Create an account with an access key. The secret access key is shown only now."""
    from sekisho.cli.output import show_json, show_line
    from sekisho.errors import AwsException
    from sekisho.server.cannot_start import CannotStart
    from sekisho.server.registry_access import open_accounts

    try:
        with open_accounts(settings_of(data)) as accounts:
            account, key = accounts.create(account_id, name=name)
    except (CannotStart, AwsException) as error:
        raise Failure(str(error)) from None
    if as_json:
        show_json(
            {
                "accountId": account.account_id,
                "name": account.name,
                "accessKeyId": key.access_key_id,
                "secretAccessKey": key.secret_access_key,
            }
        )
        return
    show_line(f"account            {account.account_id}")
    show_line(f"access key id      {key.access_key_id}")
    show_line(f"secret access key  {key.secret_access_key}")
    show_line("The secret is not shown again.")


@app.command("list")
def list_accounts(data: Data = None, as_json: Json = False) -> None:
    """List accounts and their access key ids."""
    from sekisho.cli.output import show_json, show_line
    from sekisho.server.cannot_start import CannotStart
    from sekisho.server.registry_access import open_accounts

    settings = settings_of(data)
    if not settings.data.is_dir():
        raise Failure(f"there is no data folder {settings.data}: 'sekisho up' or 'sekisho account create' makes one")
    try:
        with open_accounts(settings) as accounts:
            rows: list[dict[str, Any]] = [
                {
                    "accountId": account.account_id,
                    "name": account.name,
                    "createdAt": account.created_at.isoformat(),
                    "accessKeyIds": [key.access_key_id for key in accounts.access_keys(account.account_id)],
                }
                for account in accounts.all()
            ]
    except CannotStart as error:
        raise Failure(str(error)) from None
    if as_json:
        show_json(rows)
        return
    for row in rows:
        show_line(f"{row['accountId']}  {', '.join(row['accessKeyIds'])}  {row['name'] or ''}".rstrip())
