"""What ``sekisho rotate`` does: makes and registers new certificates for one device after the other.

Files are on disk before the server is told of them, and the server answers the same question twice in the same way. So
whatever a run that was interrupted has done, the next one goes on from there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sekisho.cli.api_client import ApiClient, Refused
from sekisho.cli.failure import Failure
from sekisho.cli.new_papers import NewPapers
from sekisho.pki.certificate import X509Certificate
from sekisho.pki.pem import PemError

ROTATIONS: Final = "/_sekisho/rotations"

_CERTIFICATE_ID: Final = re.compile(r"(0x)?[0-9a-f]{64}")


class Step(StrEnum):
    """What was to be done for a device."""

    MAKE = "MAKE"
    """A key and a certificate had to be made and registered."""
    REGISTER = "REGISTER"
    """Its files were there from an earlier run, and had to be registered."""
    WAIT = "WAIT"
    """All was done but its first connection."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done for a device, or with a dry run would be."""

    old_certificate_id: str
    step: Step
    new_certificate_id: str | None
    """None where it would have to be made first."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """The devices of a CA that are to be rotated."""

    old_certificate_ids: Sequence[str]
    pending: Mapping[str, str]
    """Old certificate id → the new one that is waited for already."""


class Rotator:
    """Makes new certificates with one CA and registers them. Raises what ``ApiClient`` and ``NewPapers`` raise."""

    def __init__(self, client: ApiClient, papers: NewPapers, *, dry_run: bool) -> None:
        self._client = client
        self._papers = papers
        self._dry_run = dry_run
        self._ca_pem = _named_ca(client, papers)

    @property
    def registers_with_ca(self) -> bool:
        """Whether the CA that signs is registered and ACTIVE, so that the new certificates belong to it."""
        return self._ca_pem is not None

    def fleet(self, ca_certificate_id: str) -> Fleet:
        """Every ACTIVE certificate registered with a CA, apart from those that take another's place.

        Raises Failure: there is no such CA.
        """
        ca_certificate_id = certificate_id(ca_certificate_id)
        try:
            self._client.get(f"/cacertificate/{ca_certificate_id}")
        except Refused as refused:
            raise Failure(str(refused)) from None
        pending = {
            each["oldCertificateId"]: each["newCertificateId"]
            for each in self._client.each(ROTATIONS, "rotations", caCertificateId=ca_certificate_id)
        }
        # Where the CA signs its own successors these are its certificates too; rotating them would never end.
        new = self._papers.made_here() | set(pending.values())
        listed = self._client.each(f"/certificates-by-ca/{ca_certificate_id}", "certificates", isAscendingOrder="true")
        old = [each["certificateId"] for each in listed if each["status"] == "ACTIVE"]
        return Fleet([each for each in old if each not in new], pending)

    def rotate(self, old_certificate_id: str, pending: str | None = None) -> Outcome:
        """Do for one device what is still to be done.

        Args:
            pending: The new certificate that is waited for already, as far as that is known.

        Raises Failure or Refused.
        """
        new = self._papers.present(old_certificate_id)
        if pending is not None:
            if new is None or new.certificate_id != pending:
                raise Failure(
                    f"a rotation to {pending} is pending, whose files are not in {self._papers.folder}: go on where "
                    "they are, or give it up with --cancel"
                )
            return Outcome(old_certificate_id, Step.WAIT, pending)
        step = Step.REGISTER
        if new is None:
            step = Step.MAKE
            old = active(self._client, old_certificate_id)
            if self._dry_run:
                return Outcome(old_certificate_id, step, None)
            new = self._papers.make(old)
        if not self._dry_run:
            begin(self._client, old_certificate_id, new, self._ca_pem)
        return Outcome(old_certificate_id, step, new.certificate_id)


def certificate_id(text: str) -> str:
    """A certificate id as a person gives it, in the form in which the server tells it. Raises Failure."""
    lower = text.lower()
    if _CERTIFICATE_ID.fullmatch(lower) is None:
        raise Failure(f"{text!r} is not a certificate id, 64 hexadecimal digits")
    return lower.removeprefix("0x")


def active(client: ApiClient, old_certificate_id: str) -> X509Certificate:
    """A registered certificate. Raises Failure where it is not ACTIVE, and Refused where there is none."""
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
    """Register the new certificate beside the old one; the rotation. Raises Refused."""
    asked = {"oldCertificateId": old_certificate_id, "newCertificatePem": new.pem, "caCertificatePem": ca_pem}
    rotation: dict[str, Any] = client.post(ROTATIONS, asked)
    return rotation


def _named_ca(client: ApiClient, papers: NewPapers) -> str | None:
    """The CA that signs, where it is registered and ACTIVE: it is named, since a key may have several certificates."""
    try:
        described = client.get(f"/cacertificate/{papers.authority.certificate_id}")["certificateDescription"]
    except Refused as refused:
        if refused.code != "ResourceNotFoundException":
            raise
        return None
    return papers.authority.certificate_pem if described["status"] == "ACTIVE" else None
