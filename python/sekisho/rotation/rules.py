"""Rotation: a certificate replaces another, while the device has a working certificate at all times.

First the new certificate is set to ACTIVE, and attached to all policies and things of the old one. Both work until the
new one has connected; then the old one is set to INACTIVE and the rotation to DONE, in one transaction. A device that
never gets its new certificate keeps its old one.

Other requests may change the certificates of a pending rotation:

- The old one is set to INACTIVE, revoked, transferred or deleted: the rotation remains PENDING until the new one
  connects, and does not change the old one.
- The new one is revoked, deleted, or accepted by another account: it cannot connect again, so the rotation is CANCELLED
  (``certificates.rules.cancel_rotation_to``), and the old one is not changed.
- The new one is set to INACTIVE: the rotation remains PENDING until it is ACTIVE again and connects.

AWS IoT has no rotations: its users do these steps (Developer Guide, manage-certs, "rotating certificates").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from sekisho import arn, ids
from sekisho.ca_certificates import issuers
from sekisho.ca_certificates.model import CACertificate, CACertificateStatus
from sekisho.certificates import rules as certificates
from sekisho.certificates import x509
from sekisho.certificates.model import Certificate, CertificateMode, CertificateStatus
from sekisho.certificates.store import CertificateRows
from sekisho.clock import Clock
from sekisho.errors import (
    CertificateConflictException,
    CertificateStateException,
    CertificateValidationException,
    ConflictException,
    InvalidRequestException,
    ResourceNotFoundException,
)
from sekisho.observe.event_log import log
from sekisho.observe.events import LogEvent
from sekisho.pages import Slice, Window
from sekisho.pki import verify
from sekisho.pki.certificate import X509Certificate
from sekisho.pki.verify import NotAcceptable
from sekisho.policies import rules as policies
from sekisho.policies.store import PolicyRows
from sekisho.principals.store import AttachmentRows
from sekisho.realm import Realm
from sekisho.rotation.model import Rotation, RotationState
from sekisho.rotation.store import RotationRows
from sekisho.store.store import Store
from sekisho.store.transaction import Transaction
from sekisho.things import rules as things

_PAGE_SIZE: Final = 250


@dataclass(frozen=True, slots=True)
class Progress:
    """The number of rotations in each state."""

    pending: int
    done: int
    cancelled: int


class Rotations:
    """Begins, finishes, cancels and lists rotations."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def begin(
        self,
        realm: Realm,
        old_certificate_id: str,
        new_certificate_pem: str,
        *,
        ca_certificate_pem: str | None = None,
    ) -> Rotation:
        """Begin a rotation: register the new certificate as ACTIVE, and attach it like the old one.

        The new certificate is registered with the CA that signed it if that is registered and ACTIVE, else without a
        CA. If it is registered already, it is set to ACTIVE. If a rotation of the same two certificates is pending or
        done, that is returned and nothing changes.

        Args:
            ca_certificate_pem: Which CA; needed only where one key has several registered CA certificates.

        Raises:
            ResourceNotFoundException: The old certificate is not registered.
            InvalidRequestException: Both are the same, or the new one cannot be attached to the old one's things.
            CertificateStateException: The old one is not ACTIVE; the new one is registered and neither ACTIVE nor
                INACTIVE; or the named CA is not registered, or INACTIVE.
            CertificateValidationException: The new one is not a certificate that AWS IoT accepts, or the CA did not
                sign it.
            CertificateConflictException: Several registered CA certificates have the key that signed it.
            ConflictException: One of the two is part of another pending rotation.
            LimitExceededException: The new one would have more policies than a target may have.
        """
        new = x509.from_request(new_certificate_pem, "newCertificatePem")
        ca = issuers.named_ca(new, ca_certificate_pem) if ca_certificate_pem else None
        with self._store.write() as tx:
            now = self._clock()
            old = certificates.existing(tx, realm, old_certificate_id)
            present = _present(tx, old, new)
            if present is not None:
                return present
            _require_no_other(tx, old, new)
            _require_active(old)
            registered = self._registered(tx, now, realm, new, ca)
            _attach_like(tx, old, registered)
            rotation = Rotation(
                realm=realm,
                old_certificate_id=old.certificate_id,
                new_certificate_id=registered.certificate_id,
                ca_certificate_id=old.ca_certificate_id,
                started_at=now,
            )
            RotationRows(tx).add(rotation)
            return rotation

    def connected(self, connected: Sequence[tuple[Realm, str]]) -> None:
        """Finish the rotations whose new certificates have connected: set the old ones to INACTIVE.

        Without effect for certificates without a pending rotation, and for new certificates that are no longer ACTIVE:
        the old one has to work until the new one does.
        """
        if not connected:
            return
        with self._store.write() as tx:
            now = self._clock()
            done = [
                rotation
                for realm, certificate_id in dict.fromkeys(connected)
                if (rotation := _finish(tx, now, realm, certificate_id)) is not None
            ]
        for rotation in done:
            log.write(
                LogEvent.CERTIFICATE_ROTATED,
                account_id=rotation.realm.account_id,
                region=rotation.realm.region,
                old_certificate_id=rotation.old_certificate_id,
                new_certificate_id=rotation.new_certificate_id,
            )

    def cancel(self, realm: Realm, old_certificate_id: str) -> Rotation:
        """Cancel a pending rotation: detach the new certificate from its policies and things, and set it to INACTIVE.

        If the old one is no longer ACTIVE, the new one is not changed: it is the only one that works.

        Raises:
            ResourceNotFoundException: No rotation of this old certificate is pending.
        """
        old_certificate_id = ids.certificate_id(old_certificate_id)
        with self._store.write() as tx:
            now = self._clock()
            pending = RotationRows(tx).latest(realm, old_certificate_id)
            if pending is None or pending.state is not RotationState.PENDING:
                raise _not_pending(realm, old_certificate_id, pending)
            old = CertificateRows(tx).get(realm, old_certificate_id)
            new = CertificateRows(tx).get(realm, pending.new_certificate_id)
            if new is not None and old is not None and old.status is CertificateStatus.ACTIVE:
                certificates.detach_all(tx, new)
                if new.status is CertificateStatus.ACTIVE:
                    CertificateRows(tx).replace(certificates.with_status(new, CertificateStatus.INACTIVE, now))
            cancelled = replace(pending, state=RotationState.CANCELLED, finished_at=now)
            RotationRows(tx).finish(cancelled)
            return cancelled

    def list(
        self,
        realm: Realm,
        window: Window,
        state: RotationState = RotationState.PENDING,
        ca_certificate_id: str | None = None,
    ) -> Slice[Rotation]:
        """Return the rotations in a state, oldest first.

        Args:
            ca_certificate_id: Return only those whose old certificate was registered with this CA.
        """
        ca_certificate_id = None if ca_certificate_id is None else ids.certificate_id(ca_certificate_id)
        with self._store.read() as tx:
            return RotationRows(tx).page(realm, window, state, ca_certificate_id=ca_certificate_id)

    def progress(self, realm: Realm, ca_certificate_id: str | None = None) -> Progress:
        """Return the number of rotations in each state: of the realm, or of the certificates of one CA."""
        ca_certificate_id = None if ca_certificate_id is None else ids.certificate_id(ca_certificate_id)
        with self._store.read() as tx:
            pending, done, cancelled = (
                RotationRows(tx).count(realm, state, ca_certificate_id=ca_certificate_id)
                for state in (RotationState.PENDING, RotationState.DONE, RotationState.CANCELLED)
            )
        return Progress(pending, done, cancelled)

    def _registered(
        self, tx: Transaction, now: datetime, realm: Realm, new: X509Certificate, named: issuers.NamedCA | None
    ) -> Certificate:
        """Return the new certificate, registered and ACTIVE."""
        try:
            verify.check_device_certificate(new, now)
        except NotAcceptable as error:
            raise CertificateValidationException(str(error)) from None
        present = CertificateRows(tx).get(realm, new.certificate_id)
        if present is None:
            ca = _issuer(tx, realm, new, named)
            mode = CertificateMode.SNI_ONLY if ca is None else ca.mode
            ca_certificate_id = None if ca is None else ca.certificate_id
            return certificates.add_new(tx, now, realm, new, CertificateStatus.ACTIVE, mode, ca_certificate_id)
        if present.status is CertificateStatus.ACTIVE:
            return present
        if present.status is not CertificateStatus.INACTIVE:
            raise CertificateStateException(
                f"The new certificate is registered and {present.status.value}; it has to be ACTIVE or INACTIVE. Issue "
                f"another one. Id: {present.certificate_id}"
            )
        activated = certificates.with_status(present, CertificateStatus.ACTIVE, now)
        CertificateRows(tx).replace(activated)
        return activated


