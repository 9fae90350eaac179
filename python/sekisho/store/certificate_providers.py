"""Certificate providers (``ports.CertificateProviderRows``)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row

from sekisho.realm import Realm
from sekisho.registry.model import CertificateProvider, CertificateProviderOperation
from sekisho.registry.ports import Slice, Window
from sekisho.store import schema
from sekisho.store.statements import insert, reading, realm_parameters, removing, replace, replacing

_TABLE = schema.certificate_providers


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
_BY_KEY = reading(_TABLE, _make, *_KEY)
_OF_REALM = reading(_TABLE, _make, "account_id", "region")
_REPLACE = replacing(_TABLE, *_KEY)
_REMOVE = removing(_TABLE, *_KEY)


class SqlCertificateProviders:
    """Certificate providers of all realms."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, realm: Realm, name: str) -> CertificateProvider | None:
        """The provider, or None."""
        return _BY_KEY.one(self._connection, realm_parameters(realm, name=name))

    def add(self, provider: CertificateProvider) -> None:
        """Raises AlreadyThere where the realm has one of this name."""
        insert(self._connection, _TABLE, _values(provider), provider.name)

    def replace(self, provider: CertificateProvider) -> None:
        """Overwrite it. Raises KeyError where the realm has none of this name."""
        parameters = _values(provider) | realm_parameters(provider.realm, name=provider.name)
        replace(self._connection, _REPLACE, parameters, provider.name)

    def remove(self, realm: Realm, name: str) -> None:
        """Forget it."""
        self._connection.execute(_REMOVE, realm_parameters(realm, name=name))

    def page(self, realm: Realm, window: Window) -> Slice[CertificateProvider]:
        """Part of the realm's list."""
        return _OF_REALM.page(self._connection, window, realm_parameters(realm))
