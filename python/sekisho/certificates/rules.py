"""Device certificates: registered, issued, switched on and off, deleted.

A certificate is known by the SHA-256 of its DER. Registered with its CA it takes the CA's mode; registered without one
it is SNI_ONLY, and may be registered in any number of accounts. What the service issues is in DEFAULT mode. Where the
account has a certificate provider, that signs certificate signing requests in place of the service. Every change acts
on live connections at once.

Source: Developer Guide, x509-client-certs, manual-cert-registration, activate-or-deactivate-device-cert,
provisioning-cert-provider; the API Reference of each operation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from sekisho import arn, ids
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


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """What became of a certificate signing request; not registered yet (``add_signed_request``)."""

    certificate: X509Certificate
    provider: CertificateProvider | None
    """Who signed it; None: the service."""


Pending = Callable[[Transaction, Certificate], None]
"""Called with a new certificate that waits for activation, in the transaction that registers it."""


class Certificates:
    """Everything that is done to device certificates.

    Args:
        signer: Carries requests to certificate providers. Without one, none can be asked.
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
            status: ACTIVE, INACTIVE or REVOKED; counts before ``set_as_active``. INACTIVE where neither is given.

        Raises:
            CertificateValidationException: No certificate, one that AWS IoT does not take, or the CA did not sign it.
            CertificateStateException: Its CA is not registered, or INACTIVE; or the status is none to register with.
            CertificateConflictException: Several CA certificates may be meant.
            ResourceAlreadyExistsException: It is registered here already.
            InvalidRequestException: Its mode would be DEFAULT, and another account of the region holds it so.
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
        """Register a certificate with any issuer, itself included. INACTIVE where no status is given.

        Raises:
            CertificateValidationException: No certificate, or one that AWS IoT does not take.
            CertificateStateException: The status is none to register with.
            ResourceAlreadyExistsException: It is registered here already.
        """
        chosen = _initial_status(status, set_as_active=False)
        now = self._clock()
        certificate = acceptable(certificate_pem, now)
        with self._store.write() as tx:
            return add_without_ca(tx, now, realm, certificate, chosen)

    def create_keys_and_certificate(
        self, realm: Realm, *, set_as_active: bool = False, pending: Pending | None = None
    ) -> CreatedCertificate:
        """A new RSA-2048 key pair and a certificate for it, issued by the service.

        Args:
            pending: Makes it wait for activation instead.
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
        """A certificate for a certificate signing request, another one each time. Other args and errors as ``sign``.

        Args:
            pending: Makes it wait for activation instead.
        """
        signed = self.sign(realm, request_pem, principal_id=principal_id, client_id=client_id)
        return self._add_signed(realm, signed, pending, set_as_active=set_as_active)

    def sign(self, realm: Realm, request_pem: str, *, principal_id: str = "", client_id: str = "") -> SignedRequest:
        """Have a certificate signing request signed: by the account's certificate provider, else by the service.

        Nothing is registered. Not to be called within a transaction: a provider takes its time.

        Args:
            principal_id: Who asks, for the provider.
            client_id: The MQTT client id of who asks, for the provider; empty over HTTP.

        Raises:
            InvalidRequestException: No certificate signing request, or one that AWS IoT does not take; or the provider
                failed, or answered a certificate that does not fit the request or that AWS IoT does not take.
            ServiceUnavailableException: The provider may answer when it is asked again.
        """
        with self._store.read() as tx:
            provider = certificate_providers.provider_for(
                tx, realm, CertificateProviderOperation.CREATE_CERTIFICATE_FROM_CSR
            )
        if provider is None:
            return SignedRequest(issued_for(self._authority, request_pem, self._clock()), None)
        with _refusing_requests():
            request = issue.read_request(request_pem)
        answer = self._ask(realm, provider, request_pem, principal_id, client_id)
        return SignedRequest(_fitting(provider, request, answer, self._clock()), provider)

    def describe(self, realm: Realm, certificate_id: str) -> Certificate:
        """One certificate. Raises ResourceNotFoundException."""
        with self._store.read() as tx:
            return existing(tx, realm, certificate_id)

    def list(self, realm: Realm, window: Window) -> Slice[Certificate]:
        """Certificates of a realm."""
        with self._store.read() as tx:
            return CertificateRows(tx).page(realm, window)

    def list_by_ca(self, realm: Realm, ca_certificate_id: str, window: Window) -> Slice[Certificate]:
        """Certificates that were registered with a CA; none where the CA is not registered."""
        ca_certificate_id = ids.certificate_id(ca_certificate_id)
        with self._store.read() as tx:
            if CACertificateRows(tx).get(realm, ca_certificate_id) is None:
                return Slice((), None)
            return CertificateRows(tx).page_by_ca(realm, ca_certificate_id, window)

    def update(self, realm: Realm, certificate_id: str, status: CertificateStatus) -> None:
        """Set the status. The status it has already is no change. REVOKED is for good.

        Raises:
            ResourceNotFoundException: No such certificate.
            CertificateStateException: A status that is not set by hand, or the certificate is revoked or on its way
                to another account.
        """
        with self._store.write() as tx:
            update_in(tx, self._clock(), realm, certificate_id, status)

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
            CertificateRows(tx).remove(realm, present.certificate_id)

    def _ask(
        self, realm: Realm, provider: CertificateProvider, request_pem: str, principal_id: str, client_id: str
    ) -> str:
        if self._signer is None:
            raise InvalidRequestException(
                f"The certificate provider {provider.name} cannot be asked: this server calls no functions."
            )
        try:
            return self._signer.sign(realm, provider, request_pem, principal_id, client_id)
        except CsrNotSigned as error:
            message = f"The certificate provider {provider.name} signed nothing: {error}"
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
    """The certificate in a request. Raises CertificateValidationException: none, or one that AWS IoT does not take."""
    certificate = x509.given(certificate_pem, "certificatePem")
    try:
        verify.check_device_certificate(certificate, now)
    except NotAcceptable as error:
        raise CertificateValidationException(str(error)) from None
    return certificate


def issued_for(authority: IssuingAuthority, request_pem: str, now: datetime) -> X509Certificate:
    """A certificate for a certificate signing request; another one each time. It is not registered.

    Raises:
        InvalidRequestException: No certificate signing request, or one that AWS IoT does not take.
    """
    with _refusing_requests():
        return authority.issue_for_request(request_pem, now)


@contextmanager
def _refusing_requests() -> Iterator[None]:
    """What is wrong with a certificate signing request becomes InvalidRequestException."""
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
    """``Certificates.register`` within the caller's write transaction. Raises as that does, and writes nothing then.

    Args:
        named: ``issuers.named_ca`` of it, where the request names a CA.
    """
    if named is None:
        ca = issuers.the_issuer(tx, realm, certificate)
    else:
        ca = issuers.the_named_issuer(tx, realm, certificate, named)
    return add_new(tx, now, realm, certificate, status, ca.mode, ca.certificate_id)


def add_without_ca(
    tx: Transaction, now: datetime, realm: Realm, certificate: X509Certificate, status: CertificateStatus
) -> Certificate:
    """``Certificates.register_without_ca`` within the caller's write transaction. Raises as that does."""
    return add_new(tx, now, realm, certificate, status, CertificateMode.SNI_ONLY, None)


