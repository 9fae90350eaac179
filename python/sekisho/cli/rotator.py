"""Makes and registers new certificates for one device after the other.

Files are on disk before a certificate is registered, and the server answers a repeated request as it did the first. So
a run continues from where an interrupted one ended.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sekisho.cli.api_client import ApiClient, Refused
from sekisho.cli.device_files import DeviceFiles
from sekisho.cli.failure import Failure
from sekisho.pki.certificate import X509Certificate
from sekisho.pki.pem import PemError

ROTATIONS: Final = "/_sekisho/rotations"

_CERTIFICATE_ID: Final = re.compile(r"(0x)?[0-9a-f]{64}")


class Step(StrEnum):
    """What was necessary for a device."""

    MAKE = "MAKE"
    """A key and a certificate had to be made, and the certificate registered."""
    REGISTER = "REGISTER"
    """Files of an earlier run existed; the certificate had to be registered."""
    WAIT = "WAIT"
    """The new certificate is registered, and has not connected yet."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result for a device; with a dry run, what it would be."""

    old_certificate_id: str
    step: Step
    new_certificate_id: str | None
    """None with a dry run where the certificate would have to be made."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """The devices of a CA that are to be rotated."""

    old_certificate_ids: Sequence[str]
    pending: Mapping[str, str]
    """Old certificate id → the new one of its pending rotation."""


class Rotator:
    """Makes new certificates with one CA and registers them. Raises the errors of ``ApiClient`` and ``DeviceFiles``."""

    def __init__(self, client: ApiClient, files: DeviceFiles, *, dry_run: bool) -> None:
        self._client = client
        self._files = files
        self._dry_run = dry_run
        self._ca_pem = _registered_ca(client, files)

    @property
    def registers_with_ca(self) -> bool:
        """Whether the CA that signs is registered and ACTIVE, so that new certificates are registered with it."""
        return self._ca_pem is not None

    def fleet(self, ca_certificate_id: str) -> Fleet:
        """List every ACTIVE certificate registered with a CA, without those that replace another one.

        Raises Failure: there is no such CA.
        """
        try:
            self._client.get(f"/cacertificate/{ca_certificate_id}")
        except Refused as refused:
            raise Failure(str(refused)) from None
        pending = {
            each["oldCertificateId"]: each["newCertificateId"]
            for each in self._client.each(ROTATIONS, "rotations", caCertificateId=ca_certificate_id)
        }
        # If this CA signs the replacements too, they are among its certificates, and rotating them would never end.
        new = self._files.made_here() | set(pending.values())
        listed = self._client.each(f"/certificates-by-ca/{ca_certificate_id}", "certificates", isAscendingOrder="true")
        old = [each["certificateId"] for each in listed if each["status"] == "ACTIVE"]
        return Fleet([each for each in old if each not in new], pending)

    def rotate(self, old_certificate_id: str, pending: str | None = None) -> Outcome:
        """Do the remaining steps for one device.

        Args:
            pending: The new certificate of a pending rotation, if the caller knows one.

        Raises Failure or Refused.
        """
        new = self._files.present(old_certificate_id)
        if pending is not None:
            if new is None or new.certificate_id != pending:
                raise Failure(
                    f"a rotation to {pending} is pending, whose files are not in {self._files.folder}: name their "
                    "folder with --out, or cancel it with 'sekisho rotate cancel'"
                )
            return Outcome(old_certificate_id, Step.WAIT, pending)
        step = Step.REGISTER
        if new is None:
            step = Step.MAKE
            old = require_active(self._client, old_certificate_id)
            if self._dry_run:
                return Outcome(old_certificate_id, step, None)
            new = self._files.make(old)
        if not self._dry_run:
            begin(self._client, old_certificate_id, new, self._ca_pem)
        return Outcome(old_certificate_id, step, new.certificate_id)


def require_certificate_id(text: str) -> str:
    """Return a certificate id as the server writes it: lower case, no ``0x``. Raises Failure where it is not one."""
    lower = text.lower()
    if _CERTIFICATE_ID.fullmatch(lower) is None:
        raise Failure(f"{text!r} is not a certificate id, 64 hexadecimal digits")
    return lower.removeprefix("0x")


def require_active(client: ApiClient, old_certificate_id: str) -> X509Certificate:
    """Return a registered certificate. Raises Failure where it is not ACTIVE, and Refused where it does not exist."""
    described = client.get(f"/certificates/{old_certificate_id}")["certificateDescription"]
    if described["status"] != "ACTIVE":
        raise Failure(
            f"certificate {old_certificate_id} is {described['status']}; only one that is ACTIVE can be rotated"
        )
    try:
        return X509Certificate.from_pem(described["certificatePem"])
    except PemError as error:
        raise Failure(f"certificate {old_certificate_id}: {error}") from None


def begin(client: ApiClient, old_certificate_id: str, new: X509Certificate, ca_pem: str | None) -> dict[str, Any]:
    """Register the new certificate beside the old one, and return the rotation. Raises Refused."""
    asked = {"oldCertificateId": old_certificate_id, "newCertificatePem": new.pem, "caCertificatePem": ca_pem}
    rotation: dict[str, Any] = client.post(ROTATIONS, asked)
    return rotation


def _registered_ca(client: ApiClient, files: DeviceFiles) -> str | None:
    """Return the PEM of the CA that signs where it is registered and ACTIVE, else None.

    The request names it, because several registered CA certificates can have the same key.
    """
    try:
        described = client.get(f"/cacertificate/{files.authority.certificate_id}")["certificateDescription"]
    except Refused as refused:
        if refused.code != "ResourceNotFoundException":
            raise
        return None
    return files.authority.certificate_pem if described["status"] == "ACTIVE" else None
