"""``sekisho up``: run a server until it receives SIGINT or SIGTERM."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from sekisho.cli.failure import Failure
from sekisho.cli.options import Data, Json, choices, path, region_names

if TYPE_CHECKING:
    from sekisho.server.run_file import Run
    from sekisho.server.settings import Loaded, Settings

LOG_LEVELS: Final = ("debug", "info", "warning", "error")


def up(
    data: Data = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on. [default: 127.0.0.1]")] = None,
    api_port: Annotated[int | None, typer.Option(help="Port of the API; 0: a free one. [default: 5883]")] = None,
    mqtt_port: Annotated[int | None, typer.Option(help="Port of MQTT; 0: a free one. [default: 8883]")] = None,
    region: Annotated[
        str | None,
        typer.Option(
            help="Home region of the default account. [default: $AWS_REGION, else us-east-1]",
            autocompletion=region_names,
        ),
    ] = None,
    account: Annotated[str | None, typer.Option(help="Default account, 12 digits. [default: 123456789012]")] = None,
    log_level: Annotated[
        str | None,
        typer.Option(
            help="debug, info, warning or error. [default: info]",
            autocompletion=choices(*LOG_LEVELS),
        ),
    ] = None,
    database_url: Annotated[
        str | None,
        typer.Option(
            help="PostgreSQL URL. Write one with a password to SEKISHO_DATABASE_URL: process lists do not show that. "
            "[default: SQLite in the data folder]"
        ),
    ] = None,
    server_certificate: Annotated[
        Path | None,
        typer.Option(
            parser=path, metavar="PATH", help="Your own server certificate chain, PEM. [default: Sekisho's own]"
        ),
    ] = None,
    server_key: Annotated[Path | None, typer.Option(parser=path, metavar="PATH", help="Its private key, PEM.")] = None,
    server_root_ca: Annotated[
        Path | None,
        typer.Option(parser=path, metavar="PATH", help="Its root for clients, PEM. [default: the last of the chain]"),
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(help="Host name that devices connect to, such as iot.factory.example. [default: localhost]"),
    ] = None,
    any_credentials: Annotated[
        bool | None,
        typer.Option("--any-credentials", help="Accept unsigned requests and unknown access keys. Loopback only."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(parser=path, metavar="PATH", help="Settings file. [default: sekisho.toml in the data folder]"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Start a server: the AWS IoT APIs over HTTP, and MQTT over mutual TLS. Ctrl-C ends it."""
    from sekisho.server import quick_start

    quick_start.begin()
    from sekisho.server import server
    from sekisho.server.cannot_start import CannotStart
    from sekisho.server.settings import ConfigError, read

    chosen = {
        "data": data,
        "host": host,
        "api_port": api_port,
        "mqtt_port": mqtt_port,
        "region": region,
        "account": account,
        "log_level": log_level,
        "database_url": database_url,
        "server_certificate": server_certificate,
        "server_key": server_key,
        "server_root_ca": server_root_ca,
        "endpoint": endpoint,
        "any_credentials": any_credentials,
    }

    def announce(run: Run) -> None:
        quick_start.end()
        _announce(run, loaded.settings, as_json=as_json)

    def load() -> Loaded:
        return read(chosen, config_file=config).checked()

    try:
        loaded = load()
        server.run(loaded, announce, load)
    except (ConfigError, CannotStart) as error:
        raise Failure(str(error)) from None


def _announce(run: Run, settings: Settings, *, as_json: bool) -> None:
    """Print the addresses in a separate thread, so that the server continues where its output is not read."""
    import os
    import sys
    import threading

    from sekisho.cli import announcement

    def show() -> None:
        try:
            if as_json:
                announcement.show_json(run)
            else:
                announcement.show(run, settings)
            sys.stdout.flush()
        except (OSError, SystemExit):
            # Rich raises SystemExit where the output is closed. The buffered rest must not fail at exit either.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    threading.Thread(target=show, name="announcement", daemon=True).start()
