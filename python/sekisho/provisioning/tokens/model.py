"""Ownership tokens of certificates that wait for their device."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sekisho.realm import Realm


@dataclass(frozen=True, slots=True)
class OwnershipToken:
    """Whose a certificate is that waits for a device to provision with it (Developer Guide, fleet-provision-api)."""

    realm: Realm
    token_sha256: str
    """Lower-case hex; the token itself is with the device alone."""
    certificate_id: str
    claim_certificate_id: str
    """The certificate that the device asked with, and has to provision with."""
    expires_at: datetime
