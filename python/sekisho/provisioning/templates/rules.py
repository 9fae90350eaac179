"""Provisioning templates, their versions, and claims.

A template has up to five versions. Only its default version is used. Version ids count up from 1 and are not used
again. A claim is a certificate that is valid for five minutes, with which a device without a certificate connects and
provisions (Developer Guide, provision-wo-cert, "provisioning by trusted user").

Source: Developer Guide, provision-template, provision-wo-cert, jit-provisioning; the API Reference of each operation;
General Reference for the limits.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

from sekisho import arn, pages
from sekisho.ca_certificates import registration_config
from sekisho.ca_certificates.store import CACertificateRows
from sekisho.clock import Clock
from sekisho.errors import (
    DeleteConflictException,
    InvalidRequestException,
    LimitExceededException,
    ResourceAlreadyExistsException,
    ResourceNotFoundException,
    VersionsLimitExceededException,
)
from sekisho.pages import Slice, Window
from sekisho.pki.issuing import IssuingAuthority
from sekisho.provisioning.claims.model import ProvisioningClaim
from sekisho.provisioning.claims.store import ProvisioningClaimRows
from sekisho.provisioning.templates.model import (
    ProvisioningHook,
    ProvisioningTemplate,
    ProvisioningTemplateVersion,
    TemplateType,
)
from sekisho.provisioning.templates.store import ProvisioningTemplateRows
from sekisho.realm import Realm
from sekisho.store.errors import AlreadyThere
from sekisho.store.store import Store
from sekisho.store.transaction import Transaction
from sekisho.tags.store import TagRows
from sekisho.templates.template import Template
from sekisho.templates.use import Use

MAX_TEMPLATES: Final = 256
"""Provisioning templates of an account and region."""

MAX_VERSIONS: Final = 5
"""Versions of one template."""

CLAIM_LIFETIME: Final = timedelta(minutes=5)
"""The validity of a claim (API Reference, CreateProvisioningClaim)."""

_MAX_VERSION_ID: Final = 2**31 - 1
"""The largest integer of the database's column."""

_LISTED_CAS: Final = 5
"""CA certificates that a message lists."""


@dataclass(frozen=True, slots=True)
class CreatedClaim:
    """A claim with its key pair. The service keeps no copy of the private key."""

    claim: ProvisioningClaim
    public_key_pem: str
    private_key_pem: str = field(repr=False)


