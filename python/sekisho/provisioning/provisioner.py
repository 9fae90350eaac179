"""Applies a resolved template: creates or changes its thing, certificate and policies, and attaches them.

All of this is done in one write transaction of the caller, so a device is provisioned completely or not at all.
Existing resources are used as they are unless ``OverrideSettings`` say otherwise, so a template may be applied again.

Source: Developer Guide, provision-template and jit-provisioning; API Reference, RegisterThing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sekisho import arn, ids
from sekisho.ca_certificates import issuers
from sekisho.certificates import rules as certificates
from sekisho.certificates.model import Certificate, CertificateStatus
from sekisho.certificates.store import CertificateRows
from sekisho.errors import AwsException
from sekisho.pki.issuing import IssuingAuthority
from sekisho.policies import rules as policies
from sekisho.policies.engine import PolicyEngine
from sekisho.policies.store import PolicyRows
from sekisho.principals.model import ThingPrincipalType
from sekisho.realm import Realm
from sekisho.store.transaction import Transaction
from sekisho.templates.resources import (
    CertificateResource,
    Override,
    PolicyResource,
    Resources,
    ThingResource,
)
from sekisho.thing_groups import rules as thing_groups
from sekisho.things import rules as things
from sekisho.things.model import Thing
from sekisho.things.store import ThingRows


class ProvisioningError(Exception):
    """A resource of a template, the first one that fails, cannot be provisioned.

    Args:
        resource: The logical id of the resource.
        line: The line of the template at which it begins, counted from 1.
        reason: What is wrong and what to do.
        certificate_id: The certificate that is being provisioned, if it was known.
    """

    def __init__(self, resource: str, line: int, reason: str, certificate_id: str | None) -> None:
        whose = "" if certificate_id is None else f" (certificateId={certificate_id})"
        super().__init__(f"resource {resource!r}, line {line} of the template: {reason}{whose}")
        self.resource = resource
        self.line = line
        self.reason = reason
        self.certificate_id = certificate_id


class ResourceConflict(ProvisioningError):
    """A resource exists and differs: its ``OverrideSettings`` are FAIL, or no version of a policy has the document."""


@dataclass(frozen=True, slots=True)
class Provisioned:
    """The resources after a template was applied."""

    resource_arns: Mapping[str, str]
    """ARNs by logical id."""
    thing_name: str | None
    certificate: Certificate | None
    """Its state afterwards."""
    device_configuration: Mapping[str, Any]


def provision(
    tx: Transaction,
    realm: Realm,
    now: datetime,
    resources: Resources,
    *,
    certificate: Certificate | None,
    engine: PolicyEngine,
    authority: IssuingAuthority,
) -> Provisioned:
    """Apply a resolved template.

    A PENDING_ACTIVATION certificate gets the template's status; any other keeps its status unless the template
    overrides it. A policy is created with the template's document; an existing one must have it as one of its versions,
    not necessarily the default, so that devices can still be provisioned after the policy was changed.

    Args:
        tx: A write transaction, which the caller rolls back after an error.
        certificate: The only certificate that the template may name; None: the template may name or register any
            certificate of the realm.
        authority: Issues a certificate for a certificate signing request.

    Raises:
        ResourceConflict: A resource exists and differs.
        ProvisioningError: A resource cannot be provisioned for another reason.
        OSError: The files of the authority cannot be written.
    """
    return _Provisioner(tx, realm, now, resources, engine, authority).provision(certificate)


class _Provisioner:
    def __init__(
        self,
        tx: Transaction,
        realm: Realm,
        now: datetime,
        resources: Resources,
        engine: PolicyEngine,
        authority: IssuingAuthority,
    ) -> None:
        self._tx = tx
        self._realm = realm
        self._now = now
        self._resources = resources
        self._engine = engine
        self._authority = authority
        self._certificate_id: str | None = None
        self._arns: dict[str, str] = {}

    def provision(self, certificate: Certificate | None) -> Provisioned:
        wanted, thing = self._resources.certificate, self._resources.thing
        self._certificate_id = certificate.certificate_id if certificate is not None else None
        if wanted is not None:
            with self._naming(wanted):
                certificate = self._certificate(wanted, certificate)
        if thing is not None:
            with self._naming(thing):
                self._thing(thing)
        for policy in self._resources.policies:
            with self._naming(policy):
                self._policy(policy)
        if wanted is not None and certificate is not None:
            principal = arn.certificate(self._realm, certificate.certificate_id)
            for policy in self._resources.policies:
                with self._naming(policy):
                    policies.attach_in(self._tx, self._realm, policy.name, principal)
            with self._naming(wanted):
                if thing is not None:
                    kind = None if wanted.principal_type is None else ThingPrincipalType(wanted.principal_type)
                    things.attach_principal_in(self._tx, self._realm, thing.name, principal, kind)
                certificate = self._with_status(wanted, certificate)
        return Provisioned(
            resource_arns=self._arns,
            thing_name=None if thing is None else thing.name,
            certificate=certificate,
            device_configuration=self._resources.device_configuration,
        )

    def _certificate(self, wanted: CertificateResource, given: Certificate | None) -> Certificate:
        if given is not None:
            # Parameters may come from the device, which must not be able to name the certificate of another device.
            if wanted.certificate_id is None or ids.certificate_id(wanted.certificate_id) != given.certificate_id:
                raise self._error(
                    wanted,
                    "the template names a certificate other than the one that is being provisioned. Write "
                    '"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}.',
                )
            found = given
        elif wanted.certificate_id is not None:
            found = certificates.existing(self._tx, self._realm, wanted.certificate_id)
        elif wanted.certificate_pem is not None:
            found = self._registered(wanted, wanted.certificate_pem)
        else:
            issued = certificates.issued_for(self._authority, wanted.certificate_signing_request or "", self._now)
            found = certificates.add_issued(self._tx, self._now, self._realm, issued, CertificateStatus(wanted.status))
        self._certificate_id = found.certificate_id
        self._arns[wanted.logical_id] = arn.certificate(self._realm, found.certificate_id)
        return found

    def _registered(self, wanted: CertificateResource, certificate_pem: str) -> Certificate:
        """Register a certificate given in PEM, if it is not; without a CA if its issuer is not registered."""
        certificate = certificates.acceptable(certificate_pem, self._now)
        self._certificate_id = certificate.certificate_id
        present = CertificateRows(self._tx).get(self._realm, certificate.certificate_id)
        if present is not None:
            return present
        status = CertificateStatus(wanted.status)
        ca_pem = wanted.ca_certificate_pem
        if ca_pem is None:
            found = issuers.candidates(self._tx, self._realm, certificate)
            if not found.signed and not found.other_key:
                return certificates.add_without_ca(self._tx, self._now, self._realm, certificate, status)
        named = None if ca_pem is None else issuers.named_ca(certificate, ca_pem)
        return certificates.add_signed(self._tx, self._now, self._realm, certificate, named, status)

    def _with_status(self, wanted: CertificateResource, present: Certificate) -> Certificate:
        status = CertificateStatus(wanted.status)
        if present.status is status:
            return present
        if present.status is not CertificateStatus.PENDING_ACTIVATION:
            if wanted.override is Override.DO_NOTHING:
                return present
            if wanted.override is Override.FAIL:
                raise self._conflict(wanted, f"the certificate is {present.status.value}, not {status.value}.")
        return certificates.update_in(self._tx, self._now, self._realm, present.certificate_id, status)

    def _thing(self, wanted: ThingResource) -> None:
        present = ThingRows(self._tx).get(self._realm, wanted.name)
        if present is None:
            things.create_in(
                self._tx,
                self._realm,
                self._now,
                wanted.name,
                attributes=wanted.attributes,
                type_name=wanted.type_name,
                billing_group_name=wanted.billing_group,
            )
        else:
            self._update(wanted, present)
        if wanted.groups:
            self._groups(wanted, is_new=present is None)
        self._arns[wanted.logical_id] = arn.thing(self._realm, wanted.name)

    def _update(self, wanted: ThingResource, present: Thing) -> None:
        """Override properties that differ. Properties that the template does not have are not compared."""
        overrides = wanted.overrides
        attributes: Mapping[str, str] | None = None
        merge = overrides.attributes is Override.MERGE
        given = {name: value for name, value in wanted.attributes.items() if value}
        if wanted.attributes and (
            any(present.attributes.get(name, "") != value for name, value in wanted.attributes.items())
            if merge
            else dict(present.attributes) != given
        ):
            if overrides.attributes is Override.FAIL:
                raise self._conflict(wanted, f"thing {wanted.name} exists with other attributes.")
            if overrides.attributes is not Override.DO_NOTHING:
                attributes = wanted.attributes
        type_name: str | None = None
        if wanted.type_name is not None and wanted.type_name != present.type_name:
            if overrides.type_name is Override.FAIL:
                raise self._conflict(
                    wanted, f"thing {wanted.name} exists with the thing type {present.type_name or '(none)'}."
                )
            if overrides.type_name is Override.REPLACE:
                type_name = wanted.type_name
        if attributes is not None or type_name is not None:
            things.update_in(
                self._tx, self._realm, wanted.name, attributes=attributes, merge=merge, type_name=type_name
            )

    def _groups(self, wanted: ThingResource, *, is_new: bool) -> None:
        present = thing_groups.groups_of_in(self._tx, self._realm, wanted.name)
        override = Override.MERGE if is_new else wanted.overrides.groups
        if override is Override.DO_NOTHING:
            return
        surplus = [name for name in present if name not in wanted.groups]
        if override is Override.FAIL and (surplus or len(present) < len(wanted.groups)):
            raise self._conflict(wanted, f"thing {wanted.name} exists, in {_listed(present)}.")
        if override is Override.REPLACE:
            # Removed first, since a thing is in at most one group of a tree.
            for name in surplus:
                thing_groups.remove_thing_in(self._tx, self._realm, name, wanted.name)
        for name in wanted.groups:
            thing_groups.add_thing_in(self._tx, self._realm, name, wanted.name)

    def _policy(self, wanted: PolicyResource) -> None:
        present = PolicyRows(self._tx).get(self._realm, wanted.name)
        if present is None:
            if wanted.document is None:
                raise self._error(
                    wanted, f"there is no policy {wanted.name}. Create it, or give its PolicyDocument in the template."
                )
            policies.create_in(self._tx, self._realm, self._now, self._engine, wanted.name, wanted.document)
        elif wanted.document is not None:
            versions = PolicyRows(self._tx).versions(self._realm, wanted.name)
            if not any(_is_same(wanted.document, version.document) for version in versions):
                raise self._conflict(
                    wanted,
                    f"policy {wanted.name} exists, and none of its versions has this document. Omit PolicyDocument to "
                    "use the policy as it is, or give another PolicyName.",
                )
        self._arns[wanted.logical_id] = arn.policy(self._realm, wanted.name)

    @contextmanager
    def _naming(self, wanted: ThingResource | CertificateResource | PolicyResource) -> Iterator[None]:
        try:
            yield
        except AwsException as error:
            raise self._error(wanted, error.message) from error

    def _error(self, wanted: ThingResource | CertificateResource | PolicyResource, reason: str) -> ProvisioningError:
        return ProvisioningError(wanted.logical_id, wanted.line, reason, self._certificate_id)

    def _conflict(self, wanted: ThingResource | CertificateResource | PolicyResource, reason: str) -> ResourceConflict:
        return ResourceConflict(wanted.logical_id, wanted.line, reason, self._certificate_id)


def _listed(groups: Sequence[str]) -> str:
    return f"the thing groups {', '.join(groups)}" if groups else "no thing group"


def _is_same(document: str, other: str) -> bool:
    """Return whether two policy documents are the same JSON value."""
    if document == other:
        return True
    try:
        return bool(json.loads(document) == json.loads(other))
    except (ValueError, RecursionError):
        return False
