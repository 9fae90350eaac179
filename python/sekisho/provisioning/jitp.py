"""Just-in-time provisioning: applies the template of a CA to a certificate that is registered at its first CONNECT.

The certificate is registered as PENDING_ACTIVATION. In the same transaction the template creates its thing and policy,
attaches them and activates the certificate. If the template fails, none of this is done and the certificate remains
PENDING_ACTIVATION. In both cases the connection is refused, as on AWS. Each further attempt of a device that was not
provisioned applies the template again, at most once in ``RETRY_INTERVAL`` for a certificate. A CA with a template
publishes no registration events, even while the CA cannot provision.

Source: Developer Guide, jit-provisioning.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from sekisho.ca_certificates.model import AutoRegistrationStatus, CACertificate, CACertificateStatus, RegistrationConfig
from sekisho.ca_certificates.store import CACertificateRows
from sekisho.certificates.model import Certificate, CertificateStatus
from sekisho.certificates.store import CertificateRows
from sekisho.clock import Clock
from sekisho.observe.event_log import log
from sekisho.observe.events import LogEvent
from sekisho.pki.certificate import X509Certificate
from sekisho.pki.issuing import IssuingAuthority
from sekisho.policies.engine import PolicyEngine
from sekisho.provisioning.provisioner import Provisioned, ProvisioningError, provision
from sekisho.provisioning.templates.store import ProvisioningTemplateRows
from sekisho.realm import Realm
from sekisho.refusal import RefusalReason, Refused
from sekisho.store.errors import StoreError
from sekisho.store.store import Store
from sekisho.store.transaction import Transaction
from sekisho.templates.error import TemplateError
from sekisho.templates.subject import certificate_parameters
from sekisho.templates.template import Template, parse
from sekisho.templates.use import Use

RETRY_INTERVAL: Final = timedelta(seconds=5)
"""The time between two attempts to provision a certificate. Connections in between get the last reason."""

MAX_FAILURES: Final = 10_000
"""Certificates whose last failure is kept."""

Key = tuple[Realm, str]
"""The realm and the id of a certificate."""


@dataclass(frozen=True, slots=True)
class _Failure:
    refused: Refused
    at: datetime


class JustInTimeProvisioning:
    """Applies the templates of CA certificates. Only the pump's thread for registrations may call it."""

    def __init__(self, store: Store, clock: Clock, engine: PolicyEngine, authority: IssuingAuthority) -> None:
        self._store = store
        self._clock = clock
        self._engine = engine
        self._authority = authority
        self._failures: OrderedDict[Key, _Failure] = OrderedDict()
        self._done: list[dict[str, str | None]] = []

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        """Begin a write transaction for ``provision_in``. Devices are logged as provisioned once it is committed."""
        self._done = []
        with self._store.write() as tx:
            yield tx
        for facts in self._done:
            log.write(LogEvent.DEVICE_PROVISIONED, **facts)

    def provision_in(self, tx: Transaction, now: datetime, ca: CACertificate, certificate: Certificate) -> Refused:
        """Apply the CA's template to a certificate that is PENDING_ACTIVATION, in a transaction of ``writing``.

        Returns:
            Why the connection is refused: the device was provisioned, or what failed. A template that fails changes
            nothing.
        """
        key = (certificate.realm, certificate.certificate_id)
        whose = {
            "certificate_id": certificate.certificate_id,
            "ca_certificate_id": ca.certificate_id,
            "account_id": certificate.realm.account_id,
            "region": certificate.realm.region,
        }
        try:
            with tx.savepoint():
                done = self._apply(tx, now, ca, certificate)
        except (TemplateError, ProvisioningError) as error:
            refused = Refused(RefusalReason.PROVISIONING_FAILED, str(error))
            log.write(LogEvent.DEVICE_NOT_PROVISIONED, reason=str(error), **whose)
            self._remember(key, _Failure(refused, now))
            return refused
        self._failures.pop(key, None)
        self._done.append({"thing_name": done.thing_name, **whose})
        is_active = done.certificate is not None and done.certificate.status is CertificateStatus.ACTIVE
        return Refused(
            RefusalReason.DEVICE_CERTIFICATE_PROVISIONED if is_active else RefusalReason.DEVICE_CERTIFICATE_INACTIVE
        )

    def try_again(self, certificates: Iterable[Certificate]) -> Mapping[Key, Refused]:
        """Provision certificates that are PENDING_ACTIVATION and connect again.

        Returns:
            Why the connections are refused, without certificates whose CA has no template.
        """
        waiting = {(each.realm, each.certificate_id): each for each in certificates}
        if not waiting:
            return {}
        now = self._clock()
        try:
            with self._store.read() as tx:
                cas = {
                    of_ca: _ca_with_template(tx, *of_ca)
                    for of_ca in {(each.realm, each.ca_certificate_id or "") for each in waiting.values()}
                }
        except StoreError as failure:
            log.write(LogEvent.PROVISIONING_UNAVAILABLE, reason=str(failure), certificates=len(waiting))
            return dict.fromkeys(waiting, Refused(RefusalReason.CONTROL_PLANE_FAILED))
        refusals: dict[Key, Refused] = {}
        due: list[Key] = []
        for key, certificate in waiting.items():
            ca = cas[certificate.realm, certificate.ca_certificate_id or ""]
            if ca is None:
                continue
            refused = _why_not(ca, certificate, now) or self._last_refusal(key, now)
            if refused is None:
                due.append(key)
            else:
                refusals[key] = refused
        if due:
            try:
                with self.writing() as tx:
                    refusals |= {key: self._again(tx, now, key) for key in due}
            except StoreError as failure:
                log.write(LogEvent.PROVISIONING_UNAVAILABLE, reason=str(failure), certificates=len(due))
                refusals |= dict.fromkeys(due, Refused(RefusalReason.CONTROL_PLANE_FAILED))
        return refusals

    def _last_refusal(self, key: Key, now: datetime) -> Refused | None:
        """Return the refusal of the last attempt, if that is more recent than ``RETRY_INTERVAL``."""
        failure = self._failures.get(key)
        # If the clock was set back, the attempt may be in the future, which must not block the device.
        return failure.refused if failure is not None and timedelta() <= now - failure.at < RETRY_INTERVAL else None

    def _again(self, tx: Transaction, now: datetime, key: Key) -> Refused:
        # Another request may have activated or deleted it, or changed the CA, since the look-up.
        certificate = CertificateRows(tx).get(*key)
        if certificate is None or certificate.status is not CertificateStatus.PENDING_ACTIVATION:
            # The change is announced, so the gateway sends another admission request.
            return Refused(RefusalReason.DEVICE_CERTIFICATE_NOT_REGISTERED)
        ca = _ca_with_template(tx, certificate.realm, certificate.ca_certificate_id or "")
        if ca is None:
            return Refused(RefusalReason.DEVICE_CERTIFICATE_PENDING_ACTIVATION)
        return _why_not(ca, certificate, now) or self.provision_in(tx, now, ca, certificate)

    def _apply(self, tx: Transaction, now: datetime, ca: CACertificate, certificate: Certificate) -> Provisioned:
        template = _template(tx, ca)
        parameters = certificate_parameters(X509Certificate.from_pem(certificate.certificate_pem))
        resources = template.resolve(parameters, from_device=parameters.keys())
        if resources.certificate is None:
            raise TemplateError(
                "the template has no AWS::IoT::Certificate, so the certificate would never be activated. Add one with "
                '"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}.'
            )
        return provision(
            tx,
            certificate.realm,
            now,
            resources,
            certificate=certificate,
            engine=self._engine,
            authority=self._authority,
        )

    def _remember(self, key: Key, failure: _Failure) -> None:
        self._failures[key] = failure
        self._failures.move_to_end(key)
        if len(self._failures) > MAX_FAILURES:
            self._failures.popitem(last=False)


