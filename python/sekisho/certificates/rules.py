"""Device certificates: registration, issuance, status, deletion.

A certificate that is registered with its CA has the CA's mode. One that is registered without a CA is SNI_ONLY: any
number of accounts may register it. One that the service issues is in DEFAULT mode. If the account has a certificate
provider, that signs certificate signing requests instead of the service. Changes apply to live connections at once.

Source: Developer Guide, x509-client-certs, manual-cert-registration, activate-or-deactivate-device-cert,
provisioning-cert-provider; the API Reference of each operation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from sekisho import arn, ids, pages
from sekisho.ca_certificates import issuers
from sekisho.ca_certificates.model import CACertificateStatus
from sekisho.ca_certificates.store import CACertificateRows
from sekisho.certificate_providers import rules as certificate_providers
from sekisho.certificate_providers.model import CertificateProvider, CertificateProviderOperation
from sekisho.certificate_providers.signer import CsrNotSigned, CsrSigner
from sekisho.certificates import x509
from sekisho.certificates.fingerprints import fingerprints_of
from sekisho.certificates.model import Certificate, CertificateMode, CertificateStatus
from sekisho.certificates.store import CertificateRows
from sekisho.clock import Clock
from sekisho.errors import (
    CertificateStateException,
    CertificateValidationException,
    DeleteConflictException,
    InvalidRequestException,
    ResourceAlreadyExistsException,
    ResourceNotFoundException,
    ServiceUnavailableException,
)
from sekisho.pages import Slice, Window
from sekisho.pki import issue, names, verify
from sekisho.pki.certificate import X509Certificate, loaded
from sekisho.pki.issuing import IssuingAuthority
from sekisho.pki.pem import PemError
from sekisho.pki.verify import NotAcceptable
from sekisho.policies.store import PolicyRows
from sekisho.principals.store import AttachmentRows
from sekisho.realm import Realm
from sekisho.rotation.model import RotationState
from sekisho.rotation.store import RotationRows
from sekisho.store.errors import AlreadyThere
from sekisho.store.store import Store
from sekisho.store.transaction import Transaction

_REGISTRABLE: Final = frozenset({CertificateStatus.ACTIVE, CertificateStatus.INACTIVE, CertificateStatus.REVOKED})
"""Statuses with which a certificate may be registered, and which UpdateCertificate may set."""

_LISTED_ATTACHMENTS: Final = 10
"""Attachments that a message lists."""

_PAGE_SIZE: Final = 250


@dataclass(frozen=True, slots=True)
class CreatedCertificate:
    """A certificate that the service issued, with its key pair. The service keeps no copy of the private key."""

    certificate: Certificate
    public_key_pem: str
    private_key_pem: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """The certificate for a certificate signing request. ``add_signed_request`` registers it."""

    certificate: X509Certificate
    provider: CertificateProvider | None
    """The provider that signed it; None: the service."""


Pending = Callable[[Transaction, Certificate], None]
"""Called with a new certificate that waits for activation, in the transaction that registers it."""


class Certificates:
    """Registers, issues, lists, changes and deletes device certificates.

    Args:
        signer: Calls certificate providers. None: requests that need a provider are refused.
    """

    def __init__(
        self, store: Store, clock: Clock, authority: IssuingAuthority, signer: CsrSigner | None = None
    ) -> None:
        self._store = store
        self._clock = clock
        self._authority = authority
        self._signer = signer

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
            status: ACTIVE, INACTIVE or REVOKED; overrides ``set_as_active``. Default: INACTIVE.

        Raises:
            CertificateValidationException: It is not a certificate that AWS IoT accepts, or the CA did not sign it.
            CertificateStateException: Its CA is not registered, or INACTIVE; or ``status`` is another one.
            CertificateConflictException: Several registered CA certificates have the key that signed it.
            ResourceAlreadyExistsException: It is registered in the realm already.
            InvalidRequestException: Its mode would be DEFAULT, and another account of the region has it in that mode.
        """
        chosen = _initial_status(status, set_as_active=set_as_active)
        now = self._clock()
        certificate = acceptable(certificate_pem, now)
        named = issuers.named_ca(certificate, ca_certificate_pem) if ca_certificate_pem else None
        with self._store.write() as tx:
            return add_signed(tx, now, realm, certificate, named, chosen)

    def register_without_ca(
        self, realm: Realm, certificate_pem: str, *, status: CertificateStatus | None = None
    ) -> Certificate:
        """Register a certificate of any issuer, or a self-signed one. Default of ``status``: INACTIVE.

        Raises:
            CertificateValidationException: It is not a certificate that AWS IoT accepts.
            CertificateStateException: ``status`` is not ACTIVE, INACTIVE or REVOKED.
            ResourceAlreadyExistsException: It is registered in the realm already.
        """
        chosen = _initial_status(status, set_as_active=False)
        now = self._clock()
        certificate = acceptable(certificate_pem, now)
        with self._store.write() as tx:
            return add_without_ca(tx, now, realm, certificate, chosen)

    def create_keys_and_certificate(
        self, realm: Realm, *, set_as_active: bool = False, pending: Pending | None = None
    ) -> CreatedCertificate:
        """Generate an RSA-2048 key pair, and issue and register a certificate for it.

        Args:
            pending: Register it as PENDING_ACTIVATION, and call this.
        """
        issued = self._authority.issue_with_key(self._clock())
        signed = SignedRequest(issued.certificate, None)
        certificate = self._add_signed(realm, signed, pending, set_as_active=set_as_active)
        return CreatedCertificate(certificate, issued.public_key_pem, issued.private_key_pem)

    def create_from_csr(
        self,
        realm: Realm,
        request_pem: str,
        *,
        set_as_active: bool = False,
        pending: Pending | None = None,
        principal_id: str = "",
        client_id: str = "",
    ) -> Certificate:
        """Issue and register a certificate for a certificate signing request, another one at each call.

        Further arguments and errors are those of ``sign``.

        Args:
            pending: Register it as PENDING_ACTIVATION, and call this.
        """
        signed = self.sign(realm, request_pem, principal_id=principal_id, client_id=client_id)
        return self._add_signed(realm, signed, pending, set_as_active=set_as_active)

    def sign(self, realm: Realm, request_pem: str, *, principal_id: str = "", client_id: str = "") -> SignedRequest:
        """Sign a certificate signing request: by the account's certificate provider if it has one, else by the service.

        Registers nothing. Must not be called within a transaction: a provider may need seconds.

        Args:
            principal_id: The requester, for the provider.
            client_id: The requester's MQTT client id, for the provider; empty over HTTP.

        Raises:
            InvalidRequestException: It is not a certificate signing request that AWS IoT accepts; the provider failed;
                or the certificate that it returned does not match the request, or is not one that AWS IoT accepts.
            ServiceUnavailableException: The provider failed, and may succeed with the same request later.
        """
        with self._store.read() as tx:
            provider = certificate_providers.provider_for(
                tx, realm, CertificateProviderOperation.CREATE_CERTIFICATE_FROM_CSR
            )
        if provider is None:
            return SignedRequest(issued_for(self._authority, request_pem, self._clock()), None)
        with _refusing_requests():
            request = issue.read_request(request_pem)
        answer = self._call_provider(realm, provider, request_pem, principal_id, client_id)
        return SignedRequest(_certificate_for(provider, request, answer, self._clock()), provider)

    def describe(self, realm: Realm, certificate_id: str) -> Certificate:
        """Return a certificate. Raises ResourceNotFoundException."""
        with self._store.read() as tx:
            return existing(tx, realm, certificate_id)

    def list(self, realm: Realm, window: Window) -> Slice[Certificate]:
        """Return the certificates of a realm."""
        with self._store.read() as tx:
            return CertificateRows(tx).page(realm, window)

    def list_by_ca(self, realm: Realm, ca_certificate_id: str, window: Window) -> Slice[Certificate]:
        """Return the certificates that were registered with a CA; none where that is not registered."""
        ca_certificate_id = ids.certificate_id(ca_certificate_id)
        with self._store.read() as tx:
            if CACertificateRows(tx).get(realm, ca_certificate_id) is None:
                return Slice((), None)
            return CertificateRows(tx).page_by_ca(realm, ca_certificate_id, window)

    def update(self, realm: Realm, certificate_id: str, status: CertificateStatus) -> None:
        """Set the status; without effect where it is the present one. A REVOKED certificate remains REVOKED.

        Raises:
            ResourceNotFoundException: No such certificate.
            CertificateStateException: ``status`` is not ACTIVE, INACTIVE or REVOKED; or the certificate is REVOKED or
                PENDING_TRANSFER.
        """
        with self._store.write() as tx:
            update_in(tx, self._clock(), realm, certificate_id, status)

    def delete(self, realm: Realm, certificate_id: str, *, force: bool = False) -> None:
        """Delete a certificate.

        Args:
            force: Whether to detach its policies. It has to be inactive and without things in any case.

        Raises:
            ResourceNotFoundException: No such certificate.
            CertificateStateException: It is ACTIVE or PENDING_TRANSFER.
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
            cancel_rotation_to(tx, present, self._clock())
            CertificateRows(tx).remove(realm, present.certificate_id)

    def _call_provider(
        self, realm: Realm, provider: CertificateProvider, request_pem: str, principal_id: str, client_id: str
    ) -> str:
        if self._signer is None:
            raise InvalidRequestException(
                f"The certificate provider {provider.name} cannot be called: this server has no handlers."
            )
        try:
            return self._signer.sign(realm, provider, request_pem, principal_id, client_id)
        except CsrNotSigned as error:
            message = f"The certificate provider {provider.name} did not sign the request: {error}"
            if error.is_permanent:
                raise InvalidRequestException(message) from None
            raise ServiceUnavailableException(message) from None

    def _add_signed(
        self, realm: Realm, signed: SignedRequest, pending: Pending | None, *, set_as_active: bool
    ) -> Certificate:
        status = _initial_status(None, set_as_active=set_as_active)
        if pending is not None:
            status = CertificateStatus.PENDING_ACTIVATION
        with self._store.write() as tx:
            registered = add_signed_request(tx, self._clock(), realm, signed, status)
            if pending is not None:
                pending(tx, registered)
            return registered


def acceptable(certificate_pem: str, now: datetime) -> X509Certificate:
    """Return the certificate of a request. Raises CertificateValidationException where AWS IoT does not accept it."""
    certificate = x509.from_request(certificate_pem, "certificatePem")
    try:
        verify.check_device_certificate(certificate, now)
    except NotAcceptable as error:
        raise CertificateValidationException(str(error)) from None
    return certificate


def issued_for(authority: IssuingAuthority, request_pem: str, now: datetime) -> X509Certificate:
    """Issue a certificate for a certificate signing request, another one at each call. Registers nothing.

    Raises:
        InvalidRequestException: It is not a certificate signing request that AWS IoT accepts.
    """
    with _refusing_requests():
        return authority.issue_for_request(request_pem, now)


@contextmanager
def _refusing_requests() -> Iterator[None]:
    """Raise InvalidRequestException instead of errors about a certificate signing request."""
    try:
        yield
    except PemError as error:
        raise InvalidRequestException(f"certificateSigningRequest: {error}") from None
    except NotAcceptable as error:
        raise InvalidRequestException(str(error)) from None


def add_signed(
    tx: Transaction,
    now: datetime,
    realm: Realm,
    certificate: X509Certificate,
    named: issuers.NamedCA | None,
    status: CertificateStatus,
) -> Certificate:
    """Do ``Certificates.register`` within the caller's write transaction. After its errors nothing is written.

    Args:
        named: ``issuers.named_ca`` of the certificate, if the request names a CA.
    """
    if named is None:
        ca = issuers.the_issuer(tx, realm, certificate)
    else:
        ca = issuers.the_named_issuer(tx, realm, certificate, named)
    return add_new(tx, now, realm, certificate, status, ca.mode, ca.certificate_id)


def add_without_ca(
    tx: Transaction, now: datetime, realm: Realm, certificate: X509Certificate, status: CertificateStatus
) -> Certificate:
    """Do ``Certificates.register_without_ca`` within the caller's write transaction, with the same errors."""
    return add_new(tx, now, realm, certificate, status, CertificateMode.SNI_ONLY, None)


