"""The measured workloads, each as a job of the load generator (bench/load/src/job.rs)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sekisho.pki.keys import KeyType

PAYLOAD: Final = 128
"""Bytes of a message."""

_WARMUP_SECONDS: Final = 0.5
_CONNECTING: Final = 16
"""Connections being made at any moment."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One row of the table."""

    name: str
    what: str
    unit: str
    """The unit of CPU time: ``connect``, ``delivery``, or ``connection`` for memory."""
    work: dict[str, Any]
    devices: int
    """Minimum number of devices."""
    device_key: KeyType = KeyType.P_256
    server_key: str = "ecdsa"


def workloads(seconds: float, p256_devices: int) -> Sequence[Workload]:
    """Return all workloads, each measured for this many seconds."""
    spread = {"warmup_seconds": _WARMUP_SECONDS, "seconds": seconds}
    connects = {"connects": {"concurrency": _CONNECTING, **spread}}

    def messages(name: str, what: str, groups: list[dict[str, Any]], qos: int, window: int, **more: Any) -> Workload:
        work = {"groups": groups, "qos": qos, "payload": PAYLOAD, "window": window, **more, **spread}
        devices = sum(len(group["publishers"]) + len(group["subscribers"]) for group in groups)
        return Workload(name, what, "delivery", {"messages": work}, devices)

    rows = [
        Workload(
            "connect-p256",
            "connects, P-256 keys on both sides",
            "connect",
            connects,
            _CONNECTING,
        ),
        Workload(
            "connect-rsa-p256",
            "connects, RSA-2048 devices, P-256 server",
            "connect",
            connects,
            _CONNECTING,
            device_key=KeyType.RSA_2048,
        ),
        Workload(
            "connect-rsa",
            "connects, RSA-2048 keys on both sides",
            "connect",
            connects,
            _CONNECTING,
            device_key=KeyType.RSA_2048,
            server_key="rsa",
        ),
    ]
    for qos in (0, 1):
        rows += [
            messages(f"pairs-qos{qos}", f"50 pairs, QoS {qos}", _pairs(50), qos, window=64),
            messages(f"fan-in-qos{qos}", f"200 publishers to 1 subscriber, QoS {qos}", _fan_in(200), qos, window=16),
            messages(f"fan-out-qos{qos}", f"1 publisher to 200 subscribers, QoS {qos}", _fan_out(200), qos, window=32),
        ]
    rows += [
        messages("one-in-flight", "50 pairs, QoS 1, one in flight", _pairs(50), qos=1, window=1),
        messages("paced", "5,000 messages a second by 50 pairs, QoS 0", _pairs(50), qos=0, window=64, rate=5000),
        Workload(
            "idle",
            f"memory of {p256_devices - p256_devices // 2} more idle connections",
            "connection",
            {"idle": {"warmup": p256_devices // 2, "concurrency": _CONNECTING}},
            p256_devices,
        ),
    ]
    return rows


def device_name(number: int) -> str:
    """Return the client id and thing of a P-256 device."""
    return f"device-{KeyType.P_256.lower()}-{number:05}"


def _publisher(device: int) -> dict[str, Any]:
    return {"device": device, "topic": f"fleet/{device_name(device)}/telemetry"}


def _pairs(count: int) -> list[dict[str, Any]]:
    return [
        {
            "publishers": [_publisher(number)],
            "subscribers": [{"device": count + number, "topic": _publisher(number)["topic"]}],
        }
        for number in range(count)
    ]


def _fan_in(count: int) -> list[dict[str, Any]]:
    return [
        {
            "publishers": [_publisher(number) for number in range(count)],
            "subscribers": [{"device": count, "topic": "fleet/+/telemetry"}],
        }
    ]


def _fan_out(count: int) -> list[dict[str, Any]]:
    return [
        {
            "publishers": [{"device": count, "topic": "announcements/all"}],
            "subscribers": [{"device": number, "topic": "announcements/all"} for number in range(count)],
        }
    ]
