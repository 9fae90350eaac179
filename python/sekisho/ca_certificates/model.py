"""CA certificates, and how they register device certificates automatically."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sekisho.certificates.model import CertificateMode
from sekisho.realm import Realm


class CACertificateStatus(StrEnum):
    """The status of a CA certificate. An INACTIVE one registers nothing; certificates that it signed may connect."""

    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"


class AutoRegistrationStatus(StrEnum):
    """Whether a CA certificate registers unregistered certificates when they first connect."""

    ENABLE = "ENABLE"
    DISABLE = "DISABLE"


@dataclass(frozen=True, slots=True)
class RegistrationConfig:
    """The just-in-time provisioning of a CA certificate: a template's name, or a template's body and its role."""

    template_body: str | None = None
    role_arn: str | None = None
    template_name: str | None = None


@dataclass(frozen=True, slots=True)
class CACertificate:
    """A CA certificate that is registered in a realm."""

    realm: Realm
    certificate_id: str
    certificate_pem: str
    subject: bytes
    """The subject in canonical form (``pki.names.canonical``). A realm has at most ten CAs of one subject."""
    public_key_id: str
    """Lower-case hex SHA-256 of the DER SubjectPublicKeyInfo."""
    status: CACertificateStatus
    mode: CertificateMode
    auto_registration_status: AutoRegistrationStatus
    registration_config: RegistrationConfig | None
    not_before: datetime
    not_after: datetime
    created_at: datetime
    modified_at: datetime
    customer_version: int
    generation_id: str
