"""``sekisho sub``: print what arrives on topics, for a person without mosquitto."""

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
    count: Annotated[int, typer.Option("--count", "-C", help="End after so many messages; 0: never.")] = 0,
    wait: Annotated[float, typer.Option("--wait", "-W", metavar="SECONDS", help="End after so long; 0: never.")] = 0.0,
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

    place = locate(data, host, port, cafile)
    seen = 0
    try:
        with DeviceClient(place, certificate, key, client_id=client_id, version=version) as client:
            client.subscribe(topic, qos=qos)
            for arrival in client.messages(wait or None):
                try:
                    text, encoding = arrival.payload.decode(), "utf-8"
                except UnicodeDecodeError:
                    text, encoding = base64.b64encode(arrival.payload).decode(), "base64"
                if as_json:
                    facts = {"topic": arrival.topic, "payload": text, "encoding": encoding}
                    show_json_line(facts | {"qos": arrival.qos, "retain": arrival.retain})
                else:
                    show_line(f"{arrival.topic}  {text}")
                seen += 1
                if count and seen >= count:
                    return
    except KeyboardInterrupt:
        # How listening ends, and no failure.
        return
    if count:
        raise Failure(f"{seen} of {count} messages came within {wait:g} seconds")
