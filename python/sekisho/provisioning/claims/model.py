"""Provisioning claims: certificates with which devices ask for certificates of their own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sekisho.realm import Realm


@dataclass(frozen=True, slots=True)
class ProvisioningClaim:
    """A certificate of a few minutes, good for provisioning through one template and nothing else."""

    realm: Realm
    certificate_id: str
    certificate_pem: str
    template_name: str
    not_before: datetime
    not_after: datetime
    """When it expires, as its certificate says."""
    created_at: datetime
