"""Options that several commands share, declared once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from sekisho.server.settings import Settings


def path(text: str) -> Path:
    """Return the path that was typed.

    Raises Failure where it is empty: Path means the current folder then, but most often a variable is not set.
    """
    from sekisho.cli.failure import Failure

    if not text:
        raise Failure("a path on the command line is empty: is a variable unset? Write . for the current folder")
    return Path(text)


def choices(*values: str) -> Callable[[str], list[str]]:
    """Return what completes a value that is one of ``values``."""

    def complete(incomplete: str) -> list[str]:
        return [each for each in values if each.startswith(incomplete)]

    return complete


def region_names(incomplete: str) -> list[str]:
    """Complete the name of a region of AWS."""
    from sekisho.regions import Regions

    return [each for each in Regions() if each.startswith(incomplete)]


KEY_TYPES: Final = ("RSA-2048", "RSA-3072", "RSA-4096", "P-256", "P-384", "P-521")

Data = Annotated[
    Path | None,
    typer.Option("--data", parser=path, metavar="DIR", help="Data folder. [default: $SEKISHO_DATA, else ~/.sekisho]"),
]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


def data_folder(chosen: Path | None) -> Path:
    """Return the data folder that a command works on. Raises Failure."""
    from sekisho.cli.failure import Failure
    from sekisho.server.settings import ConfigError, data_folder

    try:
        return data_folder(chosen)
    except ConfigError as error:
        raise Failure(str(error)) from None


def settings_of(chosen: Path | None) -> Settings:
    """Return the settings of the server on a data folder, from its file and the environment. Raises Failure."""
    from sekisho.cli.failure import Failure
    from sekisho.server.settings import ConfigError, load

    try:
        return load({"data": chosen})
    except ConfigError as error:
        raise Failure(str(error)) from None


Account = Annotated[str | None, typer.Option(help="Account to sign as. [default: the server's default account]")]
Certificate = Annotated[
    Path, typer.Option("--cert", parser=path, metavar="PATH", help="The device's certificate, PEM.")
]
Key = Annotated[Path, typer.Option("--key", parser=path, metavar="PATH", help="Its private key, PEM.")]
ClientId = Annotated[str | None, typer.Option("--client-id", "-i", help="MQTT client ID. [default: a random one]")]
Qos = Annotated[int, typer.Option("--qos", "-q", min=0, max=1, help="0 or 1.")]
Host = Annotated[str | None, typer.Option("--host", "-h", help="Endpoint. [default: the running server's]")]
Port = Annotated[int | None, typer.Option("--port", "-p", help="[default: the running server's]")]
CaFile = Annotated[
    Path | None,
    typer.Option(
        "--cafile",
        parser=path,
        metavar="PATH",
        help="Root of the server's certificate. [default: $SEKISHO_ROOT_CA, or the server's]",
    ),
]
MqttVersion = Annotated[
    str, typer.Option("--mqtt-version", "-V", help="5 or 3.1.1.", autocompletion=choices("5", "3.1.1"))
]

KeyType = Annotated[
    str,
    typer.Option(
        "--key-type",
        help="RSA-2048, RSA-3072, RSA-4096, P-256, P-384 or P-521.",
        metavar="TYPE",
        autocompletion=choices(*KEY_TYPES),
    ),
]
OutputFolder = Annotated[Path, typer.Option("--out", parser=path, metavar="DIR", help="Folder to write to.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite existing files.")]
