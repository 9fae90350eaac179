"""Certificate providers: the functions that sign certificate signing requests of an account."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sekisho.realm import Realm


class CertificateProviderOperation(StrEnum):
    """What a certificate provider signs for."""

    CREATE_CERTIFICATE_FROM_CSR = "CreateCertificateFromCsr"


@dataclass(frozen=True, slots=True)
class CertificateProvider:
    """A function that signs certificate signing requests in place of the service."""

    realm: Realm
    name: str
    function_arn: str
    operations: tuple[CertificateProviderOperation, ...]
    client_token: str | None
    """By which a request to make it is known again."""
    created_at: datetime
    modified_at: datetime
