"""Just-in-time provisioning: the template of a CA, carried out for a certificate that registers at its first CONNECT.

The certificate is registered as PENDING_ACTIVATION, and in the same transaction its template makes thing and policy,
attaches them and activates it: all of that, or, where the template cannot be carried out, none of it. The first
connection is closed either way, as on AWS; a device that was provisioned is let in by its next attempt. One that was
not waits as PENDING_ACTIVATION, and each attempt tries again, at most once in ``BETWEEN`` for one certificate. While
its CA has a template no event tells of it, also where that CA may not provision for now.

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

BETWEEN: Final = timedelta(seconds=5)
"""Between two tries for one certificate; attempts between them hear the reason of the last."""

REMEMBERED: Final = 10_000
"""Certificates of which the last failure is remembered."""

Key = tuple[Realm, str]
"""Whose certificate, and its id."""


@dataclass(frozen=True, slots=True)
class _Failure:
    refused: Refused
    at: datetime


class JustInTimeProvisioning:
    """Carries out templates of CA certificates. Called by one thread, the pump's for registrations."""

    def __init__(self, store: Store, clock: Clock, engine: PolicyEngine, authority: IssuingAuthority) -> None:
        self._store = store
        self._clock = clock
        self._engine = engine
        self._authority = authority
        self._failures: OrderedDict[Key, _Failure] = OrderedDict()
        self._done: list[dict[str, str | None]] = []

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        """A write transaction to provision in. What was done in it is logged once it is committed."""
        self._done = []
        with self._store.write() as tx:
            yield tx
        for facts in self._done:
            log.write(LogEvent.DEVICE_PROVISIONED, **facts)

    def provision_in(self, tx: Transaction, now: datetime, ca: CACertificate, certificate: Certificate) -> Refused:
        """Carry out the CA's template for a certificate that waits for activation, in a transaction of ``writing``.

        Returns:
            Why the connection is refused: provisioned just now, or what failed. Then nothing of the template was done.
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
                done = self._carry_out(tx, now, ca, certificate)
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
        """Provision certificates that still wait and were used to connect.

        Returns:
            Why those are refused whose CA has a template; those whose CA has none, or none any more, are left out.
        """
        waiting = {(each.realm, each.certificate_id): each for each in certificates}
        if not waiting:
            return {}
        now = self._clock()
        try:
            with self._store.read() as tx:
                cas = {
                    place: _provisioner(tx, *place)
                    for place in {(each.realm, each.ca_certificate_id or "") for each in waiting.values()}
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
        """Why it was not provisioned, where that was tried a moment ago."""
        failure = self._failures.get(key)
        # A clock that was set back must not keep a device waiting.
        return failure.refused if failure is not None and timedelta() <= now - failure.at < BETWEEN else None

    def _again(self, tx: Transaction, now: datetime, key: Key) -> Refused:
        # Somebody may have activated or deleted it, or changed the CA, since it was looked up.
        certificate = CertificateRows(tx).get(*key)
        if certificate is None or certificate.status is not CertificateStatus.PENDING_ACTIVATION:
            # The gateway knows of that change, and asks again.
            return Refused(RefusalReason.DEVICE_CERTIFICATE_NOT_REGISTERED)
        ca = _provisioner(tx, certificate.realm, certificate.ca_certificate_id or "")
        if ca is None:
            return Refused(RefusalReason.DEVICE_CERTIFICATE_PENDING_ACTIVATION)
        return _why_not(ca, certificate, now) or self.provision_in(tx, now, ca, certificate)

    def _carry_out(self, tx: Transaction, now: datetime, ca: CACertificate, certificate: Certificate) -> Provisioned:
        template = _template(tx, ca)
        parameters = certificate_parameters(X509Certificate.from_pem(certificate.certificate_pem))
        resources = template.resolve(parameters, from_device=parameters.keys())
        if resources.certificate is None:
            raise TemplateError(
                "the template has no AWS::IoT::Certificate, so that the device would wait for good. Add one with "
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
        if len(self._failures) > REMEMBERED:
            self._failures.popitem(last=False)


def _provisioner(tx: Transaction, realm: Realm, ca_certificate_id: str) -> CACertificate | None:
    """The CA, if it has a template."""
    ca = CACertificateRows(tx).get(realm, ca_certificate_id)
    return None if ca is None or ca.registration_config is None else ca


def not_valid_at(now: datetime, certificate: Certificate | X509Certificate) -> Refused | None:
    """Why a certificate outside its validity is refused, or None."""
    if now < certificate.not_before:
        return Refused(RefusalReason.DEVICE_CERTIFICATE_NOT_YET_VALID)
    if now > certificate.not_after:
        return Refused(RefusalReason.DEVICE_CERTIFICATE_EXPIRED)
    return None


def _why_not(ca: CACertificate, certificate: Certificate, now: datetime) -> Refused | None:
    """What keeps a certificate that waits from being provisioned, other than the template."""
    not_valid = not_valid_at(now, certificate)
    if not_valid is not None:
        return not_valid
    if ca.status is not CACertificateStatus.ACTIVE:
        hindrance = f"is {ca.status.value}"
    elif ca.auto_registration_status is not AutoRegistrationStatus.ENABLE:
        hindrance = "does not register automatically any more"
    else:
        return None
    return Refused(
        RefusalReason.DEVICE_CERTIFICATE_PENDING_ACTIVATION,
        "Device certificate waits to be provisioned, and its CA certificate "
        f"{ca.certificate_id} {hindrance}; change that with UpdateCACertificate, or set the certificate to ACTIVE.",
    )


def _template(tx: Transaction, ca: CACertificate) -> Template:
    """The template of a CA that has one, by name or as it is. Raises TemplateError."""
    config = ca.registration_config or RegistrationConfig()
    if config.template_name is None:
        return _parsed(config.template_body or "")
    template = ProvisioningTemplateRows(tx).get(ca.realm, config.template_name)
    if template is None:
        raise TemplateError(f"provisioning template {config.template_name} does not exist any more")
    if not template.enabled:
        raise TemplateError(
            f"provisioning template {template.name} is not enabled; UpdateProvisioningTemplate enables it"
        )
    version = ProvisioningTemplateRows(tx).version(ca.realm, template.name, template.default_version_id)
    if version is None:
        raise TemplateError(f"provisioning template {template.name} has no version {template.default_version_id}")
    return _parsed(version.body)


@lru_cache(maxsize=256)
def _parsed(body: str) -> Template:
    """A fleet has few templates and many devices. Raises TemplateError, which is not remembered."""
    return parse(body, Use.JITP)
