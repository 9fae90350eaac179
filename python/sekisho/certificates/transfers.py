"""Transfers of certificates: from one account to another account of the same region, which accepts or rejects it.

While a transfer is pending, each of the two accounts has a row of the certificate, both PENDING_TRANSFER: so all
queries find it in both accounts, and it cannot connect. The source's row names the target, the target's row the source.
Accepting removes the source's row, rejecting and cancelling remove the target's. The attachments of a row are removed
with it, since they belong to its account.

Source: Developer Guide, transfer-cert; API Reference, TransferCertificate, AcceptCertificateTransfer,
RejectCertificateTransfer, CancelCertificateTransfer, ListOutgoingCertificates.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from sekisho import arn, ids
from sekisho.accounts.store import AccountRows
from sekisho.certificates import rules as certificates
from sekisho.certificates import x509
from sekisho.certificates.fingerprints import fingerprints_of
from sekisho.certificates.model import Certificate, CertificateStatus, TransferData
from sekisho.certificates.store import CertificateRows
from sekisho.clock import Clock
from sekisho.errors import (
    CertificateStateException,
    InvalidRequestException,
    ResourceNotFoundException,
    TransferAlreadyCompletedException,
    TransferConflictException,
)
from sekisho.pages import Slice, Window
from sekisho.policies.store import PolicyRows
from sekisho.principals.store import AttachmentRows
from sekisho.realm import Realm
from sekisho.store.errors import AlreadyThere
from sekisho.store.store import Store
from sekisho.store.transaction import Transaction

_NOT_TRANSFERABLE: Final = frozenset({CertificateStatus.ACTIVE, CertificateStatus.REVOKED})
"""Statuses in which a certificate cannot be transferred."""


class Transfers:
    """Offers, accepts, rejects, cancels and lists transfers of certificates."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def transfer(
        self, realm: Realm, certificate_id: str, target_account: str, *, message: str | None = None
    ) -> Certificate:
        """Offer a certificate to another account. No notification is sent.

        Args:
            target_account: Twelve digits; the region is that of ``realm``.
            message: For the target, at most 128 characters.

        Raises:
            ResourceNotFoundException: No such certificate, or no such account on this server.
            InvalidRequestException: The target is the account itself.
            CertificateStateException: It is ACTIVE or REVOKED.
            TransferConflictException: It is PENDING_TRANSFER, policies or things are attached to it, or the target
                account has registered it.
        """
        if target_account == realm.account_id:
            raise InvalidRequestException(
                f"The certificate is in account {target_account} already. Name another account in targetAwsAccount."
            )
        with self._store.write() as tx:
            present = certificates.existing(tx, realm, certificate_id)
            _require_transferable(tx, present)
            if AccountRows(tx).get(target_account) is None:
                raise ResourceNotFoundException(
                    f"There is no account {target_account} on this server. Certificates can only be transferred "
                    "between its accounts; `sekisho account list` shows them."
                )
            now = self._clock()
            data = TransferData(message=message, transferred_at=now)
            offered = replace(
                certificates.with_status(present, CertificateStatus.PENDING_TRANSFER, now),
                transfer=replace(data, transferred_to=target_account),
            )
            CertificateRows(tx).replace(offered)
            incoming = replace(
                offered,
                realm=Realm(target_account, realm.region),
                previous_owned_by=realm.account_id,
                transfer=data,
            )
            try:
                CertificateRows(tx).add(incoming, fingerprints_of(x509.stored(incoming.certificate_pem)))
            except AlreadyThere:
                raise TransferConflictException(
                    f"Account {target_account} has registered certificate {present.certificate_id} itself, so it "
                    "cannot receive it. Delete it in that account first."
                ) from None
            return offered

    def accept(self, realm: Realm, certificate_id: str, *, set_as_active: bool = False) -> None:
        """Accept a certificate that another account offers. It becomes INACTIVE, or ACTIVE with ``set_as_active``.

        Raises:
            ResourceNotFoundException: No such certificate.
            TransferAlreadyCompletedException: It was accepted, rejected or cancelled before.
            InvalidRequestException: It is not offered to this account.
        """
        with self._store.write() as tx:
            incoming = _incoming(tx, realm, certificate_id)
            now = self._clock()
            status = CertificateStatus.ACTIVE if set_as_active else CertificateStatus.INACTIVE
            CertificateRows(tx).replace(
                replace(
                    certificates.with_status(incoming, status, now),
                    transfer=replace(incoming.transfer or TransferData(), accepted_at=now),
                )
            )
            source = _source_of(tx, incoming)
            certificates.cancel_rotation_to(tx, source, now)
            # Both accounts may attach policies and things while a transfer is pending.
            certificates.remove_in(tx, source)

    def reject(self, realm: Realm, certificate_id: str, *, reason: str | None = None) -> None:
        """Reject a certificate that another account offers: it becomes INACTIVE in that account.

        Args:
            reason: For the source account, at most 128 characters.

        Raises:
            ResourceNotFoundException: No such certificate.
            TransferAlreadyCompletedException: It was accepted, rejected or cancelled before.
            InvalidRequestException: It is not offered to this account.
        """
        with self._store.write() as tx:
            incoming = _incoming(tx, realm, certificate_id)
            source = _source_of(tx, incoming)
            now = self._clock()
            CertificateRows(tx).replace(
                replace(
                    certificates.with_status(source, CertificateStatus.INACTIVE, now),
                    transfer=replace(source.transfer or TransferData(), reject_reason=reason, rejected_at=now),
                )
            )
            certificates.remove_in(tx, incoming)

    def cancel(self, realm: Realm, certificate_id: str) -> None:
        """Cancel a transfer of this account: the certificate becomes INACTIVE.

        Raises:
            ResourceNotFoundException: No such certificate.
            TransferAlreadyCompletedException: It was accepted, rejected or cancelled before.
            InvalidRequestException: This account does not offer it.
        """
        with self._store.write() as tx:
            source = _outgoing(tx, realm, certificate_id)
            CertificateRows(tx).replace(certificates.with_status(source, CertificateStatus.INACTIVE, self._clock()))
            incoming = _target_of(tx, source)
            certificates.remove_in(tx, incoming)

    def list_outgoing(self, realm: Realm, window: Window) -> Slice[Certificate]:
        """Return the certificates that a realm offers."""
        with self._store.read() as tx:
            return CertificateRows(tx).page_outgoing(realm, window)