def add_issued(
    tx: Transaction, now: datetime, realm: Realm, certificate: X509Certificate, status: CertificateStatus
) -> Certificate:
    """Register what the service issued, within the caller's write transaction."""
    return add_new(tx, now, realm, certificate, status, CertificateMode.DEFAULT, None)


def update_in(
    tx: Transaction, now: datetime, realm: Realm, certificate_id: str, status: CertificateStatus
) -> Certificate:
    """``Certificates.update`` within the caller's write transaction; the certificate as it is then.

    Raises as that does, before anything is written.
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
            f"The certificate is REVOKED, which is for good; it cannot be set to {status.value}. Issue and "
            f"register a new one. Id: {present.certificate_id}"
        )
    if present.status is CertificateStatus.PENDING_TRANSFER:
        raise CertificateStateException(
            "The certificate is PENDING_TRANSFER: cancel, accept or reject the transfer before its status is "
            f"changed. Id: {present.certificate_id}"
        )
    if status is CertificateStatus.REVOKED:
        end_waiting(tx, present, now)
    changed = with_status(present, status, now)
    CertificateRows(tx).replace(changed)
    return changed


def with_status(certificate: Certificate, status: CertificateStatus, now: datetime) -> Certificate:
    """Return the certificate with another status, which counts as a new version of it."""
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
    """Register a certificate that was found acceptable. Where it raises, nothing was written and ``tx`` is usable.

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
        CertificateRows(tx).add(registered, fingerprints_of(certificate))
    except AlreadyThere:
        raise _already_there(tx, realm, certificate.certificate_id) from None
    return registered


