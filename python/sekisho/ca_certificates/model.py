"""CA certificates and how devices of a CA are registered when they first connect."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sekisho.certificates.model import CertificateMode
from sekisho.realm import Realm


class CACertificateStatus(StrEnum):
    """An INACTIVE CA registers nothing more; what it signed before goes on."""

    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"


class AutoRegistrationStatus(StrEnum):
    """Whether an unknown certificate of this CA is registered when it first connects."""

    ENABLE = "ENABLE"
    DISABLE = "DISABLE"


@dataclass(frozen=True, slots=True)
class RegistrationConfig:
    """Just-in-time provisioning of a CA: a template by name, or a body with the role it acts in."""

    template_body: str | None = None
    role_arn: str | None = None
    template_name: str | None = None


@dataclass(frozen=True, slots=True)
class CACertificate:
    """A CA certificate registered in a realm. Told apart from its namesakes by key, never by name."""

    realm: Realm
    certificate_id: str
    certificate_pem: str
    subject: bytes
    """The subject in the form to be compared (``pki.names.canonical``): at most ten CAs of one subject in a realm."""
    public_key_id: str
    """Lower-case hex SHA-256 of the DER SubjectPublicKeyInfo: which key signs, whatever the name."""
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