def _present(tx: Transaction, old: Certificate, new: X509Certificate) -> Rotation | None:
    """Return the pending or done rotation of these two; None where it is done and the old one is ACTIVE again."""
    latest = RotationRows(tx).latest(old.realm, old.certificate_id)
    if latest is None or latest.new_certificate_id != new.certificate_id:
        return None
    if latest.state is RotationState.PENDING:
        return latest
    return latest if latest.state is RotationState.DONE and old.status is not CertificateStatus.ACTIVE else None


def _require_no_other(tx: Transaction, old: Certificate, new: X509Certificate) -> None:
    """Refuse certificates of another pending rotation, which could deactivate one that this rotation relies on."""
    realm = old.realm
    if old.certificate_id == new.certificate_id:
        raise InvalidRequestException(
            f"The new certificate is the old one ({old.certificate_id}). Issue a new certificate for the device."
        )
    for found in (
        _pending(RotationRows(tx).latest(realm, old.certificate_id)),
        RotationRows(tx).awaiting(realm, old.certificate_id),
        _pending(RotationRows(tx).latest(realm, new.certificate_id)),
        RotationRows(tx).awaiting(realm, new.certificate_id),
    ):
        if found is not None:
            raise ConflictException(
                f"Another rotation is pending since {found.started_at:%Y-%m-%dT%H:%M:%SZ}, from certificate "
                f"{found.old_certificate_id} to {found.new_certificate_id}. Wait until its new certificate has "
                "connected, or cancel it first.",
                resource_id=found.old_certificate_id,
            )


