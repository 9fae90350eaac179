"""Provisioning claims."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ForeignKeyConstraint, Index, Row, UniqueConstraint, bindparam, delete

from sekisho.change import Change, ChangeKind
from sekisho.provisioning.claims.model import ProvisioningClaim
from sekisho.realm import Realm
from sekisho.store.rows import Rows, realm_of, realm_values
from sekisho.store.statements import insert, reading, realm_parameters
from sekisho.store.tables import Instant, String, Write, listed, realm_columns
from sekisho.store.transaction import Transaction


def _announce(_tx: Transaction, write: Write) -> Iterable[Change]:
    # A new claim has no connections, and the data plane closes a connection when its certificate expires.
    if write.kind == "insert" or "expired_before" in write.values:
        return ()
    return (Change(write.realm, ChangeKind.CERTIFICATE, write.values["certificate_id"]),)


PROVISIONING_CLAIMS = listed(
    "provisioning_claims",
    *realm_columns(),
    Column("certificate_id", String, nullable=False),
    Column("certificate_pem", String, nullable=False),
    Column("template_name", String, nullable=False),
    Column("not_before", Instant, nullable=False),
    Column("not_after", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
    # Without the realm, for the look-up of identities.
    UniqueConstraint("certificate_id"),
    ForeignKeyConstraint(
        ["account_id", "region", "template_name"],
        ["provisioning_templates.account_id", "provisioning_templates.region", "provisioning_templates.name"],
        ondelete="CASCADE",
    ),
    Index(None, "account_id", "region", "template_name", "seq"),
    Index(None, "not_after"),
    announces=_announce,
)


def claim_of(row: Row[Any]) -> ProvisioningClaim:
    """Make a claim of a row of ``provisioning_claims``."""
    return ProvisioningClaim(
        realm=realm_of(row),
        certificate_id=row.certificate_id,
        certificate_pem=row.certificate_pem,
        template_name=row.template_name,
        not_before=row.not_before,
        not_after=row.not_after,
        created_at=row.created_at,
    )


_BY_ID = reading(PROVISIONING_CLAIMS, claim_of, "certificate_id")
_OF_TEMPLATE = reading(PROVISIONING_CLAIMS, claim_of, "account_id", "region", "template_name")
_REMOVE_EXPIRED = delete(PROVISIONING_CLAIMS).where(
    PROVISIONING_CLAIMS.c.not_after < bindparam("expired_before", type_=PROVISIONING_CLAIMS.c.not_after.type)
)


class ProvisioningClaimRows(Rows):
    """Provisioning claims of all realms."""

    __slots__ = ()

    def get(self, certificate_id: str) -> ProvisioningClaim | None:
        """Return the claim, or None."""
        return _BY_ID.one(self._tx, {"its_certificate_id": certificate_id})

    def add(self, claim: ProvisioningClaim) -> None:
        """Add it. Raises AlreadyThere where its id is taken. The template must be in the store."""
        values = {
            **realm_values(claim.realm),
            "certificate_id": claim.certificate_id,
            "certificate_pem": claim.certificate_pem,
            "template_name": claim.template_name,
            "not_before": claim.not_before,
            "not_after": claim.not_after,
            "created_at": claim.created_at,
        }
        insert(self._tx, PROVISIONING_CLAIMS, values, claim.certificate_id)

    def of_template(self, realm: Realm, template_name: str) -> Sequence[ProvisioningClaim]:
        """Return the claims of a template, oldest first."""
        return _OF_TEMPLATE.all(self._tx, realm_parameters(realm, template_name=template_name))

    def remove_expired(self, now: datetime) -> int:
        """Remove the claims whose validity ended before ``now``; return their number."""
        return self._tx.execute(_REMOVE_EXPIRED, {"expired_before": now}).rowcount
