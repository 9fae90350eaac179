"""Tokens of certificates that wait for their device (``ports.OwnershipTokenRows``)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select
from sqlalchemy import insert as sql_insert

from sekisho.realm import Realm
from sekisho.registry.model import OwnershipToken
from sekisho.store import schema
from sekisho.store.statements import its, realm_parameters, removing

_TABLE = schema.ownership_tokens
_ONE = select(_TABLE).where(its(_TABLE, "account_id", "region", "token_sha256"))
_EXPIRED = (
    select(_TABLE)
    .where(_TABLE.c.expires_at <= bindparam("its_now"))
    .order_by(_TABLE.c.expires_at)
    .limit(bindparam("its_limit"))
)
_OF_CERTIFICATE = select(_TABLE.c.certificate_id).where(its(_TABLE, "account_id", "region", "certificate_id")).limit(1)
_ADD = sql_insert(_TABLE).inline()
_REMOVE = removing(_TABLE, "account_id", "region", "token_sha256")


def _make(row: Row[Any]) -> OwnershipToken:
    return OwnershipToken(
        realm=Realm(row.account_id, row.region),
        token_sha256=row.token_sha256,
        certificate_id=row.certificate_id,
        claim_certificate_id=row.claim_certificate_id,
        expires_at=row.expires_at,
    )


class SqlOwnershipTokens:
    """Tokens by their digest."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, realm: Realm, token_sha256: str) -> OwnershipToken | None:
        """The token of this digest, or None."""
        row = self._connection.execute(_ONE, realm_parameters(realm, token_sha256=token_sha256)).first()
        return None if row is None else _make(row)

    def exists_for(self, realm: Realm, certificate_id: str) -> bool:
        """Whether a token stands for this certificate."""
        parameters = realm_parameters(realm, certificate_id=certificate_id)
        return self._connection.execute(_OF_CERTIFICATE, parameters).first() is not None

    def add(self, token: OwnershipToken) -> None:
        """Keep it."""
        values = {
            "account_id": token.realm.account_id,
            "region": token.realm.region,
            "token_sha256": token.token_sha256,
            "certificate_id": token.certificate_id,
            "claim_certificate_id": token.claim_certificate_id,
            "expires_at": token.expires_at,
        }
        self._connection.execute(_ADD, values)

    def remove(self, realm: Realm, token_sha256: str) -> None:
        """Forget it; no error where there is none."""
        self._connection.execute(_REMOVE, realm_parameters(realm, token_sha256=token_sha256))

    def expired(self, now: datetime, limit: int) -> Sequence[OwnershipToken]:
        """At most ``limit`` whose time is over, the longest first."""
        return [_make(row) for row in self._connection.execute(_EXPIRED, {"its_now": now, "its_limit": limit})]
