"""Device certificates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Index,
    Integer,
    LargeBinary,
    Row,
    TextClause,
    UniqueConstraint,
    bindparam,
    select,
    text,
)

from sekisho.certificates.model import (
    Certificate,
    CertificateMode,
    CertificateStatus,
    FingerprintMatches,
    Fingerprints,
    TransferData,
)
from sekisho.change import Change, ChangeKind
from sekisho.pages import Slice, Window
from sekisho.realm import Realm
from sekisho.refusal import RefusalReason
from sekisho.store.rows import RealmRows, RealmTable, realm_of, realm_values
from sekisho.store.statements import (
    Query,
    insert,
    its,
    reading,
    realm_parameters,
)
from sekisho.store.tables import Instant, String, Write, listed, partial_index, realm_columns
from sekisho.store.transaction import Transaction

LOST_BY_STATUS: Final = {
    CertificateStatus.INACTIVE: RefusalReason.DEVICE_CERTIFICATE_INACTIVE,
    CertificateStatus.REGISTER_INACTIVE: RefusalReason.DEVICE_CERTIFICATE_INACTIVE,
    CertificateStatus.REVOKED: RefusalReason.DEVICE_CERTIFICATE_REVOKED,
    CertificateStatus.PENDING_TRANSFER: RefusalReason.DEVICE_CERTIFICATE_PENDING_TRANSFER,
    CertificateStatus.PENDING_ACTIVATION: RefusalReason.DEVICE_CERTIFICATE_PENDING_ACTIVATION,
}
"""Why a certificate of this status may not connect. Only ACTIVE may."""


def _announce(_tx: Transaction, write: Write) -> Iterable[Change]:
    realm, certificate_id = write.realm, write.values["certificate_id"]
    if write.kind == "delete":
        # Deleted, or accepted by another account.
        lost: RefusalReason | None = RefusalReason.DEVICE_CERTIFICATE_NOT_REGISTERED
    else:
        status = CertificateStatus(write.values["status"])
        if write.kind == "insert" and status is CertificateStatus.PENDING_ACTIVATION:
            # It is new, so the data plane has cached nothing about it.
            return ()
        lost = LOST_BY_STATUS.get(status)
    return (Change(realm, ChangeKind.CERTIFICATE, certificate_id, lost),)


CERTIFICATES = listed(
    "certificates",
    *realm_columns(),
    Column("certificate_id", String, nullable=False),
    Column("certificate_pem", String, nullable=False),
    # No foreign key: a CA may be deleted while certificates that it signed remain.
    Column("ca_certificate_id", String),
    Column("status", String, nullable=False),
    Column("mode", String, nullable=False),
    Column("not_before", Instant, nullable=False),
    Column("not_after", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("modified_at", Instant, nullable=False),
    Column("customer_version", Integer, nullable=False),
    Column("generation_id", String, nullable=False),
    Column("previous_owned_by", String),
    Column("transfer_message", String),
    Column("transfer_reject_reason", String),
    Column("transferred_at", Instant),
    Column("transfer_accepted_at", Instant),
    Column("transfer_rejected_at", Instant),
    Column("transferred_to", String),
    # Fingerprints; NULL where the certificate could not be parsed when a migration added them.
    Column("signed_sha256", LargeBinary),
    Column("issuer_serial_sha256", LargeBinary),
    Column("public_key_sha256", LargeBinary),
    # In this order it also serves ``everywhere``.
    UniqueConstraint("certificate_id", "account_id", "region"),
    Index(None, "account_id", "region", "seq"),
    # For ``matching``. A certificate is in few realms.
    Index(None, "signed_sha256", "account_id", "region"),
    announces=_announce,
)

# For ``matching``. A literal: a condition with a parameter does not use a partial index.
REVOKED: Final = text("status = 'REVOKED'")

for _column in (CERTIFICATES.c.issuer_serial_sha256, CERTIFICATES.c.public_key_sha256):
    partial_index(
        f"ix_certificates_revoked_{_column.name}",
        CERTIFICATES.c.account_id,
        CERTIFICATES.c.region,
        _column,
        where=REVOKED,
    )

partial_index(
    None,
    CERTIFICATES.c.account_id,
    CERTIFICATES.c.region,
    CERTIFICATES.c.ca_certificate_id,
    CERTIFICATES.c.seq,
    where=CERTIFICATES.c.ca_certificate_id.is_not(None),
)

# A literal, as above.
OUTGOING: Final = text("status = 'PENDING_TRANSFER' AND transferred_to IS NOT NULL")

partial_index(
    "ix_certificates_outgoing",
    CERTIFICATES.c.account_id,
    CERTIFICATES.c.region,
    CERTIFICATES.c.seq,
    where=OUTGOING,
)


def certificate_of(row: Row[Any]) -> Certificate:
    """Make a certificate of a row of ``certificates``."""
    transfer = TransferData(
        message=row.transfer_message,
        reject_reason=row.transfer_reject_reason,
        transferred_at=row.transferred_at,
        accepted_at=row.transfer_accepted_at,
        rejected_at=row.transfer_rejected_at,
        transferred_to=row.transferred_to,
    )
    return Certificate(
        realm=realm_of(row),
        certificate_id=row.certificate_id,
        certificate_pem=row.certificate_pem,
        ca_certificate_id=row.ca_certificate_id,
        status=CertificateStatus(row.status),
        mode=CertificateMode(row.mode),
        not_before=row.not_before,
        not_after=row.not_after,
        created_at=row.created_at,
        modified_at=row.modified_at,
        customer_version=row.customer_version,
        generation_id=row.generation_id,
        previous_owned_by=row.previous_owned_by,
        transfer=None if transfer == _NO_TRANSFER else transfer,
    )


_NO_TRANSFER = TransferData()


def _values(certificate: Certificate) -> dict[str, Any]:
    transfer = certificate.transfer or _NO_TRANSFER
    return {
        **realm_values(certificate.realm),
        "certificate_id": certificate.certificate_id,
        "certificate_pem": certificate.certificate_pem,
        "ca_certificate_id": certificate.ca_certificate_id,
        "status": certificate.status.value,
        "mode": certificate.mode.value,
        "not_before": certificate.not_before,
        "not_after": certificate.not_after,
        "created_at": certificate.created_at,
        "modified_at": certificate.modified_at,
        "customer_version": certificate.customer_version,
        "generation_id": certificate.generation_id,
        "previous_owned_by": certificate.previous_owned_by,
        "transfer_message": transfer.message,
        "transfer_reject_reason": transfer.reject_reason,
        "transferred_at": transfer.transferred_at,
        "transfer_accepted_at": transfer.accepted_at,
        "transfer_rejected_at": transfer.rejected_at,
        "transferred_to": transfer.transferred_to,
    }


_OF_CA = reading(CERTIFICATES, certificate_of, "account_id", "region", "ca_certificate_id")
_OUTGOING = Query(
    select(CERTIFICATES).where(its(CERTIFICATES, "account_id", "region") & OUTGOING), CERTIFICATES.c.seq, certificate_of
)
_EVERYWHERE = reading(CERTIFICATES, certificate_of, "certificate_id")


def _one(column: str, *conditions: TextClause) -> ColumnElement[str | None]:
    """Return a scalar subquery: the id of a certificate of the realm with the fingerprint ``its_<column>``."""
    return (
        select(CERTIFICATES.c.certificate_id)
        .where(
            CERTIFICATES.c.account_id == bindparam("its_account_id"),
            CERTIFICATES.c.region == bindparam("its_region"),
            CERTIFICATES.c[column] == bindparam(f"its_{column}"),
            *conditions,
        )
        .limit(1)
        .scalar_subquery()
        .label(column)
    )


_MATCHING = select(
    _one("signed_sha256"),
    _one("issuer_serial_sha256", REVOKED),
    _one("public_key_sha256", REVOKED),
)


class CertificateRows(RealmRows[Certificate]):
    """Device certificates of all realms. Empty transfer data are read as None."""

    __slots__ = ()

    _table = RealmTable(CERTIFICATES, "certificate_id", certificate_of, _values)

    def add(self, certificate: Certificate, fingerprints: Fingerprints | None = None) -> None:
        """Add it. Raises AlreadyThere where the realm has it."""
        values = _values(certificate)
        if fingerprints is not None:
            values["signed_sha256"] = fingerprints.signed
            values["issuer_serial_sha256"] = fingerprints.issuer_serial
            values["public_key_sha256"] = fingerprints.public_key
        insert(self._tx, CERTIFICATES, values, certificate.certificate_id)

    def matching(self, realm: Realm, fingerprints: Fingerprints) -> FingerprintMatches:
        """Return the certificates of a realm that have one of these fingerprints."""
        parameters = realm_parameters(
            realm,
            signed_sha256=fingerprints.signed,
            issuer_serial_sha256=fingerprints.issuer_serial,
            public_key_sha256=fingerprints.public_key,
        )
        return FingerprintMatches(*self._tx.execute(_MATCHING, parameters).one())

    def page_by_ca(self, realm: Realm, ca_certificate_id: str, window: Window) -> Slice[Certificate]:
        """Return a page of the realm's certificates that a CA signed."""
        return _OF_CA.page(self._tx, window, realm_parameters(realm, ca_certificate_id=ca_certificate_id))

    def page_outgoing(self, realm: Realm, window: Window) -> Slice[Certificate]:
        """Return a page of the realm's certificates that are offered to another account."""
        return _OUTGOING.page(self._tx, window, realm_parameters(realm))

    def everywhere(self, certificate_id: str) -> Sequence[Certificate]:
        """Return its registrations in every realm, oldest first."""
        return _EVERYWHERE.all(self._tx, {"its_certificate_id": certificate_id})
