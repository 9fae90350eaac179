"""CA certificates and registration codes.

Source: https://docs.aws.amazon.com/iot/latest/apireference/API_RegisterCACertificate.html and its neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sekisho import arn, pages
from sekisho.api.operation import Call, operation
from sekisho.ca_certificates.model import AutoRegistrationStatus, CACertificate, CACertificateStatus, RegistrationConfig
from sekisho.certificates.model import CertificateMode
from sekisho.tags.rules import checked_tags

if TYPE_CHECKING:
    from types_boto3_iot.type_defs import (
        DeleteCACertificateRequestTypeDef,
        DescribeCACertificateRequestTypeDef,
        ListCACertificatesRequestTypeDef,
        RegisterCACertificateRequestTypeDef,
        RegistrationConfigTypeDef,
        UpdateCACertificateRequestTypeDef,
    )


@operation("iot", "RegisterCACertificate")
def register_ca_certificate(call: Call, request: RegisterCACertificateRequestTypeDef) -> Mapping[str, Any]:
    """Register a CA certificate: in DEFAULT mode with proof of its key, in SNI_ONLY mode without."""
    ca = call.services.ca_certificates.register(
        call.realm,
        request["caCertificate"],
        verification_certificate_pem=request.get("verificationCertificate"),
        mode=CertificateMode(request.get("certificateMode", CertificateMode.DEFAULT)),
        set_as_active=request.get("setAsActive", False),
        allow_auto_registration=request.get("allowAutoRegistration", False),
        registration_config=_registration_config(request.get("registrationConfig")),
        tags=checked_tags((tag["Key"], tag.get("Value", "")) for tag in request.get("tags", ())),
    )
    return {"certificateArn": _arn(ca), "certificateId": ca.certificate_id}


@operation("iot", "DescribeCACertificate")
def describe_ca_certificate(call: Call, request: DescribeCACertificateRequestTypeDef) -> Mapping[str, Any]:
    """Return a CA certificate and its registration configuration."""
    ca = call.services.ca_certificates.describe(call.realm, request["certificateId"])
    config = ca.registration_config
    return {
        "certificateDescription": {
            "certificateArn": _arn(ca),
            "certificateId": ca.certificate_id,
            "status": ca.status.value,
            "certificatePem": ca.certificate_pem,
            "ownedBy": ca.realm.account_id,
            "creationDate": ca.created_at,
            "autoRegistrationStatus": ca.auto_registration_status.value,
            "lastModifiedDate": ca.modified_at,
            "customerVersion": ca.customer_version,
            "generationId": ca.generation_id,
            "validity": {"notBefore": ca.not_before, "notAfter": ca.not_after},
            "certificateMode": ca.mode.value,
        },
        "registrationConfig": None
        if config is None
        else {
            "templateBody": config.template_body,
            "roleArn": config.role_arn,
            "templateName": config.template_name,
        },
    }


@operation("iot", "ListCACertificates")
def list_ca_certificates(call: Call, request: ListCACertificatesRequestTypeDef) -> Mapping[str, Any]:
    """Return CA certificates, newest first unless asked otherwise."""
    window = pages.window(
        request.get("marker"), request.get("pageSize"), ascending=request.get("ascendingOrder", False)
    )
    found = call.services.ca_certificates.list(call.realm, window, template_name=request.get("templateName"))
    return {
        "certificates": [
            {
                "certificateArn": _arn(ca),
                "certificateId": ca.certificate_id,
                "status": ca.status.value,
                "creationDate": ca.created_at,
            }
            for ca in found.items
        ],
        "nextMarker": pages.next_marker(found.next_after),
    }


@operation("iot", "UpdateCACertificate")
def update_ca_certificate(call: Call, request: UpdateCACertificateRequestTypeDef) -> None:
    """Set the status, automatic registration and registration configuration of a CA certificate."""
    status = request.get("newStatus")
    auto_registration_status = request.get("newAutoRegistrationStatus")
    call.services.ca_certificates.update(
        call.realm,
        request["certificateId"],
        status=None if status is None else CACertificateStatus(status),
        auto_registration_status=(
            None if auto_registration_status is None else AutoRegistrationStatus(auto_registration_status)
        ),
        registration_config=_registration_config(request.get("registrationConfig")),
        remove_auto_registration=request.get("removeAutoRegistration", False),
    )


@operation("iot", "DeleteCACertificate")
def delete_ca_certificate(call: Call, request: DeleteCACertificateRequestTypeDef) -> Mapping[str, Any]:
    """Delete a CA certificate that is not ACTIVE; the certificates that it signed stay."""
    call.services.ca_certificates.delete(call.realm, request["certificateId"])
    return {}


@operation("iot", "GetRegistrationCode")
def get_registration_code(call: Call, _request: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the code that a verification certificate has to contain."""
    return {"registrationCode": call.services.ca_certificates.get_registration_code(call.realm)}


@operation("iot", "DeleteRegistrationCode")
def delete_registration_code(call: Call, _request: Mapping[str, Any]) -> Mapping[str, Any]:
    """Delete the code; the next one is different."""
    call.services.ca_certificates.delete_registration_code(call.realm)
    return {}


def _registration_config(config: RegistrationConfigTypeDef | None) -> RegistrationConfig | None:
    if config is None:
        return None
    return RegistrationConfig(
        template_body=config.get("templateBody"),
        role_arn=config.get("roleArn"),
        template_name=config.get("templateName"),
    )


def _arn(ca: CACertificate) -> str:
    return arn.ca_certificate(ca.realm, ca.certificate_id)
