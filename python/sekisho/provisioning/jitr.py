"""Just-in-time registration: registers an unregistered certificate when a device connects with it.

At CONNECT, an unregistered certificate is registered as PENDING_ACTIVATION if an ACTIVE CA with automatic registration
and without a provisioning template signed it. An event is published, and the connection is refused. A subscriber of the
event sets the certificate to ACTIVE and attaches a policy; then the device's next attempt works. Each attempt before
that publishes the event again.

The event of a registration is stored in the outbox until it is published. That of a later attempt is not, since the
next attempt publishes it again: a device that reconnects costs no write.

A CA with a provisioning template publishes no event: its template is applied (``provisioning.jitp``).

Handlers may be configured to be called with the event (``provisioning.registration_handlers``).

Source: Developer Guide, auto-register-device-cert.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from sekisho.admission.model import Identity
from sekisho.admission.rules import AdmissionRequest, read
from sekisho.ca_certificates.model import CACertificate
from sekisho.ca_certificates.store import CACertificateRows
from sekisho.certificates import fingerprints
from sekisho.certificates import rules as certificates
from sekisho.certificates.model import Certificate, CertificateStatus
from sekisho.certificates.store import CertificateRows
from sekisho.clock import Clock
from sekisho.errors import AwsException, ResourceAlreadyExistsException
from sekisho.observe.event_log import log
from sekisho.observe.events import LogEvent
from sekisho.pki import verify
from sekisho.pki.verify import NotAcceptable
from sekisho.provisioning.jitp import JustInTimeProvisioning, Key, not_valid_at
from sekisho.provisioning.outbox.model import Event
from sekisho.provisioning.outbox.rules import Outbox
from sekisho.provisioning.outbox.store import OutboxRows
from sekisho.provisioning.registration_handlers import RegistrationHandlers
from sekisho.provisioning.tokens.store import OwnershipTokenRows
from sekisho.refusal import RefusalReason, Refused
from sekisho.store.errors import StoreError
from sekisho.store.store import Store
from sekisho.store.transaction import Transaction


class ReadsRegistry(Protocol):
    """Answers admission requests without a write (``admission.rules.Admission``)."""

    def known(self, requests: Sequence[AdmissionRequest]) -> Sequence[Identity | None]: ...
    def answer(self, requests: Sequence[AdmissionRequest]) -> Sequence[Identity | CACertificate | Refused]: ...
    def registrar_in(self, tx: Transaction, request: AdmissionRequest) -> CACertificate | Refused: ...


class JustInTimeRegistration:
    """Answers admission requests, and registers certificates automatically."""

    def __init__(
        self,
        admission: ReadsRegistry,
        store: Store,
        clock: Clock,
        outbox: Outbox,
        provisioning: JustInTimeProvisioning,
        handlers: RegistrationHandlers | None = None,
    ) -> None:
        self._handlers = handlers
        self._provisioning = provisioning
        self._admission = admission
        self._store = store
        self._clock = clock
        self._outbox = outbox

    def known(self, requests: Sequence[AdmissionRequest]) -> Sequence[Identity | None]:
        """Return for each request the identity; None where ``answer`` has to be called.

        Writes nothing and examines no certificate, so registered certificates do not wait for unregistered ones.
        """
        return [
            None if found is not None and request.at_connect and _waits(found.certificate) else found
            for request, found in zip(requests, self._admission.known(requests), strict=True)
        ]

    def answer(self, requests: Sequence[AdmissionRequest]) -> Sequence[Identity | Refused]:
        """Return for each request the identity, or why the connection is refused.

        One write transaction does all registrations of a batch, each certificate once. If the store cannot be written,
        only the connections of certificates that would be registered are refused.
        """
        results = self._admission.answer(requests)
        new: dict[Key, tuple[AdmissionRequest, CACertificate]] = {}
        waiting: dict[Key, Certificate] = {}
        for request, result in zip(requests, results, strict=True):
            if not request.at_connect:
                continue
            if isinstance(result, CACertificate):
                new.setdefault((result.realm, request.certificate_id), (request, result))
            elif isinstance(result, Identity) and _waits(result.certificate):
                waiting[result.certificate.realm, request.certificate_id] = result.certificate
        not_registered = Refused(RefusalReason.DEVICE_CERTIFICATE_NOT_REGISTERED)
        connecting = self._without_owner(waiting)
        refusals = {**self._register(new), **self._provisioning.try_again(connecting.values())}
        now = self._clock()
        events = [
            (certificate, registered_event(certificate, now))
            for key, certificate in connecting.items()
            if key not in refusals
        ]
        for _, event in events:
            self._outbox.publish(event)
        if self._handlers is not None:
            self._handlers.reconnected(now, events)
        return [
            refusals.get((result.realm, request.certificate_id), not_registered)
            if isinstance(result, CACertificate)
            else refusals.get((result.certificate.realm, request.certificate_id), result)
            if isinstance(result, Identity) and request.at_connect
            else result
            for request, result in zip(requests, results, strict=True)
        ]

    def _without_owner(self, waiting: Mapping[Key, Certificate]) -> Mapping[Key, Certificate]:
        """Return the waiting certificates without an ownership token: fleet provisioning activates those with one.

        Certificates with a token have a CA if a certificate provider signed them.
        """
        if not waiting:
            return {}
        with self._store.read() as tx:
            return {key: each for key, each in waiting.items() if not OwnershipTokenRows(tx).exists_for(*key)}

    def _register(self, new: Mapping[Key, tuple[AdmissionRequest, CACertificate]]) -> Mapping[Key, Refused]:
        if not new:
            return {}
        try:
            with self._provisioning.writing() as tx:
                now = self._clock()
                cas = {(ca.realm, ca.certificate_id): ca for _, ca in new.values()}
                unchanged = {key for key, ca in cas.items() if CACertificateRows(tx).get(*key) == ca}
                refusals = {
                    key: self._register_one(
                        tx,
                        now,
                        request,
                        ca
                        # Its signature was verified already, and verifying is most of the cost of a registration.
                        if (ca.realm, ca.certificate_id) in unchanged
                        else self._admission.registrar_in(tx, request),
                    )
                    for key, (request, ca) in new.items()
                }
        except StoreError as failure:
            log.write(LogEvent.REGISTRATION_UNAVAILABLE, reason=str(failure), certificates=len(new))
            return dict.fromkeys(new, Refused(RefusalReason.CONTROL_PLANE_FAILED))
        if self._handlers is not None:
            self._handlers.committed()
        try:
            self._outbox.flush()
        except StoreError as failure:
            log.write(LogEvent.PUBLICATIONS_WAIT_FOR_STORE, reason=str(failure))
        return refusals

    def _register_one(
        self, tx: Transaction, now: datetime, request: AdmissionRequest, ca: CACertificate | Refused
    ) -> Refused:
        """Register the certificate of a request; return why its connection is refused."""
        if isinstance(ca, Refused):
            return ca
        certificate = read(request.leaf)
        if certificate is None:
            return Refused(RefusalReason.DEVICE_CERTIFICATE_UNREADABLE)
        whose = {
            "certificate_id": request.certificate_id,
            "ca_certificate_id": ca.certificate_id,
            "account_id": ca.realm.account_id,
            "region": ca.realm.region,
            "client_id": request.client_id,
        }
        try:
            verify.check_device_certificate(certificate, now)
            refused = fingerprints.refusal(tx, ca.realm, certificate)
            if refused is not None:
                log.write(LogEvent.CERTIFICATE_NOT_REGISTERED, reason=str(refused), **whose)
                return refused
            registered = certificates.add_new(
                tx, now, ca.realm, certificate, CertificateStatus.PENDING_ACTIVATION, ca.mode, ca.certificate_id
            )
        except ResourceAlreadyExistsException:
            # It was registered since the look-up. If an API request did so, the change is announced and the gateway
            # sends another admission request. If an earlier attempt of the device did so, it waits for activation.
            present = CertificateRows(tx).get(ca.realm, request.certificate_id)
            waits = present is not None and present.status is CertificateStatus.PENDING_ACTIVATION
            return Refused(
                RefusalReason.DEVICE_CERTIFICATE_PENDING_ACTIVATION
                if waits
                else RefusalReason.DEVICE_CERTIFICATE_NOT_REGISTERED
            )
        except (NotAcceptable, AwsException) as error:
            log.write(LogEvent.CERTIFICATE_NOT_REGISTERED, reason=str(error), **whose)
            return not_valid_at(now, certificate) or Refused(
                RefusalReason.REGISTRATION_REFUSED, f"Device certificate is not registered. {error}"
            )
        if ca.registration_config is not None:
            return self._provisioning.provision_in(tx, now, ca, registered)
        event = registered_event(registered, now)
        OutboxRows(tx).add(event)
        if self._handlers is not None:
            self._handlers.registered_in(tx, now, registered, event)
        return Refused(RefusalReason.DEVICE_CERTIFICATE_PENDING_ACTIVATION)


def registered_event(certificate: Certificate, now: datetime) -> Event:
    """Make the event that a certificate was registered and waits for activation.

    ``timestamp`` is in milliseconds. ``certificateRegistrationTimestamp`` is null, as in events of AWS IoT.
    """
    content = {
        "certificateId": certificate.certificate_id,
        "caCertificateId": certificate.ca_certificate_id,
        "timestamp": int(now.timestamp() * 1000),
        "certificateStatus": certificate.status.value,
        "awsAccountId": certificate.realm.account_id,
        "certificateRegistrationTimestamp": None,
    }
    return Event(
        realm=certificate.realm,
        topic=f"$aws/events/certificates/registered/{certificate.ca_certificate_id}",
        payload=json.dumps(content, separators=(",", ":")).encode(),
    )


def _waits(certificate: Certificate) -> bool:
    return certificate.status is CertificateStatus.PENDING_ACTIVATION and certificate.ca_certificate_id is not None
