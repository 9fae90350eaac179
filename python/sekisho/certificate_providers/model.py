"""Certificate providers: functions that sign the certificate signing requests of an account."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sekisho.realm import Realm


class CertificateProviderOperation(StrEnum):
    """An operation for which a certificate provider signs."""

    CREATE_CERTIFICATE_FROM_CSR = "CreateCertificateFromCsr"


@dataclass(frozen=True, slots=True)
class CertificateProvider:
    """A function that signs certificate signing requests instead of the service."""

    realm: Realm
    name: str
    function_arn: str
    operations: tuple[CertificateProviderOperation, ...]
    client_token: str | None
    """The token of the request that created it, by which a retry is recognised."""
    created_at: datetime
    modified_at: datetime
