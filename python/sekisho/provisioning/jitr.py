"""Just-in-time registration: a device that nobody registered connects, and is in the registry, waiting for activation.

At CONNECT an unknown certificate, signed by a registered, ACTIVE CA that registers automatically and has no
provisioning template, is registered as PENDING_ACTIVATION. Then an event is published, and the connection is refused:
whoever subscribes to the event sets the certificate to ACTIVE and attaches a policy, and the device's next attempt
works. Each attempt before that publishes the event again.

The event of a registration is kept in the outbox until it is published. That of a later attempt is not, since the
next attempt brings it again: a device that keeps knocking costs no write.

Where the CA has a provisioning template there is no event: the template is carried out (``provisioning.jitp``).

Handlers that are configured for it are called with the same event (``provisioning.registration_handlers``).

Source: Developer Guide, auto-register-device-cert.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

import structlog

from sekisho.errors import AwsException, ResourceAlreadyExistsException
from sekisho.pki import verify
from sekisho.pki.verify import NotAcceptable
from sekisho.provisioning.jitp import (
    CONTROL_PLANE_FAILED,
    DEVICE_CERTIFICATE_PENDING_ACTIVATION,
    JustInTimeProvisioning,
    Key,
    not_valid_at,
)
from sekisho.provisioning.outbox import Outbox
from sekisho.provisioning.registration_handlers import RegistrationHandlers
from sekisho.registry import certificates, fingerprints
from sekisho.registry.admission import (
    DEVICE_CERTIFICATE_NOT_REGISTERED,
    DEVICE_CERTIFICATE_UNREADABLE,
    REGISTRATION_REFUSED,
    Ticket,
    read,
)
from sekisho.registry.model import CACertificate, Certificate, CertificateStatus, Event, Identity
from sekisho.registry.ports import Clock, Store, StoreFailure, Transaction

log = structlog.get_logger(__name__)


class Admits(Protocol):
    """The registry's word, which changes nothing (``registry.admission.Admission``)."""

    def known(self, tickets: Sequence[Ticket]) -> Sequence[Identity | None]: ...
    def answer(self, tickets: Sequence[Ticket]) -> Sequence[Identity | CACertificate | str]: ...
    def registrar_in(self, tx: Transaction, ticket: Ticket) -> CACertificate | str: ...