def _pending(rotation: Rotation | None) -> Rotation | None:
    return rotation if rotation is not None and rotation.state is RotationState.PENDING else None


def _require_active(old: Certificate) -> None:
    if old.status is not CertificateStatus.ACTIVE:
        raise CertificateStateException(
            f"The old certificate is {old.status.value}; only an ACTIVE certificate can be rotated. Register the new "
            f"one with RegisterCertificate. Id: {old.certificate_id}"
        )


def _issuer(tx: Transaction, realm: Realm, new: X509Certificate, named: issuers.NamedCA | None) -> CACertificate | None:
    if named is not None:
        return issuers.the_named_issuer(tx, realm, new, named)
    signed = issuers.candidates(tx, realm, new).signed
    active = [ca for ca in signed if ca.status is CACertificateStatus.ACTIVE]
    if len(active) > 1:
        listed = ", ".join(ca.certificate_id for ca in active)
        raise CertificateConflictException(
            "Several registered CA certificates have the issuer's name and the key that signed the new certificate. "
            f"Say which one is meant with caCertificatePem: {listed}."
        )
    return active[0] if active else None


def _attach_like(tx: Transaction, old: Certificate, new: Certificate) -> None:
    """Attach the new certificate to the policies and things of the old one."""
    realm = old.realm
    old_principal, new_principal = (arn.certificate(realm, each.certificate_id) for each in (old, new))
    after: int | None = None
    while True:
        policies_of_old = PolicyRows(tx).attached_to(realm, old_principal, Window(limit=_PAGE_SIZE, after=after))
        for policy in policies_of_old.items:
            policies.attach_in(tx, realm, policy.name, new_principal)
        after = policies_of_old.next_after
        if after is None:
            break
    while True:
        things_of_old = AttachmentRows(tx).of_principal(realm, old_principal, Window(limit=_PAGE_SIZE, after=after))
        for attachment in things_of_old.items:
            things.attach_principal_in(tx, realm, attachment.thing_name, new_principal, attachment.type)
        after = things_of_old.next_after
        if after is None:
            break


def _finish(tx: Transaction, now: datetime, realm: Realm, certificate_id: str) -> Rotation | None:
    rotation = RotationRows(tx).awaiting(realm, certificate_id)
    new = CertificateRows(tx).get(realm, certificate_id)
    if rotation is None or new is None or new.status is not CertificateStatus.ACTIVE:
        return None
    old = CertificateRows(tx).get(realm, rotation.old_certificate_id)
    if old is not None and old.status is CertificateStatus.ACTIVE:
        CertificateRows(tx).replace(certificates.with_status(old, CertificateStatus.INACTIVE, now))
    done = replace(rotation, state=RotationState.DONE, finished_at=now)
    RotationRows(tx).finish(done)
    return done


def _not_pending(realm: Realm, old_certificate_id: str, latest: Rotation | None) -> ResourceNotFoundException:
    message = (
        f"No rotation of certificate {old_certificate_id} is pending in account {realm.account_id} and region "
        f"{realm.region}."
    )
    if latest is not None and latest.finished_at is not None:
        message += f" The last one is {latest.state.value} since {latest.finished_at:%Y-%m-%dT%H:%M:%SZ}."
    return ResourceNotFoundException(message)
