"""Just-in-time registration: an unregistered device connects, and is then in the registry, waiting for activation.

At CONNECT an unknown certificate, signed by a registered, ACTIVE CA that registers automatically and has no
provisioning template, is registered as PENDING_ACTIVATION. Then an event is published, and the connection is refused:
a subscriber of the event sets the certificate to ACTIVE and attaches a policy, and the device's next attempt
works. Each attempt before that publishes the event again.

The event of a registration is kept in the outbox until it is published. That of a later attempt is not, since the
next attempt brings it again: a device that keeps trying costs no write.

Where the CA has a provisioning template there is no event: the template is carried out (``provisioning.jitp``).

Handlers that are configured for it are called with the same event (``provisioning.registration_handlers``).

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


class Admits(Protocol):
    """Answers from the registry, and changes nothing (``registry.admission.Admission``)."""

    def known(self, requests: Sequence[AdmissionRequest]) -> Sequence[Identity | None]: ...
    def answer(self, requests: Sequence[AdmissionRequest]) -> Sequence[Identity | CACertificate | Refused]: ...
    def registrar_in(self, tx: Transaction, request: AdmissionRequest) -> CACertificate | Refused: ...


class JustInTimeRegistration:
    """Answers admission requests, and registers the certificates that register automatically."""

    def __init__(
        self,
        admission: Admits,
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
        """For each request the identity, where there is nothing to register; None where ``answer`` is to be called.

        Writes nothing and examines nothing, so registered certificates never wait for those that are not.
        """
        return [
            None if found is not None and request.at_connect and _waits(found.certificate) else found
            for request, found in zip(requests, self._admission.known(requests), strict=True)
        ]

    def answer(self, requests: Sequence[AdmissionRequest]) -> Sequence[Identity | Refused]:
        """For each request an identity, or why the connection is refused.

        All registrations of a batch are one write transaction, and each certificate is registered and announced once.
        Where the store cannot be written to, only those that would be registered are refused.
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
        """Those that wait for somebody, and not for a device that provisions with them (``provisioning.fleet``).

        A certificate provider may have the CA that registers automatically.
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
                unchanged = {place for place, ca in cas.items() if CACertificateRows(tx).get(*place) == ca}
                refusals = {
                    key: self._register_one(
                        tx,
                        now,
                        request,
                        ca
                        # It was found to have signed this certificate; to verify that again costs most of a storm.
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
        """Register the certificate of a request, if that is still to be done; why its connection is refused."""
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
            # It was registered since it was looked up. Where a request to the API did so, the gateway knows of that
            # change and asks again. Where an earlier attempt of this device did, the device waits for activation.
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
    """The event that a certificate was registered and waits for activation.

    ``timestamp`` is in milliseconds; ``certificateRegistrationTimestamp`` is null, as AWS IoT is seen to send it.
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
