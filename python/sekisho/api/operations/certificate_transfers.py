"""Transfers of certificates between accounts.

Source: https://docs.aws.amazon.com/iot/latest/apireference/API_TransferCertificate.html and its neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sekisho import arn, pages
from sekisho.api.operation import Call, operation
from sekisho.certificates.model import Certificate, TransferData

if TYPE_CHECKING:
    from types_boto3_iot.type_defs import (
        AcceptCertificateTransferRequestTypeDef,
        CancelCertificateTransferRequestTypeDef,
        ListOutgoingCertificatesRequestTypeDef,
        RejectCertificateTransferRequestTypeDef,
        TransferCertificateRequestTypeDef,
    )


@operation("iot", "TransferCertificate")
def transfer_certificate(call: Call, request: TransferCertificateRequestTypeDef) -> Mapping[str, Any]:
    """Offer a certificate to another account of this server. No notification is sent."""
    offered = call.services.transfers.transfer(
        call.realm,
        request["certificateId"],
        request["targetAwsAccount"],
        message=request.get("transferMessage"),
    )
    return {"transferredCertificateArn": arn.certificate(offered.realm, offered.certificate_id)}


@operation("iot", "AcceptCertificateTransfer")
def accept_certificate_transfer(call: Call, request: AcceptCertificateTransferRequestTypeDef) -> None:
    """Accept a certificate that another account offers."""
    call.services.transfers.accept(
        call.realm, request["certificateId"], set_as_active=request.get("setAsActive", False)
    )


@operation("iot", "RejectCertificateTransfer")
def reject_certificate_transfer(call: Call, request: RejectCertificateTransferRequestTypeDef) -> None:
    """Reject a certificate that another account offers."""
    call.services.transfers.reject(call.realm, request["certificateId"], reason=request.get("rejectReason"))


@operation("iot", "CancelCertificateTransfer")
def cancel_certificate_transfer(call: Call, request: CancelCertificateTransferRequestTypeDef) -> None:
    """Cancel the offer of a certificate."""
    call.services.transfers.cancel(call.realm, request["certificateId"])


@operation("iot", "ListOutgoingCertificates")
def list_outgoing_certificates(call: Call, request: ListOutgoingCertificatesRequestTypeDef) -> Mapping[str, Any]:
    """Return certificates that are offered and not accepted yet, newest first unless asked otherwise."""
    window = pages.window(
        request.get("marker"), request.get("pageSize"), ascending=request.get("ascendingOrder", False)
    )
    found = call.services.transfers.list_outgoing(call.realm, window)
    return {
        "outgoingCertificates": [_outgoing(certificate) for certificate in found.items],
        "nextMarker": pages.next_marker(found.next_after),
    }


def _outgoing(certificate: Certificate) -> dict[str, Any]:
    transfer = certificate.transfer or TransferData()
    return {
        "certificateArn": arn.certificate(certificate.realm, certificate.certificate_id),
        "certificateId": certificate.certificate_id,
        "transferredTo": transfer.transferred_to,
        "transferDate": transfer.transferred_at,
        "transferMessage": transfer.message,
        "creationDate": certificate.created_at,
    }