def _ca_with_template(tx: Transaction, realm: Realm, ca_certificate_id: str) -> CACertificate | None:
    """Return the CA certificate if it has a template, else None."""
    ca = CACertificateRows(tx).get(realm, ca_certificate_id)
    return None if ca is None or ca.registration_config is None else ca


def not_valid_at(now: datetime, certificate: Certificate | X509Certificate) -> Refused | None:
    """Return the refusal of a certificate that is not valid at ``now``; None where it is valid."""
    if now < certificate.not_before:
        return Refused(RefusalReason.DEVICE_CERTIFICATE_NOT_YET_VALID)
    if now > certificate.not_after:
        return Refused(RefusalReason.DEVICE_CERTIFICATE_EXPIRED)
    return None


def _why_not(ca: CACertificate, certificate: Certificate, now: datetime) -> Refused | None:
    """Return why a PENDING_ACTIVATION certificate cannot be provisioned, apart from the template; None where it can."""
    not_valid = not_valid_at(now, certificate)
    if not_valid is not None:
        return not_valid
    if ca.status is not CACertificateStatus.ACTIVE:
        why = f"is {ca.status.value}"
    elif ca.auto_registration_status is not AutoRegistrationStatus.ENABLE:
        why = "does not register automatically any more"
    else:
        return None
    return Refused(
        RefusalReason.DEVICE_CERTIFICATE_PENDING_ACTIVATION,
        f"Device certificate waits to be provisioned, but its CA certificate {ca.certificate_id} {why}. Change the CA "
        "certificate with UpdateCACertificate, or set the device certificate to ACTIVE.",
    )


def _template(tx: Transaction, ca: CACertificate) -> Template:
    """Return the template of a CA certificate. Raises TemplateError."""
    config = ca.registration_config or RegistrationConfig()
    if config.template_name is None:
        return _parsed(config.template_body or "")
    template = ProvisioningTemplateRows(tx).get(ca.realm, config.template_name)
    if template is None:
        raise TemplateError(f"provisioning template {config.template_name} does not exist any more")
    if not template.enabled:
        raise TemplateError(
            f"provisioning template {template.name} is not enabled. Enable it with UpdateProvisioningTemplate"
        )
    version = ProvisioningTemplateRows(tx).version(ca.realm, template.name, template.default_version_id)
    if version is None:
        raise TemplateError(f"provisioning template {template.name} has no version {template.default_version_id}")
    return _parsed(version.body)


@lru_cache(maxsize=256)
def _parsed(body: str) -> Template:
    """Parse a template. Cached, since a fleet has few templates. Raises TemplateError, which is not cached."""
    return parse(body, Use.JITP)
