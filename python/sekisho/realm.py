"""Where a thing belongs: one account in one region.

Certificates, things, policies, topics and sessions of two realms never meet. The API learns the realm from the SigV4
credential (access key and scope); a device connection learns it from the SNI name.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Realm:
    """An account (12 digits) and a region (such as ``eu-central-1``)."""

    account_id: str
    region: str

    def __str__(self) -> str:
        return f"{self.account_id}/{self.region}"
