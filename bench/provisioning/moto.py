"""boto3's client for moto_server: the AWS IoT API of a mock, which keeps everything in memory."""

from __future__ import annotations

from typing import Any

from bench.fleet import iot_client
from bench.peers import RunningPeer
from bench.provisioning.stage import PARALLEL


def client(server: RunningPeer) -> Any:
    """Return a client that sends several requests at a time."""
    return iot_client(
        {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.port}",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "moto",
            "AWS_SECRET_ACCESS_KEY": "moto",
        },
        PARALLEL,
    )
