"""Certificate providers."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Column, Index, Row, UniqueConstraint

from sekisho.certificate_providers.model import CertificateProvider, CertificateProviderOperation
from sekisho.pages import Slice, Window
from sekisho.realm import Realm
from sekisho.store.statements import insert, reading, realm_parameters, removing, replace, replacing
from sekisho.store.tables import Instant, String, listed, realm_columns
from sekisho.store.transaction import Transaction

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
    # It signs for certificates to come.
    announces=None,
)


def _make(row: Row[Any]) -> CertificateProvider:
    return CertificateProvider(
        realm=Realm(row.account_id, row.region),
        name=row.name,
        function_arn=row.function_arn,
        operations=tuple(CertificateProviderOperation(each) for each in row.operations),
        client_token=row.client_token,
        created_at=row.created_at,
        modified_at=row.modified_at,
    )


def _values(provider: CertificateProvider) -> dict[str, Any]:
    return {
        "account_id": provider.realm.account_id,
        "region": provider.realm.region,
        "name": provider.name,
        "function_arn": provider.function_arn,
        "operations": [each.value for each in provider.operations],
        "client_token": provider.client_token,
        "created_at": provider.created_at,
        "modified_at": provider.modified_at,
    }


_KEY = ("account_id", "region", "name")
_BY_KEY = reading(CERTIFICATE_PROVIDERS, _make, *_KEY)
_OF_REALM = reading(CERTIFICATE_PROVIDERS, _make, "account_id", "region")
_REPLACE = replacing(CERTIFICATE_PROVIDERS, *_KEY)
_REMOVE = removing(CERTIFICATE_PROVIDERS, *_KEY)


class CertificateProviderRows:
    """Certificate providers of all realms."""

    __slots__ = ("_tx",)

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    def get(self, realm: Realm, name: str) -> CertificateProvider | None:
        """The provider, or None."""
        return _BY_KEY.one(self._tx, realm_parameters(realm, name=name))

    def add(self, provider: CertificateProvider) -> None:
        """Raises AlreadyThere where the realm has one of this name."""
        insert(self._tx, CERTIFICATE_PROVIDERS, _values(provider), provider.name)

    def replace(self, provider: CertificateProvider) -> None:
        """Overwrite it. Raises KeyError where the realm has none of this name."""
        parameters = _values(provider) | realm_parameters(provider.realm, name=provider.name)
        replace(self._tx, _REPLACE, parameters, provider.name)

    def remove(self, realm: Realm, name: str) -> None:
        """Forget it."""
        self._tx.execute(_REMOVE, realm_parameters(realm, name=name))

    def page(self, realm: Realm, window: Window) -> Slice[CertificateProvider]:
        """Part of the realm's list."""
        return _OF_REALM.page(self._tx, window, realm_parameters(realm))
