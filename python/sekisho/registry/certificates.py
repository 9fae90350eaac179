"""Device certificates: registered, issued, switched on and off, deleted.

A certificate is known by the SHA-256 of its DER. Registered with its CA it takes the CA's mode; registered without one
it is SNI_ONLY, and may be registered in any number of accounts. What the service issues is in DEFAULT mode. Every
change acts on live connections at once.

Source: Developer Guide, x509-client-certs, manual-cert-registration, activate-or-deactivate-device-cert; the API
Reference of each operation.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from sekisho import arn, ids
from sekisho.errors import (
    CertificateStateException,
    CertificateValidationException,
    DeleteConflictException,
    InvalidRequestException,
    ResourceAlreadyExistsException,
    ResourceNotFoundException,
)
from sekisho.pki import verify
from sekisho.pki.certificate import X509Certificate
from sekisho.pki.issuing import IssuingAuthority
from sekisho.pki.pem import PemError
from sekisho.pki.verify import NotAcceptable
from sekisho.realm import Realm
from sekisho.registry import issuers, x509
from sekisho.registry.model import Certificate, CertificateMode, CertificateStatus, RotationState
from sekisho.registry.ports import AlreadyThere, Change, ChangeKind, Clock, Slice, Store, Transaction, Window

_REGISTRABLE: Final = frozenset({CertificateStatus.ACTIVE, CertificateStatus.INACTIVE, CertificateStatus.REVOKED})
"""What a certificate may be registered as, and what it may be set to."""

_LISTED: Final = 10
"""Attachments that a message lists."""

_PAGE: Final = 250


@dataclass(frozen=True, slots=True)
class CreatedCertificate:
    """A certificate that the service issued, with the key pair made for it: there is no other copy of the key."""

    certificate: Certificate
    public_key_pem: str
    private_key_pem: str = field(repr=False)


class Certificates:
    """Everything that is done to device certificates."""

    def __init__(self, store: Store, clock: Clock, authority: IssuingAuthority) -> None:
        self._store = store
        self._clock = clock
        self._authority = authority

    def register(
        self,
        realm: Realm,
        certificate_pem: str,
        *,
        ca_certificate_pem: str | None = None,
        status: CertificateStatus | None = None,
        set_as_active: bool = False,
    ) -> Certificate:
        """Register a certificate that a registered CA signed.

        Args:
            ca_certificate_pem: Which CA; needed only where one key has several registered CA certificates.
            status: ACTIVE, INACTIVE or REVOKED; counts before ``set_as_active``. INACTIVE where neither is given.

        Raises:
            CertificateValidationException: No certificate, one that AWS IoT does not take, or the CA did not sign it.
            CertificateStateException: Its CA is not registered, or INACTIVE; or the status is none to register with.
            CertificateConflictException: Several CA certificates may be meant.
            ResourceAlreadyExistsException: It is registered here already.
            InvalidRequestException: Its mode would be DEFAULT, and another account of the region holds it so.
        """
        chosen = _initial_status(status, set_as_active=set_as_active)
        certificate = self._acceptable(certificate_pem)
        named = x509.given(ca_certificate_pem, "caCertificatePem") if ca_certificate_pem else None
        with self._store.write() as tx:
            if named is None:
                ca = issuers.the_issuer(tx, realm, certificate)
            else:
                ca = issuers.the_named_issuer(tx, realm, certificate, named)
            return self._add(tx, realm, certificate, chosen, ca.mode, ca.certificate_id)

    def register_without_ca(
        self, realm: Realm, certificate_pem: str, *, status: CertificateStatus | None = None
    ) -> Certificate:
        """Register a certificate whoever signed it, itself among them. INACTIVE where no status is given.

        Raises:
            CertificateValidationException: No certificate, or one that AWS IoT does not take.
            CertificateStateException: The status is none to register with.
            ResourceAlreadyExistsException: It is registered here already.
        """
        chosen = _initial_status(status, set_as_active=False)
        certificate = self._acceptable(certificate_pem)
        with self._store.write() as tx:
            return self._add(tx, realm, certificate, chosen, CertificateMode.SNI_ONLY, None)

    def create_keys_and_certificate(self, realm: Realm, *, set_as_active: bool = False) -> CreatedCertificate:
        """A new RSA-2048 key pair and a certificate for it, issued by the service."""
        issued = self._authority.issue_with_key(self._clock())
        certificate = self._add_issued(realm, issued.certificate, set_as_active=set_as_active)
        return CreatedCertificate(certificate, issued.public_key_pem, issued.private_key_pem)

    def create_from_csr(self, realm: Realm, request_pem: str, *, set_as_active: bool = False) -> Certificate:
        """A certificate for a certificate signing request, issued by the service; another one each time.

        Raises:
            InvalidRequestException: No certificate signing request, or one that AWS IoT does not take.
        """
        try:
            issued = self._authority.issue_for_request(request_pem, self._clock())
        except PemError as error:
            raise InvalidRequestException(f"certificateSigningRequest: {error}") from None
        except NotAcceptable as error:
            raise InvalidRequestException(str(error)) from None
        return self._add_issued(realm, issued, set_as_active=set_as_active)

    def describe(self, realm: Realm, certificate_id: str) -> Certificate:
        """One certificate. Raises ResourceNotFoundException."""
        with self._store.read() as tx:
            return existing(tx, realm, certificate_id)

    def list(self, realm: Realm, window: Window) -> Slice[Certificate]:
        """Certificates of a realm."""
        with self._store.read() as tx:
            return tx.certificates.page(realm, window)

    def list_by_ca(self, realm: Realm, ca_certificate_id: str, window: Window) -> Slice[Certificate]:
        """Certificates that were registered with a CA; none where the CA is not registered."""
        ca_certificate_id = ids.certificate_id(ca_certificate_id)
        with self._store.read() as tx:
            if tx.ca_certificates.get(realm, ca_certificate_id) is None:
                return Slice((), None)
            return tx.certificates.page_by_ca(realm, ca_certificate_id, window)

    def update(self, realm: Realm, certificate_id: str, status: CertificateStatus) -> None:
        """Set the status. The status it has already is no change. REVOKED is for good.

        Raises:
            ResourceNotFoundException: No such certificate.
            CertificateStateException: A status that is not set by hand, or the certificate is revoked or on its way
                to another account.
        """
        if status not in _REGISTRABLE:
            raise CertificateStateException(
                f"A certificate cannot be set to {status.value}. newStatus is ACTIVE, INACTIVE or REVOKED."
            )
        with self._store.write() as tx:
            present = existing(tx, realm, certificate_id)
            if present.status is status:
                return
            if present.status is CertificateStatus.REVOKED:
                raise CertificateStateException(
                    f"The certificate is REVOKED, which is for good; it cannot be set to {status.value}. Issue and "
                    f"register a new one. Id: {present.certificate_id}"
                )
            if present.status is CertificateStatus.PENDING_TRANSFER:
                raise CertificateStateException(
                    "The certificate is PENDING_TRANSFER: cancel, accept or reject the transfer before its status is "
                    f"changed. Id: {present.certificate_id}"
                )
            now = self._clock()
            if status is CertificateStatus.REVOKED:
                end_waiting(tx, present, now)
            tx.certificates.replace(
                replace(
                    present,
                    status=status,
                    modified_at=now,
                    customer_version=present.customer_version + 1,
                )
            )
            _announce(tx, present)

    def delete(self, realm: Realm, certificate_id: str, *, force: bool = False) -> None:
        """Forget a certificate.

        Args:
            force: Detach its policies first. It has to be inactive and without things all the same.

        Raises:
            ResourceNotFoundException: No such certificate.
            CertificateStateException: It is ACTIVE, or on its way to another account.
            DeleteConflictException: Things are attached to it; or policies, without ``force``.
        """
        with self._store.write() as tx:
            present = existing(tx, realm, certificate_id)
            _require_idle(present)
            principal = arn.certificate(realm, present.certificate_id)
            _require_no_things(tx, realm, principal)
            if force:
                detach_policies(tx, realm, principal)
            else:
                _require_no_policies(tx, realm, principal)
            end_waiting(tx, present, self._clock())
            tx.certificates.remove(realm, present.certificate_id)
            _announce(tx, present)

    def _acceptable(self, certificate_pem: str) -> X509Certificate:
        certificate = x509.given(certificate_pem, "certificatePem")
        try:
            verify.check_device_certificate(certificate, self._clock())
        except NotAcceptable as error:
            raise CertificateValidationException(str(error)) from None
        return certificate

    def _add_issued(self, realm: Realm, certificate: X509Certificate, *, set_as_active: bool) -> Certificate:
        status = _initial_status(None, set_as_active=set_as_active)
        with self._store.write() as tx:
            return self._add(tx, realm, certificate, status, CertificateMode.DEFAULT, None)

    def _add(
        self,
        tx: Transaction,
        realm: Realm,
        certificate: X509Certificate,
        status: CertificateStatus,
        mode: CertificateMode,
        ca_certificate_id: str | None,
    ) -> Certificate:
        registered = add_new(tx, self._clock(), realm, certificate, status, mode, ca_certificate_id)
        # What the gate is about to be told of it, it must not take from before it was registered.
        _announce(tx, registered)
        return registered


def add_new(
    tx: Transaction,
    now: datetime,
    realm: Realm,
    certificate: X509Certificate,
    status: CertificateStatus,
    mode: CertificateMode,
    ca_certificate_id: str | None,
) -> Certificate:
    """Register a certificate that was found acceptable. Where it raises, nothing was written and ``tx`` is usable.

    It is not announced: at a certificate that is not ACTIVE the gate has nothing to forget.

    Raises:
        ResourceAlreadyExistsException: It is registered here already.
        InvalidRequestException: The mode is DEFAULT, and another account of the region holds it so.
    """
    registered = Certificate(
        realm=realm,
        certificate_id=certificate.certificate_id,
        certificate_pem=certificate.pem,
        ca_certificate_id=ca_certificate_id,
        status=status,
        mode=mode,
        not_before=certificate.not_before,
        not_after=certificate.not_after,
        created_at=now,
        modified_at=now,
        customer_version=1,
        generation_id=ids.unique(),
    )
    if mode is CertificateMode.DEFAULT:
        _require_sole_holder(tx, registered)
    try:
        tx.certificates.add(registered)
    except AlreadyThere:
        raise _already_there(tx, realm, certificate.certificate_id) from None
    return registered


def _initial_status(status: CertificateStatus | None, *, set_as_active: bool) -> CertificateStatus:
    if status is None:
        return CertificateStatus.ACTIVE if set_as_active else CertificateStatus.INACTIVE
    if status not in _REGISTRABLE:
        raise CertificateStateException(f"Not allowed to register certificate with {status.value} status")
    return status


def _already_there(tx: Transaction, realm: Realm, certificate_id: str) -> ResourceAlreadyExistsException:
    present = existing(tx, realm, certificate_id)
    route = "without a CA" if present.ca_certificate_id is None else f"with the CA {present.ca_certificate_id}"
    # The first words are AWS's; tools look for them.
    return ResourceAlreadyExistsException(
        f"The certificate is already provisioned or registered (certificateId={certificate_id}, "
        f"status={present.status.value}, since {present.created_at:%Y-%m-%dT%H:%M:%SZ}, {route}).",
        resource_id=certificate_id,
        resource_arn=arn.certificate(realm, certificate_id),
    )


def _require_sole_holder(tx: Transaction, certificate: Certificate) -> None:
    """In DEFAULT mode a device need not send SNI: what it connects by has to be one account's."""
    realm = certificate.realm
    held = tx.certificates.everywhere(certificate.certificate_id)
    if any(other.realm == realm for other in held):
        # That it is registered here already is the answer that helps.
        return
    if any(other.realm.region == realm.region and other.mode is CertificateMode.DEFAULT for other in held):
        # The first words are AWS's; tools look for them.
        raise InvalidRequestException(
            "This request is not valid: another account of this region holds the certificate in DEFAULT mode, which "
            "one account may. Register its CA with certificateMode SNI_ONLY, or the certificate with "
            "RegisterCertificateWithoutCA."
        )


