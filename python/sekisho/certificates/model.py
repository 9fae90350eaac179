"""Device certificates, named and shaped as AWS IoT does.

Times are timezone-aware UTC datetimes. A ``certificate_id`` is the lower-case hex SHA-256 of the certificate's DER (AWS
IoT Developer Guide, x509-client-certs)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sekisho.realm import Realm


class CertificateStatus(StrEnum):
    """Status of a device certificate. Only ACTIVE connects."""

    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"
    REVOKED = "REVOKED"
    PENDING_TRANSFER = "PENDING_TRANSFER"
    REGISTER_INACTIVE = "REGISTER_INACTIVE"
    PENDING_ACTIVATION = "PENDING_ACTIVATION"


class CertificateMode(StrEnum):
    """DEFAULT: one account per region, SNI not needed. SNI_ONLY: many accounts, SNI tells which."""

    DEFAULT = "DEFAULT"
    SNI_ONLY = "SNI_ONLY"


@dataclass(frozen=True, slots=True)
class TransferData:
    """A certificate's way from one account to another."""

    message: str | None = None
    reject_reason: str | None = None
    transferred_at: datetime | None = None
    accepted_at: datetime | None = None
    rejected_at: datetime | None = None
    transferred_to: str | None = None
    """On the source's side, the account it was last offered to."""


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """By what a certificate is recognised in another encoding, or after it was issued again: halves of SHA-256."""

    signed: bytes
    """Of what is signed. Without the CA's key only the rest of a certificate can be changed, and with it the id."""
    issuer_serial: bytes
    """Of issuer and serial number, by which a CA tells its certificates apart."""
    public_key: bytes
    """Of the SubjectPublicKeyInfo."""


@dataclass(frozen=True, slots=True)
class Kin:
    """Certificates of a realm that have something in common with one that is not registered there: their ids."""

    same_signed: str | None = None
    """One in which the same is signed, whatever its status."""
    revoked_same_number: str | None = None
    """A REVOKED one of the same issuer and serial number."""
    revoked_same_key: str | None = None
    """A REVOKED one of the same public key."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A device certificate registered in a realm."""

    realm: Realm
    certificate_id: str
    certificate_pem: str
    ca_certificate_id: str | None
    """The registered CA that signed it; None where it was registered without one or issued by Sekisho."""
    status: CertificateStatus
    mode: CertificateMode
    not_before: datetime
    not_after: datetime
    created_at: datetime
    modified_at: datetime
    customer_version: int
    generation_id: str
    previous_owned_by: str | None = None
    """The account that transferred it to this one; while it is incoming, the account that offers it."""
    transfer: TransferData | None = None

    @property
    def is_outgoing(self) -> bool:
        """Offered to another account, and still this one's."""
        return (
            self.status is CertificateStatus.PENDING_TRANSFER
            and self.transfer is not None
            and self.transfer.transferred_to is not None
        )

    @property
    def is_incoming(self) -> bool:
        """Offered to this account, and still another's."""
        return self.status is CertificateStatus.PENDING_TRANSFER and not self.is_outgoing

    @property
    def owned_by(self) -> str:
        """The account that owns it: ownership passes when a transfer is accepted."""
        if self.is_incoming and self.previous_owned_by is not None:
            return self.previous_owned_by
        return self.realm.account_id
