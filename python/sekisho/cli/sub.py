"""``sekisho sub``: print the messages that arrive on topics."""

from __future__ import annotations

import base64
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
)


def sub(
    topic: Annotated[list[str], typer.Option("--topic", "-t", help="Topic filter; may be given several times.")],
    certificate: Certificate,
    key: Key,
    count: Annotated[int, typer.Option("--count", "-C", help="End after this many messages; 0: never.")] = 0,
    wait: Annotated[
        float, typer.Option("--wait", "-W", metavar="SECONDS", help="End after this time; 0: never.")
    ] = 0.0,
    client_id: ClientId = None,
    qos: Qos = 0,
    host: Host = None,
    port: Port = None,
    cafile: CaFile = None,
    version: MqttVersion = "5",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Print each message that arrives: topic and payload, or one JSON object a line with --json.

    Payloads that are not UTF-8 are printed in base64. On a terminal characters that are not printable are escaped.
    """
    from sekisho.cli.device_client import DeviceClient, locate
    from sekisho.cli.output import show_json_line, show_line

    endpoint = locate(data, host, port, cafile)
    received = 0
    try:
        with DeviceClient(endpoint, certificate, key, client_id=client_id, version=version) as client:
            client.subscribe(topic, qos=qos)
            for message in client.messages(wait or None):
                try:
                    text, encoding = message.payload.decode(), "utf-8"
                except UnicodeDecodeError:
                    text, encoding = base64.b64encode(message.payload).decode(), "base64"
                if as_json:
                    facts = {"topic": message.topic, "payload": text, "encoding": encoding}
                    show_json_line(facts | {"qos": message.qos, "retain": message.retain})
                else:
                    show_line(f"{message.topic}  {text}")
                received += 1
                if count and received >= count:
                    return
    except KeyboardInterrupt:
        # The usual way to end the command, not a failure.
        return
    if count:
        raise Failure(f"{received} of {count} messages came within {wait:g} seconds")
