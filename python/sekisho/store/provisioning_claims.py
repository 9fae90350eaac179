"""Provisioning claims (``ports.ProvisioningClaimRows``)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete

from sekisho.realm import Realm
from sekisho.registry.model import ProvisioningClaim
from sekisho.store import schema
from sekisho.store.statements import insert, reading, realm_parameters

_TABLE = schema.provisioning_claims


def claim_of(row: Row[Any]) -> ProvisioningClaim:
    """The claim in a row of ``provisioning_claims``."""
    return ProvisioningClaim(
        realm=Realm(row.account_id, row.region),
        certificate_id=row.certificate_id,
        certificate_pem=row.certificate_pem,
        template_name=row.template_name,
        not_before=row.not_before,
        not_after=row.not_after,
        created_at=row.created_at,
    )


_BY_ID = reading(_TABLE, claim_of, "certificate_id")
_OF_TEMPLATE = reading(_TABLE, claim_of, "account_id", "region", "template_name")
_REMOVE_EXPIRED = delete(_TABLE).where(_TABLE.c.not_after < bindparam("now", type_=_TABLE.c.not_after.type))


class SqlProvisioningClaims:
    """Provisioning claims of all realms."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, certificate_id: str) -> ProvisioningClaim | None:
        """The claim, or None."""
        return _BY_ID.one(self._connection, {"its_certificate_id": certificate_id})

    def add(self, claim: ProvisioningClaim) -> None:
        """Raises AlreadyThere where its id is taken. The template must be in the store."""
        values = {
            "account_id": claim.realm.account_id,
            "region": claim.realm.region,
            "certificate_id": claim.certificate_id,
            "certificate_pem": claim.certificate_pem,
            "template_name": claim.template_name,
            "not_before": claim.not_before,
            "not_after": claim.not_after,
            "created_at": claim.created_at,
        }
        insert(self._connection, _TABLE, values, claim.certificate_id)

    def of_template(self, realm: Realm, template_name: str) -> Sequence[ProvisioningClaim]:
        """Every claim to provision through a template, oldest first."""
        return _OF_TEMPLATE.all(self._connection, realm_parameters(realm, template_name=template_name))

    def remove_expired(self, now: datetime) -> int:
        """Forget those whose validity has ended before ``now``; how many there were."""
        return self._connection.execute(_REMOVE_EXPIRED, {"now": now}).rowcount