class ProvisioningTemplates:
    """Creates, lists, changes and deletes provisioning templates and their versions, and creates claims."""

    def __init__(self, store: Store, clock: Clock, authority: IssuingAuthority) -> None:
        self._store = store
        self._clock = clock
        self._authority = authority

    def create(
        self,
        realm: Realm,
        name: str,
        body: str,
        role_arn: str,
        *,
        template_type: TemplateType = TemplateType.FLEET_PROVISIONING,
        description: str | None = None,
        enabled: bool = False,
        hook: ProvisioningHook | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> ProvisioningTemplate:
        """Create a template, with the body as its version 1.

        Raises:
            InvalidRequestException: The body is not a template of the type, the role not the ARN of a role, or the hook
                not the ARN of a function; or the type is JITP and there is a hook.
            ResourceAlreadyExistsException: The realm has a template of this name.
            LimitExceededException: The realm has MAX_TEMPLATES.
        """
        parsed = _checked_body(body, template_type)
        _check_role(role_arn)
        _check_hook(hook, template_type)
        now = self._clock()
        template = ProvisioningTemplate(
            realm=realm,
            name=name,
            type=template_type,
            description=description,
            enabled=enabled,
            role_arn=role_arn,
            hook=hook,
            default_version_id=1,
            last_version_id=1,
            created_at=now,
            modified_at=now,
        )
        with self._store.write() as tx:
            try:
                ProvisioningTemplateRows(tx).add(template, ProvisioningTemplateVersion(realm, name, 1, body, now))
            except AlreadyThere:
                raise ResourceAlreadyExistsException(
                    f"Provisioning template {name} exists already.",
                    resource_id=name,
                    resource_arn=arn.provisioning_template(realm, name),
                ) from None
            if len(ProvisioningTemplateRows(tx).page(realm, Window(limit=MAX_TEMPLATES + 1)).items) > MAX_TEMPLATES:
                # Checked after the insert, which the error rolls back.
                raise LimitExceededException(
                    f"Account {realm.account_id} has {MAX_TEMPLATES} provisioning templates in {realm.region}, the "
                    "maximum. Delete one that is not needed."
                )
            if tags:
                TagRows(tx).put(realm, arn.provisioning_template(realm, name), tags)
        _warn(parsed, realm, name)
        return template

    def get(self, realm: Realm, name: str) -> tuple[ProvisioningTemplate, ProvisioningTemplateVersion]:
        """Return the template and its default version. Raises ResourceNotFoundException."""
        with self._store.read() as tx:
            return with_default_version(tx, realm, name)

    def list(self, realm: Realm, window: Window) -> Slice[ProvisioningTemplate]:
        """Return the templates of a realm."""
        with self._store.read() as tx:
            return ProvisioningTemplateRows(tx).page(realm, window)

    def update(
        self,
        realm: Realm,
        name: str,
        *,
        description: str | None = None,
        enabled: bool | None = None,
        default_version_id: int | None = None,
        role_arn: str | None = None,
        hook: ProvisioningHook | None = None,
        remove_hook: bool = False,
    ) -> ProvisioningTemplate:
        """Change the members that are given. ``create_version`` changes the body.

        Raises:
            ResourceNotFoundException: No such template or version.
            InvalidRequestException: The role is not the ARN of a role, or the hook not the ARN of a function; the type
                is JITP and there is a hook; or the hook is both to be set and removed.
        """
        if hook is not None and remove_hook:
            raise InvalidRequestException(
                "preProvisioningHook sets what removePreProvisioningHook removes. Give one of them."
            )
        if role_arn is not None:
            _check_role(role_arn)
        with self._store.write() as tx:
            present = existing(tx, realm, name)
            _check_hook(hook, present.type)
            if default_version_id is not None:
                _existing_version(tx, present, default_version_id)
            changed = replace(
                present,
                description=present.description if description is None else description,
                enabled=present.enabled if enabled is None else enabled,
                default_version_id=default_version_id or present.default_version_id,
                role_arn=role_arn or present.role_arn,
                hook=None if remove_hook else hook or present.hook,
            )
            if changed == present:
                return present
            changed = replace(changed, modified_at=self._clock())
            ProvisioningTemplateRows(tx).replace(changed)
            return changed

    def delete(self, realm: Realm, name: str) -> None:
        """Delete a template with its versions and claims.

        Raises:
            ResourceNotFoundException: No such template.
            DeleteConflictException: A CA certificate provisions with it.
        """
        with self._store.write() as tx:
            existing(tx, realm, name)
            _require_unused(tx, realm, name)
            ProvisioningTemplateRows(tx).remove(realm, name)
            TagRows(tx).remove(realm, arn.provisioning_template(realm, name))

    def create_version(
        self, realm: Realm, name: str, body: str, *, set_as_default: bool = False
    ) -> ProvisioningTemplateVersion:
        """Add a version to a template.

        Raises:
            InvalidRequestException: The body is not a template of its type.
            ResourceNotFoundException: No such template.
            VersionsLimitExceededException: It has MAX_VERSIONS.
        """
        with self._store.read() as tx:
            template_type = existing(tx, realm, name).type
        parsed = _checked_body(body, template_type)
        with self._store.write() as tx:
            template = existing(tx, realm, name)
            if template.type is not template_type:
                # It was deleted and created again since the read.
                _checked_body(body, template.type)
            if len(ProvisioningTemplateRows(tx).versions(realm, name)) >= MAX_VERSIONS:
                raise VersionsLimitExceededException(
                    f"The provisioning template {name} already has the maximum number of versions ({MAX_VERSIONS}). "
                    "Delete one with DeleteProvisioningTemplateVersion."
                )
            now = self._clock()
            version = ProvisioningTemplateVersion(realm, name, template.last_version_id + 1, body, now)
            ProvisioningTemplateRows(tx).add_version(version)
            if set_as_default:
                version_id = version.version_id
                changed = replace(template, last_version_id=version_id, default_version_id=version_id, modified_at=now)
                ProvisioningTemplateRows(tx).replace(changed)
        _warn(parsed, realm, name)
        return version

    def get_version(
        self, realm: Realm, name: str, version_id: int
    ) -> tuple[ProvisioningTemplate, ProvisioningTemplateVersion]:
        """Return the template and one of its versions. Raises ResourceNotFoundException."""
        with self._store.read() as tx:
            template = existing(tx, realm, name)
            return template, _existing_version(tx, template, version_id)

    def delete_version(self, realm: Realm, name: str, version_id: int) -> None:
        """Delete a version that is not the default.

        Raises:
            ResourceNotFoundException: No such template or version.
            DeleteConflictException: It is the default version.
        """
        with self._store.write() as tx:
            template = existing(tx, realm, name)
            version = _existing_version(tx, template, version_id)
            if version.version_id == template.default_version_id:
                raise DeleteConflictException(
                    f"Version {version.version_id} of provisioning template {name} is its default version. Set another "
                    "with UpdateProvisioningTemplate (defaultVersionId), or delete the template."
                )
            ProvisioningTemplateRows(tx).remove_version(realm, name, version.version_id)

    def versions(
        self, realm: Realm, name: str, window: Window
    ) -> tuple[ProvisioningTemplate, Slice[ProvisioningTemplateVersion]]:
        """Return the template and its versions, oldest first. Raises ResourceNotFoundException."""
        with self._store.read() as tx:
            return existing(tx, realm, name), ProvisioningTemplateRows(tx).page_versions(realm, name, window)

    def create_claim(self, realm: Realm, name: str) -> CreatedClaim:
        """Create a claim, with its key pair, for provisioning with a template.

        The template need not be enabled, which is checked when the device provisions.

        Raises:
            ResourceNotFoundException: No such template.
            InvalidRequestException: It is of type JITP, whose devices have certificates already.
        """
        with self._store.read() as tx:
            _require_claimable(existing(tx, realm, name))
        now = self._clock()
        # Times in certificates are whole seconds.
        not_after = (now + CLAIM_LIFETIME).replace(microsecond=0)
        issued = self._authority.issue_with_key(now, subject=secrets.token_hex(32), not_after=not_after)
        claim = ProvisioningClaim(
            realm=realm,
            certificate_id=issued.certificate.certificate_id,
            certificate_pem=issued.certificate.pem,
            template_name=name,
            not_before=issued.certificate.not_before,
            not_after=issued.certificate.not_after,
            created_at=now,
        )
        with self._store.write() as tx:
            # It may have been deleted while the key was generated.
            _require_claimable(existing(tx, realm, name))
            ProvisioningClaimRows(tx).remove_expired(now)
            ProvisioningClaimRows(tx).add(claim)
        return CreatedClaim(claim, issued.public_key_pem, issued.private_key_pem)

    def remove_expired_claims(self) -> int:
        """Remove expired claims; return their number.

        This is not announced to the gateway, which refuses expired certificates itself: a device that provisions while
        its claim expires may finish.
        """
        with self._store.write() as tx:
            return ProvisioningClaimRows(tx).remove_expired(self._clock())


def existing(tx: Transaction, realm: Realm, name: str) -> ProvisioningTemplate:
    """Return the template. Raises ResourceNotFoundException."""
    template = ProvisioningTemplateRows(tx).get(realm, name)
    if template is None:
        raise ResourceNotFoundException(
            f"Provisioning template {name} does not exist in account {realm.account_id} and region {realm.region}."
        )
    return template


def with_default_version(
    tx: Transaction, realm: Realm, name: str
) -> tuple[ProvisioningTemplate, ProvisioningTemplateVersion]:
    """Return the template and its default version. Raises ResourceNotFoundException."""
    template = existing(tx, realm, name)
    return template, _existing_version(tx, template, template.default_version_id)


def _existing_version(tx: Transaction, template: ProvisioningTemplate, version_id: int) -> ProvisioningTemplateVersion:
    found = None
    if 0 < version_id <= _MAX_VERSION_ID:
        found = ProvisioningTemplateRows(tx).version(template.realm, template.name, version_id)
    if found is None:
        raise ResourceNotFoundException(f"Provisioning template {template.name} has no version {version_id}.")
    return found


def _checked_body(body: str, template_type: TemplateType) -> Template:
    template = registration_config.check_template(body, "templateBody", Use[template_type.value])
    # Fleet provisioning with a template without a certificate would never activate the device's certificate.
    if template_type is TemplateType.FLEET_PROVISIONING and template.certificate_source is None:
        raise InvalidRequestException(
            "templateBody has no certificate, which a template of type FLEET_PROVISIONING needs. Add a resource of the "
            'type AWS::IoT::Certificate with "CertificateId": {"Ref": "AWS::IoT::Certificate::Id"} and a Status.'
        )
    return template


def _warn(body: Template, realm: Realm, name: str) -> None:
    registration_config.warn(body, template_name=name, account_id=realm.account_id, region=realm.region)


def _check_role(role_arn: str) -> None:
    if not arn.is_role(role_arn):
        raise InvalidRequestException(
            f"provisioningRoleArn {role_arn[:200]!r} is not the ARN of a role: arn:aws:iam::<account>:role/<name>."
        )


def _check_hook(hook: ProvisioningHook | None, template_type: TemplateType) -> None:
    if hook is None:
        return
    if template_type is not TemplateType.FLEET_PROVISIONING:
        raise InvalidRequestException(
            f"preProvisioningHook is for templates of type FLEET_PROVISIONING; this one is {template_type.value}."
        )
    if not arn.is_function(hook.target_arn):
        raise InvalidRequestException(
            f"preProvisioningHook.targetArn {hook.target_arn[:200]!r} is not the ARN of a Lambda function: "
            "arn:aws:lambda:<region>:<account>:function:<name>."
        )


def _require_claimable(template: ProvisioningTemplate) -> None:
    if template.type is not TemplateType.FLEET_PROVISIONING:
        raise InvalidRequestException(
            f"Provisioning template {template.name} is of type {template.type.value}; claims are for templates of type "
            "FLEET_PROVISIONING."
        )


def _require_unused(tx: Transaction, realm: Realm, name: str) -> None:
    users = CACertificateRows(tx).page(realm, Window(limit=_LISTED_CAS), template_name=name)
    if users.items:
        listed = pages.listed(users, lambda ca: ca.certificate_id)
        raise DeleteConflictException(
            f"Provisioning template {name} is used by CA certificates: {listed}. Give them another template, or none, "
            "with UpdateCACertificate (registrationConfig or removeAutoRegistration) first."
        )
