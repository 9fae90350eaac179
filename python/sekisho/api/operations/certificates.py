"""Device certificates.

Source: https://docs.aws.amazon.com/iot/latest/apireference/API_RegisterCertificate.html and its neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sekisho import arn, pages
from sekisho.api.operation import Call, operation
from sekisho.certificates.model import Certificate, CertificateStatus
from sekisho.pages import Slice

if TYPE_CHECKING:
    from types_boto3_iot.type_defs import (
        CreateCertificateFromCsrRequestTypeDef,
        CreateKeysAndCertificateRequestTypeDef,
        DeleteCertificateRequestTypeDef,
        DescribeCertificateRequestTypeDef,
        ListCertificatesByCARequestTypeDef,
        ListCertificatesRequestTypeDef,
        RegisterCertificateRequestTypeDef,
        RegisterCertificateWithoutCARequestTypeDef,
        UpdateCertificateRequestTypeDef,
    )


@operation("iot", "RegisterCertificate")
def register_certificate(call: Call, request: RegisterCertificateRequestTypeDef) -> Mapping[str, Any]:
    """Register a certificate that a registered CA signed."""
    status = request.get("status")
    certificate = call.services.certificates.register(
        call.realm,
        request["certificatePem"],
        ca_certificate_pem=request.get("caCertificatePem"),
        status=None if status is None else CertificateStatus(status),
        set_as_active=request.get("setAsActive", False),
    )
    return _named(certificate)


@operation("iot", "RegisterCertificateWithoutCA")
def register_certificate_without_ca(
    call: Call, request: RegisterCertificateWithoutCARequestTypeDef
) -> Mapping[str, Any]:
    """Register a certificate of any issuer."""
    status = request.get("status")
    certificate = call.services.certificates.register_without_ca(
        call.realm, request["certificatePem"], status=None if status is None else CertificateStatus(status)
    )
    return _named(certificate)


@operation("iot", "CreateKeysAndCertificate")
def create_keys_and_certificate(call: Call, request: CreateKeysAndCertificateRequestTypeDef) -> Mapping[str, Any]:
    """Issue a certificate with a new key pair. The private key is returned now and never again."""
    created = call.services.certificates.create_keys_and_certificate(
        call.realm, set_as_active=request.get("setAsActive", False)
    )
    return {
        **_named(created.certificate),
        "certificatePem": created.certificate.certificate_pem,
        "keyPair": {"PublicKey": created.public_key_pem, "PrivateKey": created.private_key_pem},
    }


@operation("iot", "CreateCertificateFromCsr")
def create_certificate_from_csr(call: Call, request: CreateCertificateFromCsrRequestTypeDef) -> Mapping[str, Any]:
    """Issue a certificate for a certificate signing request; each call issues another one."""
    certificate = call.services.certificates.create_from_csr(
        call.realm,
        request["certificateSigningRequest"],
        set_as_active=request.get("setAsActive", False),
        principal_id=call.caller.user_id,
    )
    return {**_named(certificate), "certificatePem": certificate.certificate_pem}


@operation("iot", "DescribeCertificate")
def describe_certificate(call: Call, request: DescribeCertificateRequestTypeDef) -> Mapping[str, Any]:
    """Return a certificate."""
    certificate = call.services.certificates.describe(call.realm, request["certificateId"])
    transfer = certificate.transfer
    return {
        "certificateDescription": {
            **_named(certificate),
            "caCertificateId": certificate.ca_certificate_id,
            "status": certificate.status.value,
            "certificatePem": certificate.certificate_pem,
            "ownedBy": certificate.owned_by,
            "previousOwnedBy": None if certificate.is_incoming else certificate.previous_owned_by,
            "creationDate": certificate.created_at,
            "lastModifiedDate": certificate.modified_at,
            "customerVersion": certificate.customer_version,
            "transferData": None
            if transfer is None
            else {
                "transferMessage": transfer.message,
                "rejectReason": transfer.reject_reason,
                "transferDate": transfer.transferred_at,
                "acceptDate": transfer.accepted_at,
                "rejectDate": transfer.rejected_at,
            },
            "generationId": certificate.generation_id,
            "validity": {"notBefore": certificate.not_before, "notAfter": certificate.not_after},
            "certificateMode": certificate.mode.value,
        }
    }


@operation("iot", "ListCertificates")
def list_certificates(call: Call, request: ListCertificatesRequestTypeDef) -> Mapping[str, Any]:
    """Return certificates, newest first unless asked otherwise."""
    window = pages.window(
        request.get("marker"), request.get("pageSize"), ascending=request.get("ascendingOrder", False)
    )
    return _listed(call.services.certificates.list(call.realm, window))


@operation("iot", "ListCertificatesByCA")
def list_certificates_by_ca(call: Call, request: ListCertificatesByCARequestTypeDef) -> Mapping[str, Any]:
    """Return certificates that were registered with a CA, newest first unless asked otherwise."""
    window = pages.window(
        request.get("marker"), request.get("pageSize"), ascending=request.get("ascendingOrder", False)
    )
    return _listed(call.services.certificates.list_by_ca(call.realm, request["caCertificateId"], window))


@operation("iot", "UpdateCertificate")
def update_certificate(call: Call, request: UpdateCertificateRequestTypeDef) -> None:
    """Set the status; it applies to live connections at once."""
    call.services.certificates.update(call.realm, request["certificateId"], CertificateStatus(request["newStatus"]))


@operation("iot", "DeleteCertificate")
def delete_certificate(call: Call, request: DeleteCertificateRequestTypeDef) -> None:
    """Delete a certificate that is not ACTIVE and has no things, and no policies unless forced."""
    call.services.certificates.delete(call.realm, request["certificateId"], force=request.get("forceDelete", False))


def _named(certificate: Certificate) -> dict[str, Any]:
    return {
        "certificateArn": arn.certificate(certificate.realm, certificate.certificate_id),
        "certificateId": certificate.certificate_id,
    }


def _listed(found: Slice[Certificate]) -> Mapping[str, Any]:
    return {
        "certificates": [
            {
                **_named(certificate),
                "status": certificate.status.value,
                "certificateMode": certificate.mode.value,
                "creationDate": certificate.created_at,
            }
            for certificate in found.items
        ],
        "nextMarker": pages.next_marker(found.next_after),
    }