def _require_transferable(tx: Transaction, certificate: Certificate) -> None:
    certificate_id = certificate.certificate_id
    if certificate.status is CertificateStatus.PENDING_TRANSFER:
        raise TransferConflictException(
            "The certificate is PENDING_TRANSFER already. Cancel, accept or reject that transfer first. "
            f"Id: {certificate_id}"
        )
    if certificate.status in _NOT_TRANSFERABLE:
        advice = (
            "Set it to INACTIVE with UpdateCertificate"
            if certificate.status is CertificateStatus.ACTIVE
            else "A REVOKED certificate remains where it is"
        )
        raise CertificateStateException(
            f"A certificate that is {certificate.status.value} cannot be transferred. {advice}. Id: {certificate_id}"
        )
    principal = arn.certificate(certificate.realm, certificate_id)
    if PolicyRows(tx).attached_to(certificate.realm, principal, Window(limit=1)).items:
        raise TransferConflictException(
            f"Certificate policies must be detached before transfer (arn: {principal}). List them with "
            "ListAttachedPolicies, and detach each with DetachPolicy."
        )
    if AttachmentRows(tx).of_principal(certificate.realm, principal, Window(limit=1)).items:
        raise TransferConflictException(
            f"Things must be detached before transfer (arn: {principal}). List them with ListPrincipalThings, and "
            "detach each with DetachThingPrincipal."
        )


def _incoming(tx: Transaction, realm: Realm, certificate_id: str) -> Certificate:
    certificate_id = ids.certificate_id(certificate_id)
    present = CertificateRows(tx).get(realm, certificate_id)
    if present is None and any(
        other.transfer is not None and other.transfer.transferred_to == realm.account_id
        for other in _of_region(tx, realm, certificate_id)
    ):
        raise _completed(certificate_id)
    present = certificates.existing(tx, realm, certificate_id)
    if present.is_outgoing:
        raise InvalidRequestException(
            "This account offers the certificate, so only the other account can accept or reject it. Cancel with "
            f"CancelCertificateTransfer. Id: {certificate_id}"
        )
    if not present.is_incoming:
        raise _not_pending(present)
    return present


def _outgoing(tx: Transaction, realm: Realm, certificate_id: str) -> Certificate:
    certificate_id = ids.certificate_id(certificate_id)
    present = CertificateRows(tx).get(realm, certificate_id)
    if present is None and any(
        other.previous_owned_by == realm.account_id for other in _of_region(tx, realm, certificate_id)
    ):
        raise _completed(certificate_id)
    present = certificates.existing(tx, realm, certificate_id)
    if present.is_incoming:
        raise InvalidRequestException(
            "The certificate is offered to this account, so only the other account can cancel. Reject it with "
            f"RejectCertificateTransfer. Id: {certificate_id}"
        )
    if not present.is_outgoing:
        raise _not_pending(present)
    return present


def _not_pending(certificate: Certificate) -> TransferAlreadyCompletedException | InvalidRequestException:
    if certificate.transfer is not None:
        return _completed(certificate.certificate_id)
    return InvalidRequestException(
        f"The certificate is {certificate.status.value} and not being transferred. Id: {certificate.certificate_id}"
    )


def _completed(certificate_id: str) -> TransferAlreadyCompletedException:
    return TransferAlreadyCompletedException(
        f"The transfer was accepted, rejected or cancelled already. Id: {certificate_id}"
    )


def _of_region(tx: Transaction, realm: Realm, certificate_id: str) -> list[Certificate]:
    return [each for each in CertificateRows(tx).everywhere(certificate_id) if each.realm.region == realm.region]


def _source_of(tx: Transaction, incoming: Certificate) -> Certificate:
    return certificates.existing(tx, Realm(incoming.owned_by, incoming.realm.region), incoming.certificate_id)


def _target_of(tx: Transaction, outgoing: Certificate) -> Certificate:
    account_id = outgoing.transfer.transferred_to if outgoing.transfer else None
    return certificates.existing(
        tx, Realm(account_id or outgoing.realm.account_id, outgoing.realm.region), outgoing.certificate_id
    )
