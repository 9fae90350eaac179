"""``sekisho pub``: publish one message as a device."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from sekisho.cli.failure import Failure
from sekisho.cli.options import (
    CaFile,
    Certificate,
    ClientId,
    Data,
    Host,
    Json,
    Key,
    MqttVersion,
    Port,
    Qos,
    path,
)


def pub(
    topic: Annotated[str, typer.Option("--topic", "-t", help="Topic to publish on.")],
    certificate: Certificate,
    key: Key,
    message: Annotated[str | None, typer.Option("--message", "-m", help="The payload.")] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", parser=path, metavar="PATH", help="Take the payload from a file; - is stdin."),
    ] = None,
    client_id: ClientId = None,
    qos: Qos = 0,
    retain: Annotated[bool, typer.Option("--retain", "-r", help="Publish it as a retained message.")] = False,
    host: Host = None,
    port: Port = None,
    cafile: CaFile = None,
    version: MqttVersion = "5",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Publish one message over mutual TLS."""
    from sekisho.cli.device_client import DeviceClient, locate
    from sekisho.cli.output import show_json, show_line

    if (message is None) == (file is None):
        raise Failure("give the payload with --message or with --file, one of them")
    if message is not None:
        payload = message.encode()
    elif str(file) == "-":
        payload = sys.stdin.buffer.read()
    else:
        assert file is not None  # noqa: S101 - for the type checker; ruled out above
        try:
            payload = file.read_bytes()
        except OSError as error:
            raise Failure(f"{file}: {error.strerror}") from None
    endpoint = locate(data, host, port, cafile)
    with DeviceClient(endpoint, certificate, key, client_id=client_id, version=version) as client:
        client.publish(topic, payload, qos=qos, retain=retain)
    if as_json:
        show_json({"topic": topic, "bytes": len(payload), "qos": qos, "clientId": client.client_id})
    else:
        show_line(f"published {len(payload)} bytes on {topic}")
