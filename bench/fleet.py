"""The devices of a benchmark: made with ``sekisho.pki``, registered through boto3 as a user would."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.config import Config

from sekisho.clock import utc_now
from sekisho.pki import ca
from sekisho.pki.ca import CertificateAuthority
from sekisho.pki.keys import KeyType

_LIFETIME: Final = timedelta(days=30)

_REGISTRARS: Final = 4
"""Registrations at a time."""

POLICIES: Final = {
    # The Developer Guide's recommended policy for devices, which depends on the name of the attached thing.
    "bench-device": (
        (
            "iot:Connect",
            ["client/${iot:Connection.Thing.ThingName}"],
            {"Bool": {"iot:Connection.Thing.IsAttached": "true"}},
        ),
        ("iot:Publish", ["topic/fleet/${iot:Connection.Thing.ThingName}/*"], None),
        ("iot:Subscribe", ["topicfilter/commands/${iot:Connection.Thing.ThingName}/*"], None),
        ("iot:Receive", ["topic/commands/${iot:Connection.Thing.ThingName}/*"], None),
    ),
    # For devices that subscribe to the whole fleet and publish to all of it.
    "bench-operator": (
        ("iot:Subscribe", ["topicfilter/fleet/*", "topicfilter/announcements/*"], None),
        ("iot:Receive", ["topic/fleet/*", "topic/announcements/*"], None),
        ("iot:Publish", ["topic/announcements/*"], None),
    ),
}
"""Policies of every device: name to (action, resources, condition)."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device's name, which is its thing's and its client id, and its PEM files."""

    name: str
    certificate: Path
    key: Path

    def for_load(self) -> dict[str, str]:
        """Return the device in the form that the load generator reads."""
        return {"client_id": self.name, "certificate": str(self.certificate), "key": str(self.key)}


class Fleet:
    """A CA made here and the devices that it signed, one certificate each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700)
        self._ca = ca.create("Benchmark CA", KeyType.P_256, now=utc_now(), lifetime=_LIFETIME)
        self.ca_file = folder / "ca.crt"
        self.ca_file.write_text(self._ca.certificate_pem)
        self._devices: dict[KeyType, list[Device]] = {}

    def make(self, key_type: KeyType, count: int) -> None:
        """Make devices whose keys are of this kind."""
        names = [f"device-{key_type.lower()}-{number:05}" for number in range(count)]
        self._devices[key_type] = [make_device(self._folder, self._ca, name, key_type) for name in names]

    def devices(self, key_type: KeyType) -> Sequence[Device]:
        """Return the devices with a key of this kind."""
        return self._devices[key_type]

    def register(self, environment: Mapping[str, str], account: str) -> None:
        """Register everything with a running Sekisho: CA, policies, certificate and thing of each device."""
        iot = iot_client(environment, _REGISTRARS)
        iot.register_ca_certificate(
            caCertificate=self._ca.certificate_pem, certificateMode="SNI_ONLY", setAsActive=True
        )
        create_policies(iot, f"arn:aws:iot:{environment['AWS_REGION']}:{account}:")
        devices = [device for devices in self._devices.values() for device in devices]
        with ThreadPoolExecutor(_REGISTRARS) as pool:
            for _ in pool.map(lambda device: self._register_device(iot, device), devices):
                pass

    def _register_device(self, iot: Any, device: Device) -> None:
        arn = iot.register_certificate(
            certificatePem=device.certificate.read_text(),
            caCertificatePem=self._ca.certificate_pem,
            setAsActive=True,
        )["certificateArn"]
        iot.create_thing(thingName=device.name)
        iot.attach_thing_principal(thingName=device.name, principal=arn)
        for policy in POLICIES:
            iot.attach_policy(policyName=policy, target=arn)


def iot_client(environment: Mapping[str, str], connections: int) -> Any:
    """Return boto3's client for the server of ``sekisho env``."""
    return boto3.client(
        "iot",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        region_name=environment["AWS_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        config=Config(max_pool_connections=connections, retries={"total_max_attempts": 1}),
    )


def create_policies(iot: Any, arn_prefix: str) -> None:
    """Create the policies of every device."""
    for name, statements in POLICIES.items():
        iot.create_policy(policyName=name, policyDocument=_document(statements, arn_prefix))


def make_device(folder: Path, authority: CertificateAuthority, name: str, key_type: KeyType) -> Device:
    """Make a device with its files."""
    made = authority.new_device(name, key_type, now=utc_now(), lifetime=_LIFETIME)
    device = Device(name, folder / f"{name}.crt", folder / f"{name}.key")
    device.certificate.write_text(made.certificate_pem)
    device.key.touch(mode=0o600)
    device.key.write_text(made.private_key_pem)
    return device


def _document(statements: Iterable[tuple[str, list[str], dict[str, Any] | None]], arn_prefix: str) -> str:
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Action": action,
                    "Resource": [arn_prefix + resource for resource in resources],
                    **({"Condition": condition} if condition else {}),
                }
                for action, resources, condition in statements
            ],
        }
    )