def _require_idle(certificate: Certificate) -> None:
    if certificate.status is CertificateStatus.ACTIVE:
        raise CertificateStateException(
            f"Certificate must be deactivated (not ACTIVE) before deletion. Id: {certificate.certificate_id}"
        )
    if certificate.status is CertificateStatus.PENDING_TRANSFER:
        raise CertificateStateException(
            "Certificate is PENDING_TRANSFER: cancel, accept or reject the transfer before deletion. "
            f"Id: {certificate.certificate_id}"
        )


def _require_no_things(tx: Transaction, realm: Realm, principal: str) -> None:
    attached = tx.attachments.of_principal(realm, principal, Window(limit=_LISTED))
    if attached.items:
        names = ", ".join(each.thing_name for each in attached.items)
        raise DeleteConflictException(
            f"Things must be detached before deletion (arn: {principal}). Attached: {names}"
            f"{' and more' if attached.next_after is not None else ''}. DetachThingPrincipal detaches one."
        )


def _require_no_policies(tx: Transaction, realm: Realm, principal: str) -> None:
    attached = tx.policies.attached_to(realm, principal, Window(limit=_LISTED))
    if attached.items:
        names = ", ".join(each.name for each in attached.items)
        raise DeleteConflictException(
            f"Certificate policies must be detached before deletion (arn: {principal}). Attached: {names}"
            f"{' and more' if attached.next_after is not None else ''}. DetachPolicy detaches one, forceDelete all."
        )


