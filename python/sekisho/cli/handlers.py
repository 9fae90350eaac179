"""``sekisho handlers``: the handlers, and the events that wait for them. Works with and without a running server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from sekisho.cli.failure import Failure
from sekisho.cli.options import Data, Json, settings_of
from sekisho.server.handler_settings import HOW_TO_RESTRICT, HandlerSettings

if TYPE_CHECKING:
    from sekisho.provisioning.deliveries.rules import Deliveries
    from sekisho.server.settings import Settings

app = typer.Typer(
    help="Handlers: what is called where AWS IoT calls a Lambda function.",
    no_args_is_help=True,
)


@app.command("list")
def list_handlers(data: Data = None, as_json: Json = False) -> None:
    """List the handlers of sekisho.toml; how many events wait for each, and how many failed for good."""
    from sekisho.cli.output import show_json, show_line
    from sekisho.server.cannot_start import CannotStart
    from sekisho.server.registry_access import open_deliveries

    settings = settings_of(data)
    if not settings.data.is_dir():
        raise Failure(f"there is no data folder {settings.data}: 'sekisho up' makes one")
    try:
        with open_deliveries(settings) as deliveries:
            backlogs = deliveries.backlogs(list(settings.handlers))
            is_shared = deliveries.are_accounts_several()
    except CannotStart as error:
        raise Failure(str(error)) from None
    rows: list[dict[str, Any]] = [
        {
            "name": each.handler,
            "kind": settings.handlers[each.handler].kind if each.handler in settings.handlers else None,
            "pending": each.pending,
            "failed": each.failed,
            "lastError": each.last_error,
            "accounts": {
                account_id: {"pending": counts.pending, "failed": counts.failed}
                for account_id, counts in each.accounts.items()
            },
            "warning": _warning(settings.handlers.get(each.handler), is_shared=is_shared),
        }
        for each in backlogs
    ]
    if as_json:
        show_json(rows)
        return
    for row in rows:
        show_line(
            f"{row['name']}  {row['kind'] or 'not in sekisho.toml'}  {row['pending']} pending, {row['failed']} failed"
        )
        if row["warning"]:
            show_line(f"  not called: {row['warning']}")
        if is_shared:
            for account_id, counts in row["accounts"].items():
                show_line(f"  {account_id}: {counts['pending']} pending, {counts['failed']} failed")
        if row["lastError"]:
            show_line(f"  {row['lastError']}")


def _require_known(deliveries: Deliveries, settings: Settings, name: str) -> None:
    if name not in (each.handler for each in deliveries.backlogs(list(settings.handlers))):
        raise Failure(f"there is no handler {name!r}: 'sekisho handlers list' shows those there are")


def _warning(handler: HandlerSettings | None, *, is_shared: bool) -> str | None:
    """Return why the handler is not called for any account, or None where it is called."""
    if handler is None or handler.accounts or not is_shared:
        return None
    return HOW_TO_RESTRICT.format(name=handler.name)


@app.command("discard")
def discard(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of this handler.")],
    account: Annotated[str | None, typer.Option(help="Of this account. [default: of all]")] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Delete events that failed for good: no handler is called with them again."""
    from sekisho.cli.output import show_json, show_line
    from sekisho.server.cannot_start import CannotStart
    from sekisho.server.registry_access import open_deliveries

    settings = settings_of(data)
    if not settings.data.is_dir():
        raise Failure(f"there is no data folder {settings.data}: 'sekisho up' makes one")
    try:
        with open_deliveries(settings) as deliveries:
            _require_known(deliveries, settings, name)
            many = deliveries.discard(name, account)
    except CannotStart as error:
        raise Failure(str(error)) from None
    if as_json:
        show_json({"discarded": many})
        return
    show_line(f"{many} {'event is' if many == 1 else 'events are'} forgotten")


@app.command("retry")
def retry(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Of this handler. [default: of all]")] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Deliver events again that failed for good. A running server begins within seconds."""
    from sekisho.cli.output import show_json, show_line
    from sekisho.server.cannot_start import CannotStart
    from sekisho.server.registry_access import open_deliveries

    settings = settings_of(data)
    if not settings.data.is_dir():
        raise Failure(f"there is no data folder {settings.data}: 'sekisho up' makes one")
    try:
        with open_deliveries(settings) as deliveries:
            if name is not None:
                _require_known(deliveries, settings, name)
            many = deliveries.retry(name)
    except CannotStart as error:
        raise Failure(str(error)) from None
    if as_json:
        show_json({"retried": many})
        return
    show_line(f"{many} {'event is' if many == 1 else 'events are'} tried again")
