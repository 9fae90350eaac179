"""Device certificates, with the names of AWS IoT.

Times are timezone-aware UTC datetimes. A ``certificate_id`` is the lower-case hex SHA-256 of the certificate's DER
(Developer Guide, x509-client-certs).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sekisho.realm import Realm


class CertificateStatus(StrEnum):
    """The status of a device certificate. Only an ACTIVE one may connect."""

    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"
    REVOKED = "REVOKED"
    PENDING_TRANSFER = "PENDING_TRANSFER"
    REGISTER_INACTIVE = "REGISTER_INACTIVE"
    PENDING_ACTIVATION = "PENDING_ACTIVATION"


class CertificateMode(StrEnum):
    """DEFAULT: one account of a region has it, and SNI is optional. SNI_ONLY: several may have it; SNI is required."""

    DEFAULT = "DEFAULT"
    SNI_ONLY = "SNI_ONLY"


@dataclass(frozen=True, slots=True)
class TransferData:
    """The last transfer of a certificate to another account."""

    message: str | None = None
    reject_reason: str | None = None
    transferred_at: datetime | None = None
    accepted_at: datetime | None = None
    rejected_at: datetime | None = None
    transferred_to: str | None = None
    """In the row of the source account, the target account."""


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """Halves of SHA-256 by which a certificate is recognised in another encoding, or after it was issued again."""

    signed: bytes
    """Of the signed bytes (TBSCertificate). Without the CA's key only the rest of a certificate can be changed."""
    issuer_serial: bytes
    """Of the issuer and the serial number, which is unique for a CA."""
    public_key: bytes
    """Of the SubjectPublicKeyInfo."""


@dataclass(frozen=True, slots=True)
class FingerprintMatches:
    """Ids of a realm's certificates with the same fingerprints as a certificate that is not registered there."""

    same_signed: str | None = None
    """One with the same signed bytes, of any status."""
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
    """The registered CA that signed it; None where it was registered without a CA or issued by Sekisho."""
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
        """Whether this account offers it to another account."""
        return (
            self.status is CertificateStatus.PENDING_TRANSFER
            and self.transfer is not None
            and self.transfer.transferred_to is not None
        )

    @property
    def is_incoming(self) -> bool:
        """Whether another account offers it to this account."""
        return self.status is CertificateStatus.PENDING_TRANSFER and not self.is_outgoing

    @property
    def owned_by(self) -> str:
        """The account that owns it. The owner changes when a transfer is accepted."""
        if self.is_incoming and self.previous_owned_by is not None:
            return self.previous_owned_by
        return self.realm.account_id