def add_issued(
    tx: Transaction, now: datetime, realm: Realm, certificate: X509Certificate, status: CertificateStatus
) -> Certificate:
    """Register a certificate that the service issued, within the caller's write transaction."""
    return add_new(tx, now, realm, certificate, status, CertificateMode.DEFAULT, None)


def update_in(
    tx: Transaction, now: datetime, realm: Realm, certificate_id: str, status: CertificateStatus
) -> Certificate:
    """Do ``Certificates.update`` within the caller's write transaction; return the changed certificate.

    After its errors nothing is written.
    """
    if status not in _REGISTRABLE:
        raise CertificateStateException(
            f"A certificate cannot be set to {status.value}. newStatus is ACTIVE, INACTIVE or REVOKED."
        )
    present = existing(tx, realm, certificate_id)
    if present.status is status:
        return present
    if present.status is CertificateStatus.REVOKED:
        raise CertificateStateException(
            f"A REVOKED certificate cannot be set to {status.value}. Issue and register a new one. "
            f"Id: {present.certificate_id}"
        )
    if present.status is CertificateStatus.PENDING_TRANSFER:
        raise CertificateStateException(
            "The certificate is PENDING_TRANSFER. Cancel, accept or reject the transfer before you change its status. "
            f"Id: {present.certificate_id}"
        )
    if status is CertificateStatus.REVOKED:
        cancel_rotation_to(tx, present, now)
    changed = with_status(present, status, now)
    CertificateRows(tx).replace(changed)
    return changed


