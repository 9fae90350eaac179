"""Provisioning claims: certificates with which devices may only request their own certificates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sekisho.realm import Realm


@dataclass(frozen=True, slots=True)
class ProvisioningClaim:
    """A certificate that is valid for a few minutes, for provisioning with one template only."""

    realm: Realm
    certificate_id: str
    certificate_pem: str
    template_name: str
    not_before: datetime
    not_after: datetime
    """The end of the certificate's validity."""
    created_at: datetime
