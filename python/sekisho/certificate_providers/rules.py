"""Certificate providers: functions that sign certificate signing requests instead of the service.

A realm has at most one. ``Certificates.create_from_csr`` calls it.

Source: Developer Guide, provisioning-cert-provider; the API Reference of each operation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from sekisho import arn
from sekisho.certificate_providers.model import CertificateProvider, CertificateProviderOperation
from sekisho.certificate_providers.store import CertificateProviderRows
from sekisho.clock import Clock
from sekisho.errors import (
    InvalidRequestException,
    LimitExceededException,
    ResourceAlreadyExistsException,
    ResourceNotFoundException,
)
from sekisho.pages import Slice, Window
from sekisho.realm import Realm
from sekisho.store.store import Store
from sekisho.store.transaction import Transaction
from sekisho.tags.store import TagRows

MAX_PROVIDERS: Final = 1
"""Certificate providers of an account and region."""


class CertificateProviders:
    """Creates, lists, changes and deletes certificate providers."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def create(
        self,
        realm: Realm,
        name: str,
        function_arn: str,
        operations: Sequence[CertificateProviderOperation],
        *,
        client_token: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> CertificateProvider:
        """Create a provider. A retry, with the same members and token, returns the one that the first request created.

        Raises:
            InvalidRequestException: ``function_arn`` is not the ARN of a function, or there is not one operation.
            ResourceAlreadyExistsException: The realm has a provider of this name.
            LimitExceededException: The realm has another provider.
        """
        checked = _checked_operations(operations)
        _check_function(function_arn)
        now = self._clock()
        provider = CertificateProvider(
            realm=realm,
            name=name,
            function_arn=function_arn,
            operations=checked,
            client_token=client_token,
            created_at=now,
            modified_at=now,
        )
        with self._store.write() as tx:
            present = CertificateProviderRows(tx).get(realm, name)
            if present is not None:
                if client_token is not None and _is_retry(present, provider):
                    return present
                raise ResourceAlreadyExistsException(
                    f"Certificate provider {name} exists already.",
                    resource_id=name,
                    resource_arn=arn.certificate_provider(realm, name),
                )
            others = CertificateProviderRows(tx).page(realm, Window(limit=MAX_PROVIDERS)).items
            if len(others) >= MAX_PROVIDERS:
                raise LimitExceededException(
                    f"Account {realm.account_id} has the certificate provider {others[0].name} in {realm.region}, and "
                    "can have only one. Update it, or delete it first."
                )
            CertificateProviderRows(tx).add(provider)
            if tags:
                TagRows(tx).put(realm, arn.certificate_provider(realm, name), tags)
        return provider

    def describe(self, realm: Realm, name: str) -> CertificateProvider:
        """Return a provider. Raises ResourceNotFoundException."""
        with self._store.read() as tx:
            return _existing(tx, realm, name)

    def list(self, realm: Realm, window: Window) -> Slice[CertificateProvider]:
        """Return the providers of a realm."""
        with self._store.read() as tx:
            return CertificateProviderRows(tx).page(realm, window)

    def update(
        self,
        realm: Realm,
        name: str,
        *,
        function_arn: str | None = None,
        operations: Sequence[CertificateProviderOperation] | None = None,
    ) -> CertificateProvider:
        """Change the members that are given.

        Raises:
            ResourceNotFoundException: No such provider.
            InvalidRequestException: ``function_arn`` is not the ARN of a function, or there is not one operation.
        """
        if function_arn is not None:
            _check_function(function_arn)
        checked = None if operations is None else _checked_operations(operations)
        with self._store.write() as tx:
            present = _existing(tx, realm, name)
            changed = replace(
                present, function_arn=function_arn or present.function_arn, operations=checked or present.operations
            )
            if changed == present:
                return present
            changed = replace(changed, modified_at=self._clock())
            CertificateProviderRows(tx).replace(changed)
            return changed

    def delete(self, realm: Realm, name: str) -> None:
        """Delete a provider; then the service signs. Certificates remain. Raises ResourceNotFoundException."""
        with self._store.write() as tx:
            _existing(tx, realm, name)
            CertificateProviderRows(tx).remove(realm, name)
            TagRows(tx).remove(realm, arn.certificate_provider(realm, name))


def provider_for(tx: Transaction, realm: Realm, operation: CertificateProviderOperation) -> CertificateProvider | None:
    """Return the provider that signs for an operation; None where the service signs."""
    providers = CertificateProviderRows(tx).page(realm, Window(limit=MAX_PROVIDERS)).items
    return next((each for each in providers if operation in each.operations), None)


def _existing(tx: Transaction, realm: Realm, name: str) -> CertificateProvider:
    present = CertificateProviderRows(tx).get(realm, name)
    if present is None:
        raise ResourceNotFoundException(
            f"Certificate provider {name} does not exist in account {realm.account_id} and region {realm.region}."
        )
    return present


def _is_retry(present: CertificateProvider, asked: CertificateProvider) -> bool:
    return present == replace(asked, created_at=present.created_at, modified_at=present.modified_at)


def _check_function(function_arn: str) -> None:
    if not arn.is_function(function_arn):
        raise InvalidRequestException(
            f"lambdaFunctionArn {function_arn[:200]!r} is not the ARN of a Lambda function: "
            "arn:aws:lambda:<region>:<account>:function:<name>."
        )


def _checked_operations(
    operations: Sequence[CertificateProviderOperation],
) -> tuple[CertificateProviderOperation, ...]:
    if len(operations) != 1:
        raise InvalidRequestException(
            f"accountDefaultForOperations has {len(operations)} operations; it must have exactly one: "
            f"{CertificateProviderOperation.CREATE_CERTIFICATE_FROM_CSR.value}."
        )
    return tuple(operations)
