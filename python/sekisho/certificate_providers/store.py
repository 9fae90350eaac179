"""Certificate providers."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Column, Index, Row, UniqueConstraint

from sekisho.certificate_providers.model import CertificateProvider, CertificateProviderOperation
from sekisho.store.rows import RealmRows, RealmTable, realm_of, realm_values
from sekisho.store.tables import Instant, String, listed, realm_columns

CERTIFICATE_PROVIDERS = listed(
    "certificate_providers",
    *realm_columns(),
    Column("name", String, nullable=False),
    Column("function_arn", String, nullable=False),
    Column("operations", JSON, nullable=False),
    Column("client_token", String),
    Column("created_at", Instant, nullable=False),
    Column("modified_at", Instant, nullable=False),
    UniqueConstraint("account_id", "region", "name"),
    Index(None, "account_id", "region", "seq"),
    # A provider signs new certificates only.
    announces=None,
)


def _make(row: Row[Any]) -> CertificateProvider:
    return CertificateProvider(
        realm=realm_of(row),
        name=row.name,
        function_arn=row.function_arn,
        operations=tuple(CertificateProviderOperation(each) for each in row.operations),
        client_token=row.client_token,
        created_at=row.created_at,
        modified_at=row.modified_at,
    )


def _values(provider: CertificateProvider) -> dict[str, Any]:
    return {
        **realm_values(provider.realm),
        "name": provider.name,
        "function_arn": provider.function_arn,
        "operations": [each.value for each in provider.operations],
        "client_token": provider.client_token,
        "created_at": provider.created_at,
        "modified_at": provider.modified_at,
    }


class CertificateProviderRows(RealmRows[CertificateProvider]):
    """Certificate providers of all realms."""

    __slots__ = ()

    _table = RealmTable(CERTIFICATE_PROVIDERS, "name", _make, _values)

    def add(self, provider: CertificateProvider) -> None:
        """Add it. Raises AlreadyThere where the realm has one of this name."""
        self._insert(provider)
