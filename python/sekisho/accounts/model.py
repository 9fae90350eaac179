"""Accounts and access keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Account:
    """An account of this server. ``account_id``: 12 digits."""

    account_id: str
    name: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A key that signs API requests. The secret is stored in clear text, since SigV4 is an HMAC with it."""

    access_key_id: str
    account_id: str
    created_at: datetime
    secret_access_key: str = field(repr=False)
