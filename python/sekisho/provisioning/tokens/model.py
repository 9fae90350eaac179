"""Ownership tokens of fleet provisioning."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sekisho.realm import Realm


@dataclass(frozen=True, slots=True)
class OwnershipToken:
    """The token with which a device provisions a new certificate (Developer Guide, fleet-provision-api)."""

    realm: Realm
    token_sha256: str
    """Lower-case hex. The token itself is a secret of the device, and not stored."""
    certificate_id: str
    claim_certificate_id: str
    """The certificate of the connection that requested the new one. Only it may use the token."""
    expires_at: datetime