class JustInTimeRegistration:
    """Answers the gate's questions, and registers what registers automatically."""

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

    def known(self, tickets: Sequence[Ticket]) -> Sequence[Identity | None]:
        """The identities of those about whom there is nothing to do; None for any other, who is for ``answer``.

        It writes nothing and examines nothing, so that those who are registered never wait for those who are not.
        """
        return [
            None if found is not None and ticket.at_connect and _waits(found.certificate) else found
            for ticket, found in zip(tickets, self._admission.known(tickets), strict=True)
        ]

    def answer(self, tickets: Sequence[Ticket]) -> Sequence[Identity | str]:
        """For each ticket an identity, or the name of the reason why the connection is refused.

        All registrations of a batch are one write transaction, and each certificate is registered and told of once. A
        store that cannot be written to costs only those that would be registered the connection.
        """
        verdicts = self._admission.answer(tickets)
        new: dict[Key, tuple[Ticket, CACertificate]] = {}
        waiting: dict[Key, Certificate] = {}
        for ticket, verdict in zip(tickets, verdicts, strict=True):
            if not ticket.at_connect:
                continue
            if isinstance(verdict, CACertificate):
                new.setdefault((verdict.realm, ticket.certificate_id), (ticket, verdict))
            elif isinstance(verdict, Identity) and _waits(verdict.certificate):
                waiting[verdict.certificate.realm, ticket.certificate_id] = verdict.certificate
        knocking = self._without_owner(waiting)
        reasons = {**self._register(new), **self._provisioning.try_again(knocking.values())}
        now = self._clock()
        events = [
            (certificate, registered_event(certificate, now))
            for key, certificate in knocking.items()
            if key not in reasons
        ]
        for _, event in events:
            self._outbox.publish(event)
        if self._handlers is not None:
            self._handlers.knocked(now, events)
        return [
            reasons.get((verdict.realm, ticket.certificate_id), DEVICE_CERTIFICATE_NOT_REGISTERED)
            if isinstance(verdict, CACertificate)
            else reasons.get((verdict.certificate.realm, ticket.certificate_id), verdict)
            if isinstance(verdict, Identity) and ticket.at_connect
            else verdict
            for ticket, verdict in zip(tickets, verdicts, strict=True)
        ]

    def _without_owner(self, waiting: Mapping[Key, Certificate]) -> Mapping[Key, Certificate]:
        """Those that wait for somebody, and not for a device that provisions with them (``provisioning.fleet``).

        A certificate provider may have the CA that registers automatically.
        """
        if not waiting:
            return {}
        with self._store.read() as tx:
            return {key: each for key, each in waiting.items() if not tx.ownership_tokens.exists_for(*key)}

    def _register(self, new: Mapping[Key, tuple[Ticket, CACertificate]]) -> Mapping[Key, str]:
        if not new:
            return {}
        try:
            with self._provisioning.writing() as tx:
                now = self._clock()
                cas = {(ca.realm, ca.certificate_id): ca for _, ca in new.values()}
                unchanged = {place for place, ca in cas.items() if tx.ca_certificates.get(*place) == ca}
                reasons = {
                    key: self._register_one(
                        tx,
                        now,
                        ticket,
                        ca
                        # It was found to have signed this certificate; to verify that again costs most of a storm.
                        if (ca.realm, ca.certificate_id) in unchanged
                        else self._admission.registrar_in(tx, ticket),
                    )
                    for key, (ticket, ca) in new.items()
                }
        except StoreFailure as failure:
            log.error("certificates cannot be registered", reason=str(failure), certificates=len(new))
            return dict.fromkeys(new, CONTROL_PLANE_FAILED)
        if self._handlers is not None:
            self._handlers.committed()
        try:
            self._outbox.flush()
        except StoreFailure as failure:
            log.error("events wait to be published", reason=str(failure))
        return reasons

    def _register_one(self, tx: Transaction, now: datetime, ticket: Ticket, ca: CACertificate | str) -> str:
        """Register the certificate of a ticket, if that is still to be done; why its connection is refused."""
        if isinstance(ca, str):
            return ca
        certificate = read(ticket.leaf)
        if certificate is None:
            return DEVICE_CERTIFICATE_UNREADABLE
        whose = {
            "certificate_id": ticket.certificate_id,
            "ca_certificate_id": ca.certificate_id,
            "account_id": ca.realm.account_id,
            "region": ca.realm.region,
            "client_id": ticket.client_id,
        }
        try:
            verify.check_device_certificate(certificate, now)
            refusal = fingerprints.refusal(tx, ca.realm, certificate)
            if refusal is not None:
                log.warning("a certificate was not registered automatically", reason=refusal, **whose)
                return refusal
            registered = certificates.add_new(
                tx, now, ca.realm, certificate, CertificateStatus.PENDING_ACTIVATION, ca.mode, ca.certificate_id
            )
        except ResourceAlreadyExistsException:
            # Someone registered it since it was looked up; told of that, the gate asks again. Or this very device has:
            # it lost patience with its first attempt, and tries once more.
            present = tx.certificates.get(ca.realm, ticket.certificate_id)
            waits = present is not None and present.status is CertificateStatus.PENDING_ACTIVATION
            return DEVICE_CERTIFICATE_PENDING_ACTIVATION if waits else DEVICE_CERTIFICATE_NOT_REGISTERED
        except (NotAcceptable, AwsException) as error:
            log.warning("a certificate was not registered automatically", reason=str(error), **whose)
            return (
                not_valid_at(now, certificate)
                or f"{REGISTRATION_REFUSED}: Device certificate is not registered. {error}"
            )
        if ca.registration_config is not None:
            return self._provisioning.provision_in(tx, now, ca, registered)
        event = registered_event(registered, now)
        tx.outbox.add(event)
        if self._handlers is not None:
            self._handlers.registered_in(tx, now, registered, event)
        return DEVICE_CERTIFICATE_PENDING_ACTIVATION


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
