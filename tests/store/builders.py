"""Makes values of the registry with every field set; arguments change fields by name."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sekisho.accounts.model import AccessKey, Account
from sekisho.billing_groups.model import BillingGroup
from sekisho.ca_certificates.model import AutoRegistrationStatus, CACertificate, CACertificateStatus
from sekisho.certificate_providers.model import CertificateProvider, CertificateProviderOperation
from sekisho.certificates.model import Certificate, CertificateMode, CertificateStatus
from sekisho.policies.model import Policy, PolicyVersion
from sekisho.principals.model import Attachment, ThingPrincipalType
from sekisho.provisioning.bulk.model import RegistrationTask, RegistrationTaskStatus
from sekisho.provisioning.claims.model import ProvisioningClaim
from sekisho.provisioning.deliveries.model import Delivery, DeliveryState
from sekisho.provisioning.templates.model import (
    ProvisioningHook,
    ProvisioningTemplate,
    ProvisioningTemplateVersion,
    TemplateType,
)
from sekisho.provisioning.tokens.model import OwnershipToken
from sekisho.realm import Realm
from sekisho.rotation.model import Rotation
from sekisho.thing_groups.model import ThingGroup
from sekisho.thing_types.model import ThingType
from sekisho.things.model import Thing

HOME = Realm("123456789012", "eu-central-1")
OTHER_ACCOUNT = Realm("000000000001", "eu-central-1")
OTHER_REGION = Realm("123456789012", "us-east-1")
NOW = datetime(2026, 11, 24, 12, 30, 15, 123456, tzinfo=UTC)


def certificate_id(number: int) -> str:
    """Return a valid id; consecutive numbers give ids in no order."""
    return hashlib.sha256(str(number).encode()).hexdigest()


def certificate(number: int = 1, realm: Realm = HOME, **changes: Any) -> Certificate:
    """A device certificate."""
    plain = Certificate(
        realm=realm,
        certificate_id=certificate_id(number),
        certificate_pem=f"-----BEGIN CERTIFICATE-----\n{number}\n-----END CERTIFICATE-----\n",
        ca_certificate_id=None,
        status=CertificateStatus.ACTIVE,
        mode=CertificateMode.SNI_ONLY,
        not_before=datetime(1950, 1, 1, tzinfo=UTC),
        not_after=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
        created_at=NOW,
        modified_at=NOW,
        customer_version=1,
        generation_id=f"generation {number}",
    )
    return replace(plain, **changes)


def ca_certificate(number: int = 1, realm: Realm = HOME, **changes: Any) -> CACertificate:
    """A CA certificate."""
    plain = CACertificate(
        realm=realm,
        certificate_id=certificate_id(number),
        certificate_pem=f"-----BEGIN CERTIFICATE-----\n{number}\n-----END CERTIFICATE-----\n",
        subject=b"0\x00" + str(number).encode(),
        public_key_id=hashlib.sha256(b"key %d" % number).hexdigest(),
        status=CACertificateStatus.ACTIVE,
        mode=CertificateMode.DEFAULT,
        auto_registration_status=AutoRegistrationStatus.DISABLE,
        registration_config=None,
        not_before=NOW,
        not_after=datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC),
        created_at=NOW,
        modified_at=NOW,
        customer_version=1,
        generation_id=f"generation {number}",
    )
    return replace(plain, **changes)


def thing(name: str = "lamp", realm: Realm = HOME, **changes: Any) -> Thing:
    """A thing."""
    plain = Thing(
        realm=realm,
        name=name,
        thing_id=f"id of {name}",
        type_name=None,
        attributes={},
        billing_group_name=None,
        version=1,
        created_at=NOW,
    )
    return replace(plain, **changes)


def thing_type(name: str = "light", realm: Realm = HOME, **changes: Any) -> ThingType:
    """A thing type."""
    plain = ThingType(
        realm=realm,
        name=name,
        type_id=f"id of {name}",
        description=None,
        searchable_attributes=(),
        propagating_attributes=(),
        created_at=NOW,
    )
    return replace(plain, **changes)


def thing_group(name: str = "lights", *ancestors: str, realm: Realm = HOME, **changes: Any) -> ThingGroup:
    """A thing group below others, which are named from the root."""
    plain = ThingGroup(
        realm=realm,
        name=name,
        group_id=f"id of {name}",
        ancestors=ancestors,
        description=None,
        attributes={},
        version=1,
        created_at=NOW,
    )
    return replace(plain, **changes)


def billing_group(name: str = "plant", realm: Realm = HOME, **changes: Any) -> BillingGroup:
    """A billing group."""
    return replace(BillingGroup(realm, name, f"id of {name}", None, 1, NOW), **changes)


def attachment(thing_name: str, principal: str, realm: Realm = HOME, **changes: Any) -> Attachment:
    """A principal attached to a thing."""
    return replace(Attachment(realm, thing_name, principal, ThingPrincipalType.NON_EXCLUSIVE_THING), **changes)


def policy(name: str = "p", realm: Realm = HOME, **changes: Any) -> Policy:
    """A policy with version 1."""
    plain = Policy(
        realm=realm,
        name=name,
        default_version_id=1,
        last_version_id=1,
        created_at=NOW,
        modified_at=NOW,
        generation_id=f"generation of {name}",
    )
    return replace(plain, **changes)


def version(name: str = "p", number: int = 1, realm: Realm = HOME, **changes: Any) -> PolicyVersion:
    """A document of a policy."""
    return replace(PolicyVersion(realm, name, number, f'{{"Version": "2012-10-17", "Id": "{number}"}}', NOW), **changes)


def provisioning_template(name: str = "t", realm: Realm = HOME, **changes: Any) -> ProvisioningTemplate:
    """A provisioning template with version 1."""
    plain = ProvisioningTemplate(
        realm=realm,
        name=name,
        type=TemplateType.FLEET_PROVISIONING,
        description="of the factory",
        enabled=True,
        role_arn="arn:aws:iam::123456789012:role/provisioning",
        hook=ProvisioningHook("arn:aws:lambda:eu-central-1:123456789012:function:hook", "2020-04-01"),
        default_version_id=1,
        last_version_id=1,
        created_at=NOW,
        modified_at=NOW,
    )
    return replace(plain, **changes)


def template_version(
    name: str = "t", number: int = 1, realm: Realm = HOME, **changes: Any
) -> ProvisioningTemplateVersion:
    """A body of a provisioning template."""
    return replace(ProvisioningTemplateVersion(realm, name, number, f'{{"Resources": "{number}"}}', NOW), **changes)


def claim(number: int = 1, realm: Realm = HOME, **changes: Any) -> ProvisioningClaim:
    """A claim to provision through the template ``t``."""
    plain = ProvisioningClaim(
        realm=realm,
        certificate_id=certificate_id(number),
        certificate_pem=f"-----BEGIN CERTIFICATE-----\n{number}\n-----END CERTIFICATE-----\n",
        template_name="t",
        not_before=NOW,
        not_after=NOW + timedelta(minutes=5),
        created_at=NOW,
    )
    return replace(plain, **changes)


def certificate_provider(name: str = "signer", realm: Realm = HOME, **changes: Any) -> CertificateProvider:
    """A certificate provider."""
    plain = CertificateProvider(
        realm=realm,
        name=name,
        function_arn="arn:aws:lambda:eu-central-1:123456789012:function:sign",
        operations=(CertificateProviderOperation.CREATE_CERTIFICATE_FROM_CSR,),
        client_token=None,
        created_at=NOW,
        modified_at=NOW,
    )
    return replace(plain, **changes)


def delivery(number: int = 1, realm: Realm = HOME, **changes: Any) -> Delivery:
    """A delivery that was never tried, due now."""
    plain = Delivery(
        realm=realm,
        handler="activate",
        subject=certificate_id(number),
        payload=b'{"number":%d}' % number,
        attempts=0,
        next_attempt_at=NOW,
        last_error=None,
        state=DeliveryState.PENDING,
        created_at=NOW,
    )
    return replace(plain, **changes)


def rotation(old: int = 1, new: int = 2, realm: Realm = HOME, **changes: Any) -> Rotation:
    """A pending rotation of certificate number ``old`` to number ``new``."""
    plain = Rotation(
        realm=realm,
        old_certificate_id=certificate_id(old),
        new_certificate_id=certificate_id(new),
        ca_certificate_id=certificate_id(0),
        started_at=NOW,
    )
    return replace(plain, **changes)


def account(account_id: str = HOME.account_id, name: str | None = "home") -> Account:
    """An account."""
    return Account(account_id, name, NOW)


def access_key(number: int = 1, account_id: str = HOME.account_id) -> AccessKey:
    """An access key."""
    return AccessKey(f"AKIA{number:016}", account_id, NOW, f"secret {number}")


def ownership_token(number: int = 1, realm: Realm = HOME, **changes: Any) -> OwnershipToken:
    """A token of a certificate that waits for its device."""
    plain = OwnershipToken(
        realm=realm,
        token_sha256=certificate_id(number + 500_000),
        certificate_id=certificate_id(number),
        claim_certificate_id=certificate_id(0),
        expires_at=NOW,
    )
    return replace(plain, **changes)


def registration_task(number: int = 1, realm: Realm = HOME, **changes: Any) -> RegistrationTask:
    """A bulk registration that has not begun."""
    plain = RegistrationTask(
        realm=realm,
        task_id=f"task {number}",
        template_body="{}",
        input_bucket="bucket",
        input_key="input.json",
        role_arn="arn:aws:iam::123456789012:role/bulk",
        report_token=f"token {number}",
        status=RegistrationTaskStatus.IN_PROGRESS,
        created_at=NOW,
        modified_at=NOW,
    )
    return replace(plain, **changes)