def with_status(certificate: Certificate, status: CertificateStatus, now: datetime) -> Certificate:
    """Return the certificate with another status, as its next version."""
    return replace(certificate, status=status, modified_at=now, customer_version=certificate.customer_version + 1)


def add_new(
    tx: Transaction,
    now: datetime,
    realm: Realm,
    certificate: X509Certificate,
    status: CertificateStatus,
    mode: CertificateMode,
    ca_certificate_id: str | None,
) -> Certificate:
    """Register a certificate that was checked. After its errors nothing is written, and ``tx`` remains usable.

    Raises:
        ResourceAlreadyExistsException: It is registered in the realm already.
        InvalidRequestException: The mode is DEFAULT, and another account of the region has it in that mode.
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
        CertificateRows(tx).add(registered, fingerprints_of(certificate))
    except AlreadyThere:
        raise _already_there(tx, realm, certificate.certificate_id) from None
    return registered


def add_signed_request(
    tx: Transaction, now: datetime, realm: Realm, signed: SignedRequest, status: CertificateStatus
) -> Certificate:
    """Register the result of ``Certificates.sign``.

    A certificate that a provider signed belongs to the registered CA whose key signed it, and has its mode; without a
    registered CA it is SNI_ONLY.

    Raises:
        InvalidRequestException: The provider's CA is INACTIVE; or as for ``add_new``.
        ResourceAlreadyExistsException: The provider returned a certificate that is registered already.
    """
    certificate, provider = signed.certificate, signed.provider
    if provider is None:
        return add_new(tx, now, realm, certificate, status, CertificateMode.DEFAULT, None)
    cas = issuers.candidates(tx, realm, certificate).signed
    active = [ca for ca in cas if ca.status is CACertificateStatus.ACTIVE]
    if cas and not active:
        raise InvalidRequestException(
            f"The certificate provider {provider.name} returned a certificate that was signed by an INACTIVE CA "
            f"certificate (certificateId={cas[0].certificate_id}). Activate it with UpdateCACertificate."
        )
    if active:
        return add_new(tx, now, realm, certificate, status, active[0].mode, active[0].certificate_id)
    return add_new(tx, now, realm, certificate, status, CertificateMode.SNI_ONLY, None)


def _certificate_for(
    provider: CertificateProvider, request: issue.SigningRequest, answer: str, now: datetime
) -> X509Certificate:
    """Return the certificate that a provider returned. Raises InvalidRequestException if it is not for the request."""
    whose = f"The certificate provider {provider.name} returned"
    try:
        certificate = X509Certificate.from_pem(answer)
    except PemError as error:
        raise InvalidRequestException(f"{whose} something other than one certificate: {error}") from None
    if certificate.key["spki"] != request.spki and certificate.public_key != loaded(request.spki):
        raise InvalidRequestException(
            f"{whose} a certificate ({certificate.subject_text}) whose public key is not that of the request."
        )
    if certificate.subject != names.canonical(request.subject):
        raise InvalidRequestException(
            f"{whose} a certificate with the subject {certificate.subject_text}; that of the request is "
            f"{names.shown(request.subject)}."
        )
    try:
        verify.check_device_certificate(certificate, now)
    except NotAcceptable as error:
        raise InvalidRequestException(f"{whose} a certificate that cannot be registered: {error}") from None
    return certificate


def _initial_status(status: CertificateStatus | None, *, set_as_active: bool) -> CertificateStatus:
    if status is None:
        return CertificateStatus.ACTIVE if set_as_active else CertificateStatus.INACTIVE
    if status not in _REGISTRABLE:
        raise CertificateStateException(f"Not allowed to register certificate with {status.value} status")
    return status


def _already_there(tx: Transaction, realm: Realm, certificate_id: str) -> ResourceAlreadyExistsException:
    present = existing(tx, realm, certificate_id)
    route = "without a CA" if present.ca_certificate_id is None else f"with the CA {present.ca_certificate_id}"
    # AWS IoT's message begins with these words, and tools compare them.
    return ResourceAlreadyExistsException(
        f"The certificate is already provisioned or registered (certificateId={certificate_id}, "
        f"status={present.status.value}, since {present.created_at:%Y-%m-%dT%H:%M:%SZ}, {route}).",
        resource_id=certificate_id,
        resource_arn=arn.certificate(realm, certificate_id),
    )


def _require_sole_holder(tx: Transaction, certificate: Certificate) -> None:
    """Refuse a certificate that another account of the region has in DEFAULT mode, where SNI is not needed."""
    realm = certificate.realm
    held = CertificateRows(tx).everywhere(certificate.certificate_id)
    if any(other.realm == realm for other in held):
        # The caller then reports that the realm has it already, which is the more helpful error.
        return
    if any(other.realm.region == realm.region and other.mode is CertificateMode.DEFAULT for other in held):
        # AWS IoT's message begins with these words, and tools compare them.
        raise InvalidRequestException(
            "This request is not valid: another account has the certificate in DEFAULT mode, which only one account of "
            "a region may. Register its CA with certificateMode SNI_ONLY, or the certificate with "
            "RegisterCertificateWithoutCA."
        )


def _require_idle(certificate: Certificate) -> None:
    if certificate.status is CertificateStatus.ACTIVE:
        raise CertificateStateException(
            f"Certificate must be deactivated (not ACTIVE) before deletion. Id: {certificate.certificate_id}"
        )
    if certificate.status is CertificateStatus.PENDING_TRANSFER:
        raise CertificateStateException(
            "The certificate is PENDING_TRANSFER. Cancel, accept or reject the transfer before you delete it. "
            f"Id: {certificate.certificate_id}"
        )


def _require_no_things(tx: Transaction, realm: Realm, principal: str) -> None:
    attached = AttachmentRows(tx).of_principal(realm, principal, Window(limit=_LISTED_ATTACHMENTS))
    if attached.items:
        names = pages.listed(attached, lambda each: each.thing_name)
        raise DeleteConflictException(
            f"Things must be detached before deletion (arn: {principal}). Attached: {names}. Detach each with "
            "DetachThingPrincipal."
        )


def _require_no_policies(tx: Transaction, realm: Realm, principal: str) -> None:
    attached = PolicyRows(tx).attached_to(realm, principal, Window(limit=_LISTED_ATTACHMENTS))
    if attached.items:
        names = pages.listed(attached, lambda each: each.name)
        raise DeleteConflictException(
            f"Certificate policies must be detached before deletion (arn: {principal}). Attached: {names}. Detach each "
            "with DetachPolicy, or all with forceDelete."
        )


def detach_policies(tx: Transaction, realm: Realm, principal: str) -> None:
    """Detach every policy of a principal."""
    while attached := PolicyRows(tx).attached_to(realm, principal, Window(limit=_PAGE_SIZE)).items:
        for policy in attached:
            PolicyRows(tx).detach(realm, policy.name, principal)


def cancel_rotation_to(tx: Transaction, certificate: Certificate, now: datetime) -> None:
    """Cancel the rotation that waits for a certificate to connect, since it cannot. The old certificate remains."""
    waiting = RotationRows(tx).awaiting(certificate.realm, certificate.certificate_id)
    if waiting is not None:
        RotationRows(tx).finish(replace(waiting, state=RotationState.CANCELLED, finished_at=now))


def detach_all(tx: Transaction, certificate: Certificate) -> None:
    """Detach a certificate from all its policies and things."""
    realm, principal = certificate.realm, arn.certificate(certificate.realm, certificate.certificate_id)
    detach_policies(tx, realm, principal)
    while attached := AttachmentRows(tx).of_principal(realm, principal, Window(limit=_PAGE_SIZE)).items:
        for each in attached:
            AttachmentRows(tx).remove(realm, each.thing_name, principal)


def remove_in(tx: Transaction, certificate: Certificate) -> None:
    """Remove a certificate and its attachments, within the caller's transaction."""
    detach_all(tx, certificate)
    CertificateRows(tx).remove(certificate.realm, certificate.certificate_id)


def existing(tx: Transaction, realm: Realm, certificate_id: str) -> Certificate:
    """Return the certificate. Raises ResourceNotFoundException."""
    certificate_id = ids.certificate_id(certificate_id)
    present = CertificateRows(tx).get(realm, certificate_id)
    if present is None:
        ca = CACertificateRows(tx).get(realm, certificate_id) is not None
        hint = " It is the id of a CA certificate." if ca else ""
        raise ResourceNotFoundException(
            f"There is no certificate {certificate_id} in account {realm.account_id} and region {realm.region}.{hint}"
        )
    return present