def add_signed_request(
    tx: Transaction, now: datetime, realm: Realm, signed: SignedRequest, status: CertificateStatus
) -> Certificate:
    """Register what ``Certificates.sign`` gave.

    What a provider signed belongs to the registered CA whose key signed it, and has its mode; without one it is
    SNI_ONLY.

    Raises:
        InvalidRequestException: The provider's CA is INACTIVE; or as ``add_new``.
        ResourceAlreadyExistsException: The provider answered a certificate that is registered already.
    """
    certificate, provider = signed.certificate, signed.provider
    if provider is None:
        return add_new(tx, now, realm, certificate, status, CertificateMode.DEFAULT, None)
    cas = issuers.candidates(tx, realm, certificate).signed
    active = [ca for ca in cas if ca.status is CACertificateStatus.ACTIVE]
    if cas and not active:
        raise InvalidRequestException(
            f"The certificate provider {provider.name} answered a certificate signed by a CA certificate that is "
            f"INACTIVE (certificateId={cas[0].certificate_id}). Activate it with UpdateCACertificate."
        )
    if active:
        return add_new(tx, now, realm, certificate, status, active[0].mode, active[0].certificate_id)
    return add_new(tx, now, realm, certificate, status, CertificateMode.SNI_ONLY, None)


def _fitting(
    provider: CertificateProvider, request: issue.SigningRequest, answer: str, now: datetime
) -> X509Certificate:
    """The certificate that a provider answered, if it is for the request. Raises InvalidRequestException."""
    whose = f"The certificate provider {provider.name} answered"
    try:
        certificate = X509Certificate.from_pem(answer)
    except PemError as error:
        raise InvalidRequestException(f"{whose} something else than one certificate: {error}") from None
    if certificate.key["spki"] != request.spki and certificate.public_key != loaded(request.spki):
        raise InvalidRequestException(
            f"{whose} a certificate ({certificate.subject_text}) with another public key than that of the request."
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
    held = CertificateRows(tx).everywhere(certificate.certificate_id)
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
    attached = AttachmentRows(tx).of_principal(realm, principal, Window(limit=_LISTED))
    if attached.items:
        names = ", ".join(each.thing_name for each in attached.items)
        raise DeleteConflictException(
            f"Things must be detached before deletion (arn: {principal}). Attached: {names}"
            f"{' and more' if attached.next_after is not None else ''}. DetachThingPrincipal detaches one."
        )


def _require_no_policies(tx: Transaction, realm: Realm, principal: str) -> None:
    attached = PolicyRows(tx).attached_to(realm, principal, Window(limit=_LISTED))
    if attached.items:
        names = ", ".join(each.name for each in attached.items)
        raise DeleteConflictException(
            f"Certificate policies must be detached before deletion (arn: {principal}). Attached: {names}"
            f"{' and more' if attached.next_after is not None else ''}. DetachPolicy detaches one, forceDelete all."
        )


def detach_policies(tx: Transaction, realm: Realm, principal: str) -> None:
    """Detach every policy of a principal."""
    while attached := PolicyRows(tx).attached_to(realm, principal, Window(limit=_PAGE)).items:
        for policy in attached:
            PolicyRows(tx).detach(realm, policy.name, principal)


def end_waiting(tx: Transaction, certificate: Certificate, now: datetime) -> None:
    """This certificate will never connect again: a rotation that waits for it is cancelled, its old one stays."""
    waiting = RotationRows(tx).awaiting(certificate.realm, certificate.certificate_id)
    if waiting is not None:
        RotationRows(tx).finish(replace(waiting, state=RotationState.CANCELLED, finished_at=now))


def detach_all(tx: Transaction, certificate: Certificate) -> None:
    """Detach a certificate from all its policies and things."""
    realm, principal = certificate.realm, arn.certificate(certificate.realm, certificate.certificate_id)
    detach_policies(tx, realm, principal)
    while attached := AttachmentRows(tx).of_principal(realm, principal, Window(limit=_PAGE)).items:
        for each in attached:
            AttachmentRows(tx).remove(realm, each.thing_name, principal)


def remove_in(tx: Transaction, certificate: Certificate) -> None:
    """Remove a certificate whatever is attached to it, within the caller's transaction."""
    detach_all(tx, certificate)
    CertificateRows(tx).remove(certificate.realm, certificate.certificate_id)


def existing(tx: Transaction, realm: Realm, certificate_id: str) -> Certificate:
    """The certificate of this id. Raises ResourceNotFoundException."""
    certificate_id = ids.certificate_id(certificate_id)
    present = CertificateRows(tx).get(realm, certificate_id)
    if present is None:
        ca = CACertificateRows(tx).get(realm, certificate_id) is not None
        hint = " It is the id of a CA certificate." if ca else ""
        raise ResourceNotFoundException(
            f"There is no certificate {certificate_id} in account {realm.account_id} and region {realm.region}.{hint}"
        )
    return present