def detach_policies(tx: Transaction, realm: Realm, principal: str) -> None:
    """Detach every policy of a principal."""
    while attached := tx.policies.attached_to(realm, principal, Window(limit=_PAGE)).items:
        for policy in attached:
            tx.policies.detach(realm, policy.name, principal)


def end_waiting(tx: Transaction, certificate: Certificate, now: datetime) -> None:
    """This certificate will never connect again: a rotation that waits for it is cancelled, its old one stays."""
    waiting = tx.rotations.awaiting(certificate.realm, certificate.certificate_id)
    if waiting is not None:
        tx.rotations.finish(replace(waiting, state=RotationState.CANCELLED, finished_at=now))


def _announce(tx: Transaction, certificate: Certificate) -> None:
    tx.announce(Change(certificate.realm, ChangeKind.CERTIFICATE, certificate.certificate_id))


def existing(tx: Transaction, realm: Realm, certificate_id: str) -> Certificate:
    """The certificate of this id. Raises ResourceNotFoundException."""
    certificate_id = ids.certificate_id(certificate_id)
    present = tx.certificates.get(realm, certificate_id)
    if present is None:
        ca = tx.ca_certificates.get(realm, certificate_id) is not None
        hint = " It is the id of a CA certificate." if ca else ""
        raise ResourceNotFoundException(
            f"There is no certificate {certificate_id} in account {realm.account_id} and region {realm.region}.{hint}"
        )
    return present
