"""A realm: one account in one region.

Each realm has certificates, things, policies, topics and sessions of its own. The realm of an API request comes from
its SigV4 credential (access key and scope), that of a device's connection from the SNI name.
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
