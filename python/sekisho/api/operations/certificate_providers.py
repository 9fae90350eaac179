"""Certificate providers.

Source: https://docs.aws.amazon.com/iot/latest/apireference/API_CreateCertificateProvider.html and its neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sekisho import arn, pages
from sekisho.api.operation import Call, operation
from sekisho.certificate_providers.model import CertificateProvider, CertificateProviderOperation
from sekisho.tags.rules import checked_tags

if TYPE_CHECKING:
    from types_boto3_iot.type_defs import (
        CreateCertificateProviderRequestTypeDef,
        DeleteCertificateProviderRequestTypeDef,
        DescribeCertificateProviderRequestTypeDef,
        ListCertificateProvidersRequestTypeDef,
        UpdateCertificateProviderRequestTypeDef,
    )


@operation("iot", "CreateCertificateProvider")
def create_certificate_provider(call: Call, request: CreateCertificateProviderRequestTypeDef) -> Mapping[str, Any]:
    """Create a provider: from now on its function signs certificate signing requests."""
    provider = call.services.certificate_providers.create(
        call.realm,
        request["certificateProviderName"],
        request["lambdaFunctionArn"],
        [CertificateProviderOperation(each) for each in request["accountDefaultForOperations"]],
        client_token=request.get("clientToken"),
        tags=checked_tags((tag["Key"], tag.get("Value", "")) for tag in request.get("tags", ())),
    )
    return _named(provider)


@operation("iot", "DescribeCertificateProvider")
def describe_certificate_provider(call: Call, request: DescribeCertificateProviderRequestTypeDef) -> Mapping[str, Any]:
    """Return a provider."""
    provider = call.services.certificate_providers.describe(call.realm, request["certificateProviderName"])
    return {
        **_named(provider),
        "lambdaFunctionArn": provider.function_arn,
        "accountDefaultForOperations": [each.value for each in provider.operations],
        "creationDate": provider.created_at,
        "lastModifiedDate": provider.modified_at,
    }


@operation("iot", "UpdateCertificateProvider")
def update_certificate_provider(call: Call, request: UpdateCertificateProviderRequestTypeDef) -> Mapping[str, Any]:
    """Change the given properties."""
    operations = request.get("accountDefaultForOperations")
    provider = call.services.certificate_providers.update(
        call.realm,
        request["certificateProviderName"],
        function_arn=request.get("lambdaFunctionArn"),
        operations=None if operations is None else [CertificateProviderOperation(each) for each in operations],
    )
    return _named(provider)


@operation("iot", "DeleteCertificateProvider")
def delete_certificate_provider(call: Call, request: DeleteCertificateProviderRequestTypeDef) -> Mapping[str, Any]:
    """Delete a provider; the service signs again."""
    call.services.certificate_providers.delete(call.realm, request["certificateProviderName"])
    return {}


@operation("iot", "ListCertificateProviders")
def list_certificate_providers(call: Call, request: ListCertificateProvidersRequestTypeDef) -> Mapping[str, Any]:
    """Return providers, newest first unless asked otherwise."""
    window = pages.window(request.get("nextToken"), None, ascending=request.get("ascendingOrder", False))
    found = call.services.certificate_providers.list(call.realm, window)
    return {
        "certificateProviders": [_named(provider) for provider in found.items],
        "nextToken": pages.next_marker(found.next_after),
    }


def _named(provider: CertificateProvider) -> dict[str, Any]:
    return {
        "certificateProviderName": provider.name,
        "certificateProviderArn": arn.certificate_provider(provider.realm, provider.name),
    }
