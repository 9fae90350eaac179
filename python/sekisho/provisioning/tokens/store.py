"""Ownership tokens of fleet provisioning."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Index, PrimaryKeyConstraint, Row, bindparam, select
from sqlalchemy import insert as sql_insert

from sekisho.provisioning.tokens.model import OwnershipToken
from sekisho.realm import Realm
from sekisho.store.rows import Rows, realm_of, realm_values
from sekisho.store.statements import its, realm_parameters, removing
from sekisho.store.tables import Instant, String, keyed, realm_columns

OWNERSHIP_TOKENS = keyed(
    "ownership_tokens",
    *realm_columns(),
    Column("token_sha256", String, nullable=False),
    Column("certificate_id", String, nullable=False),
    Column("claim_certificate_id", String, nullable=False),
    Column("expires_at", Instant, nullable=False),
    PrimaryKeyConstraint("account_id", "region", "token_sha256"),
    # For ``exists_for``.
    Index(None, "account_id", "region", "certificate_id"),
    # For ``expired``.
    Index(None, "expires_at"),
    sqlite_with_rowid=False,
    # The certificate of a token is PENDING_ACTIVATION and does not connect.
    announces=None,
)


_ONE = select(OWNERSHIP_TOKENS).where(its(OWNERSHIP_TOKENS, "account_id", "region", "token_sha256"))
_EXPIRED = (
    select(OWNERSHIP_TOKENS)
    .where(OWNERSHIP_TOKENS.c.expires_at <= bindparam("its_now"))
    .order_by(OWNERSHIP_TOKENS.c.expires_at)
    .limit(bindparam("its_limit"))
)
_OF_CERTIFICATE = (
    select(OWNERSHIP_TOKENS.c.certificate_id)
    .where(its(OWNERSHIP_TOKENS, "account_id", "region", "certificate_id"))
    .limit(1)
)
_ADD = sql_insert(OWNERSHIP_TOKENS).inline()
_REMOVE = removing(OWNERSHIP_TOKENS, "account_id", "region", "token_sha256")


def _make(row: Row[Any]) -> OwnershipToken:
    return OwnershipToken(
        realm=realm_of(row),
        token_sha256=row.token_sha256,
        certificate_id=row.certificate_id,
        claim_certificate_id=row.claim_certificate_id,
        expires_at=row.expires_at,
    )


class OwnershipTokenRows(Rows):
    """Ownership tokens of all realms, by their digests."""

    __slots__ = ()

    def get(self, realm: Realm, token_sha256: str) -> OwnershipToken | None:
        """Return the token, or None."""
        row = self._tx.execute(_ONE, realm_parameters(realm, token_sha256=token_sha256)).first()
        return None if row is None else _make(row)

    def exists_for(self, realm: Realm, certificate_id: str) -> bool:
        """Return whether there is a token of this certificate."""
        parameters = realm_parameters(realm, certificate_id=certificate_id)
        return self._tx.execute(_OF_CERTIFICATE, parameters).first() is not None

    def add(self, token: OwnershipToken) -> None:
        """Add it."""
        values = {
            **realm_values(token.realm),
            "token_sha256": token.token_sha256,
            "certificate_id": token.certificate_id,
            "claim_certificate_id": token.claim_certificate_id,
            "expires_at": token.expires_at,
        }
        self._tx.execute(_ADD, values)

    def remove(self, realm: Realm, token_sha256: str) -> None:
        """Remove it, if it exists."""
        self._tx.execute(_REMOVE, realm_parameters(realm, token_sha256=token_sha256))

    def expired(self, now: datetime, limit: int) -> Sequence[OwnershipToken]:
        """Return at most ``limit`` expired tokens, in the order of their expiry."""
        return [_make(row) for row in self._tx.execute(_EXPIRED, {"its_now": now, "its_limit": limit})]
