"""A query is fast with a million rows only if it uses an index, so the databases explain their plans.

Every method of every port is called once, its statements are recorded, and each is explained.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, text

from sekisho import arn
from sekisho.accounts.store import AccountRows
from sekisho.admission.store import CHUNK, IdentityRows
from sekisho.billing_groups.store import BillingGroupRows
from sekisho.ca_certificates.model import RegistrationConfig
from sekisho.ca_certificates.store import CACertificateRows
from sekisho.certificate_providers.store import CertificateProviderRows
from sekisho.certificates.model import Fingerprints
from sekisho.certificates.store import CertificateRows
from sekisho.endpoints.model import Endpoint
from sekisho.endpoints.store import EndpointRows
from sekisho.pages import Window
from sekisho.policies.store import PolicyRows
from sekisho.principals.store import AttachmentRows
from sekisho.provisioning.bulk.model import RegistrationTaskStatus, ReportType
from sekisho.provisioning.bulk.store import RegistrationTaskRows
from sekisho.provisioning.claims.store import ProvisioningClaimRows
from sekisho.provisioning.deliveries.model import DeliveryState
from sekisho.provisioning.deliveries.store import DeliveryRows
from sekisho.provisioning.outbox.model import Event
from sekisho.provisioning.outbox.store import OutboxRows
from sekisho.provisioning.templates.store import ProvisioningTemplateRows
from sekisho.provisioning.tokens.store import OwnershipTokenRows
from sekisho.registration_codes.store import RegistrationCodeRows
from sekisho.rotation.model import RotationState
from sekisho.rotation.store import RotationRows
from sekisho.store import deadline
from sekisho.store.store import Store
from sekisho.store.transaction import Transaction
from sekisho.tags.store import TagRows
from sekisho.thing_groups.store import ThingGroupRows
from sekisho.thing_types.store import ThingTypeRows
from sekisho.things.store import ThingRows
from tests.postgres import PostgreSQL
from tests.store.builders import (
    HOME,
    NOW,
    OTHER_ACCOUNT,
    OTHER_REGION,
    access_key,
    account,
    attachment,
    billing_group,
    ca_certificate,
    certificate,
    certificate_id,
    certificate_provider,
    claim,
    delivery,
    ownership_token,
    policy,
    provisioning_template,
    registration_task,
    rotation,
    template_version,
    thing,
    thing_group,
    thing_type,
    version,
)
from tests.store.row_classes import row_classes
from tests.store.sent_statements import sent_statements

FORWARDS = Window(limit=10, after=3)
BACKWARDS = Window(limit=10, after=30, ascending=False)
ID = certificate_id(1)
DONE = RegistrationTaskStatus.COMPLETED
PRINCIPAL = arn.certificate(HOME, ID)

type_and_attribute: dict[str, Any] = {"type_name": "t", "attribute": ("a", "b")}

# Calls of each method of a port, one for each form of its statements.
CALLS: dict[str, list[Callable[[Transaction], object]]] = {
    "CACertificateRows.get": [lambda tx: CACertificateRows(tx).get(HOME, ID)],
    "CACertificateRows.add": [lambda tx: CACertificateRows(tx).add(ca_certificate(10**6))],
    "CACertificateRows.replace": [lambda tx: CACertificateRows(tx).replace(ca_certificate(1))],
    "CACertificateRows.page": [
        lambda tx: CACertificateRows(tx).page(HOME, FORWARDS),
        lambda tx: CACertificateRows(tx).page(HOME, BACKWARDS),
        lambda tx: CACertificateRows(tx).page(HOME, FORWARDS, template_name="t"),
        lambda tx: CACertificateRows(tx).page(HOME, BACKWARDS, template_name="t"),
    ],
    "CACertificateRows.with_subject": [lambda tx: CACertificateRows(tx).with_subject(HOME, b"s")],
    "CACertificateRows.with_subject_anywhere": [lambda tx: CACertificateRows(tx).with_subject_anywhere(b"s", 5)],
    "CACertificateRows.elsewhere": [lambda tx: CACertificateRows(tx).elsewhere(ID, HOME.region)],
    "CACertificateRows.everywhere": [lambda tx: CACertificateRows(tx).everywhere(ID)],
    "CACertificateRows.remove": [lambda tx: CACertificateRows(tx).remove(HOME, ID)],
    "IdentityRows.look_up": [
        lambda tx: IdentityRows(tx).look_up([(HOME, ID)]),
        lambda tx: IdentityRows(tx).look_up([(HOME, certificate_id(number)) for number in range(3)]),
        lambda tx: IdentityRows(tx).look_up([(HOME, "unknown")]),
    ],
    "CertificateRows.get": [lambda tx: CertificateRows(tx).get(HOME, ID)],
    "CertificateRows.add": [lambda tx: CertificateRows(tx).add(certificate(10**6))],
    "CertificateRows.matching": [
        lambda tx: CertificateRows(tx).matching(HOME, Fingerprints(b"signed", b"number", b"key"))
    ],
    "CertificateRows.replace": [lambda tx: CertificateRows(tx).replace(certificate(1))],
    "CertificateRows.page": [
        lambda tx: CertificateRows(tx).page(HOME, FORWARDS),
        lambda tx: CertificateRows(tx).page(HOME, BACKWARDS),
    ],
    "CertificateRows.page_by_ca": [
        lambda tx: CertificateRows(tx).page_by_ca(HOME, ID, FORWARDS),
        lambda tx: CertificateRows(tx).page_by_ca(HOME, ID, BACKWARDS),
    ],
    "CertificateRows.page_outgoing": [
        lambda tx: CertificateRows(tx).page_outgoing(HOME, FORWARDS),
        lambda tx: CertificateRows(tx).page_outgoing(HOME, BACKWARDS),
    ],
    "CertificateRows.everywhere": [lambda tx: CertificateRows(tx).everywhere(ID)],
    "CertificateRows.remove": [lambda tx: CertificateRows(tx).remove(HOME, ID)],
    "AttachmentRows.get": [lambda tx: AttachmentRows(tx).get(HOME, "thing 1", PRINCIPAL)],
    "AttachmentRows.add": [lambda tx: AttachmentRows(tx).add(attachment("thing 1", "another"))],
    "AttachmentRows.of_thing": [
        lambda tx: AttachmentRows(tx).of_thing(HOME, "thing 1", FORWARDS),
        lambda tx: AttachmentRows(tx).of_thing(HOME, "thing 1", BACKWARDS),
    ],
    "AttachmentRows.of_principal": [
        lambda tx: AttachmentRows(tx).of_principal(HOME, PRINCIPAL, FORWARDS),
        lambda tx: AttachmentRows(tx).of_principal(HOME, PRINCIPAL, BACKWARDS),
    ],
    "AttachmentRows.remove": [lambda tx: AttachmentRows(tx).remove(HOME, "thing 1", PRINCIPAL)],
    "ThingRows.get": [lambda tx: ThingRows(tx).get(HOME, "thing 1")],
    "ThingRows.add": [lambda tx: ThingRows(tx).add(thing("new", attributes={"a": "b"}))],
    "ThingRows.replace": [lambda tx: ThingRows(tx).replace(thing("thing 1", attributes={"a": "b"}))],
    "ThingRows.set_billing_group": [lambda tx: ThingRows(tx).set_billing_group(HOME, "thing 1", "bill 2")],
    "ThingRows.page": [
        call
        for window in (FORWARDS, BACKWARDS)
        for call in (
            lambda tx, window=window: ThingRows(tx).page(HOME, window),
            lambda tx, window=window: ThingRows(tx).page(HOME, window, type_name="t"),
            lambda tx, window=window: ThingRows(tx).page(HOME, window, attribute=("a", "b")),
            lambda tx, window=window: ThingRows(tx).page(HOME, window, attribute=("a", "b"), prefix=True),
            lambda tx, window=window: ThingRows(tx).page(HOME, window, **type_and_attribute),
            lambda tx, window=window: ThingRows(tx).page(HOME, window, **type_and_attribute, prefix=True),
        )
    ],
    "ThingRows.of_billing_group": [
        lambda tx: ThingRows(tx).of_billing_group(HOME, "bill", FORWARDS),
        lambda tx: ThingRows(tx).of_billing_group(HOME, "bill", BACKWARDS),
    ],
    "ThingTypeRows.get": [lambda tx: ThingTypeRows(tx).get(HOME, "type 1")],
    "ThingTypeRows.add": [lambda tx: ThingTypeRows(tx).add(thing_type("new"))],
    "ThingTypeRows.replace": [lambda tx: ThingTypeRows(tx).replace(thing_type("type 1"))],
    "ThingTypeRows.page": [
        lambda tx: ThingTypeRows(tx).page(HOME, FORWARDS),
        lambda tx: ThingTypeRows(tx).page(HOME, BACKWARDS),
    ],
    "ThingTypeRows.remove": [lambda tx: ThingTypeRows(tx).remove(HOME, "type 1")],
    "ThingGroupRows.get": [lambda tx: ThingGroupRows(tx).get(HOME, "group 1")],
    "ThingGroupRows.add": [lambda tx: ThingGroupRows(tx).add(thing_group("new", "root 1", "group 1"))],
    "ThingGroupRows.replace": [lambda tx: ThingGroupRows(tx).replace(thing_group("group 1", "root 1"))],
    "ThingGroupRows.page": [
        lambda tx: ThingGroupRows(tx).page(HOME, FORWARDS),
        lambda tx: ThingGroupRows(tx).page(HOME, BACKWARDS),
        lambda tx: ThingGroupRows(tx).page(HOME, FORWARDS, prefix="group 3"),
        lambda tx: ThingGroupRows(tx).page(HOME, BACKWARDS, prefix="group 3"),
    ],
    "ThingGroupRows.children": [
        lambda tx: ThingGroupRows(tx).children(HOME, None, FORWARDS),
        lambda tx: ThingGroupRows(tx).children(HOME, "root 1", FORWARDS),
        lambda tx: ThingGroupRows(tx).children(HOME, "root 1", BACKWARDS),
        lambda tx: ThingGroupRows(tx).children(HOME, "root 1", FORWARDS, prefix="group 3"),
        lambda tx: ThingGroupRows(tx).children(HOME, "root 1", BACKWARDS, prefix="group 3"),
    ],
    "ThingGroupRows.descendants": [
        lambda tx: ThingGroupRows(tx).descendants(HOME, "root 1", FORWARDS),
        lambda tx: ThingGroupRows(tx).descendants(HOME, "root 1", BACKWARDS),
        lambda tx: ThingGroupRows(tx).descendants(HOME, "root 1", FORWARDS, prefix="group 3"),
        lambda tx: ThingGroupRows(tx).descendants(HOME, "root 1", BACKWARDS, prefix="group 3"),
    ],
    "ThingGroupRows.join": [lambda tx: ThingGroupRows(tx).join("thing 1", thing_group("other"))],
    "ThingGroupRows.leave": [lambda tx: ThingGroupRows(tx).leave("thing 1", thing_group("group 1", "root 1"))],
    "ThingGroupRows.memberships": [lambda tx: ThingGroupRows(tx).memberships(HOME, "thing 1")],
    "ThingGroupRows.things_in": [
        call
        for window in (FORWARDS, BACKWARDS)
        for call in (
            lambda tx, window=window: ThingGroupRows(tx).things_in(HOME, "root 1", window, recursive=False),
            lambda tx, window=window: ThingGroupRows(tx).things_in(HOME, "root 1", window, recursive=True),
        )
    ],
    "ThingGroupRows.remove": [lambda tx: ThingGroupRows(tx).remove(HOME, "group 1")],
    "BillingGroupRows.get": [lambda tx: BillingGroupRows(tx).get(HOME, "bill 1")],
    "BillingGroupRows.add": [lambda tx: BillingGroupRows(tx).add(billing_group("new"))],
    "BillingGroupRows.replace": [lambda tx: BillingGroupRows(tx).replace(billing_group("bill 1"))],
    "BillingGroupRows.page": [
        lambda tx: BillingGroupRows(tx).page(HOME, FORWARDS),
        lambda tx: BillingGroupRows(tx).page(HOME, BACKWARDS),
        lambda tx: BillingGroupRows(tx).page(HOME, FORWARDS, prefix="bill 3"),
        lambda tx: BillingGroupRows(tx).page(HOME, BACKWARDS, prefix="bill 3"),
    ],
    "BillingGroupRows.remove": [lambda tx: BillingGroupRows(tx).remove(HOME, "bill 1")],
    "ThingRows.remove": [lambda tx: ThingRows(tx).remove(HOME, "new")],
    "PolicyRows.get": [lambda tx: PolicyRows(tx).get(HOME, "policy 1")],
    "PolicyRows.add": [lambda tx: PolicyRows(tx).add(policy("new"), version("new"))],
    "PolicyRows.replace": [lambda tx: PolicyRows(tx).replace(policy("policy 1"))],
    "PolicyRows.page": [
        lambda tx: PolicyRows(tx).page(HOME, FORWARDS),
        lambda tx: PolicyRows(tx).page(HOME, BACKWARDS),
    ],
    "PolicyRows.version": [lambda tx: PolicyRows(tx).version(HOME, "policy 1", 1)],
    "PolicyRows.versions": [lambda tx: PolicyRows(tx).versions(HOME, "policy 1")],
    "PolicyRows.page_versions": [
        lambda tx: PolicyRows(tx).page_versions(HOME, "policy 1", FORWARDS),
        lambda tx: PolicyRows(tx).page_versions(HOME, "policy 1", BACKWARDS),
    ],
    "PolicyRows.add_version": [lambda tx: PolicyRows(tx).add_version(version("policy 1", 2))],
    "PolicyRows.remove_version": [lambda tx: PolicyRows(tx).remove_version(HOME, "policy 1", 2)],
    "PolicyRows.attach": [lambda tx: PolicyRows(tx).attach(HOME, "policy 1", "another")],
    "PolicyRows.attached_to": [
        lambda tx: PolicyRows(tx).attached_to(HOME, PRINCIPAL, FORWARDS),
        lambda tx: PolicyRows(tx).attached_to(HOME, PRINCIPAL, BACKWARDS),
    ],
    "PolicyRows.targets_of": [
        lambda tx: PolicyRows(tx).targets_of(HOME, "policy 1", FORWARDS),
        lambda tx: PolicyRows(tx).targets_of(HOME, "policy 1", BACKWARDS),
    ],
    "PolicyRows.detach": [lambda tx: PolicyRows(tx).detach(HOME, "policy 1", PRINCIPAL)],
    "PolicyRows.remove": [lambda tx: PolicyRows(tx).remove(HOME, "new")],
    "TagRows.get": [lambda tx: TagRows(tx).get(HOME, PRINCIPAL)],
    "TagRows.put": [lambda tx: TagRows(tx).put(HOME, PRINCIPAL, {"k": "v"})],
    "TagRows.remove": [
        lambda tx: TagRows(tx).remove(HOME, PRINCIPAL, ["k"]),
        lambda tx: TagRows(tx).remove(HOME, PRINCIPAL),
    ],
    "RegistrationCodeRows.get": [lambda tx: RegistrationCodeRows(tx).get(HOME)],
    "RegistrationCodeRows.put": [lambda tx: RegistrationCodeRows(tx).put(HOME, "code")],
    "RegistrationCodeRows.remove": [lambda tx: RegistrationCodeRows(tx).remove(HOME)],
    "ProvisioningTemplateRows.get": [lambda tx: ProvisioningTemplateRows(tx).get(HOME, "template 1")],
    "ProvisioningTemplateRows.add": [
        lambda tx: ProvisioningTemplateRows(tx).add(provisioning_template("new"), template_version("new"))
    ],
    "ProvisioningTemplateRows.replace": [
        lambda tx: ProvisioningTemplateRows(tx).replace(provisioning_template("template 1"))
    ],
    "ProvisioningTemplateRows.page": [
        lambda tx: ProvisioningTemplateRows(tx).page(HOME, FORWARDS),
        lambda tx: ProvisioningTemplateRows(tx).page(HOME, BACKWARDS),
    ],
    "ProvisioningTemplateRows.version": [lambda tx: ProvisioningTemplateRows(tx).version(HOME, "template 1", 1)],
    "ProvisioningTemplateRows.versions": [lambda tx: ProvisioningTemplateRows(tx).versions(HOME, "template 1")],
    "ProvisioningTemplateRows.page_versions": [
        lambda tx: ProvisioningTemplateRows(tx).page_versions(HOME, "template 1", FORWARDS),
        lambda tx: ProvisioningTemplateRows(tx).page_versions(HOME, "template 1", BACKWARDS),
    ],
    "ProvisioningTemplateRows.add_version": [
        lambda tx: ProvisioningTemplateRows(tx).add_version(template_version("template 1", 2))
    ],
    "ProvisioningTemplateRows.remove_version": [
        lambda tx: ProvisioningTemplateRows(tx).remove_version(HOME, "template 1", 2)
    ],
    "ProvisioningTemplateRows.remove": [lambda tx: ProvisioningTemplateRows(tx).remove(HOME, "template 1")],
    "ProvisioningClaimRows.get": [lambda tx: ProvisioningClaimRows(tx).get(ID)],
    "ProvisioningClaimRows.add": [
        lambda tx: ProvisioningClaimRows(tx).add(claim(10**6, template_name="template 1")),
    ],
    "ProvisioningClaimRows.of_template": [lambda tx: ProvisioningClaimRows(tx).of_template(HOME, "template 1")],
    "ProvisioningClaimRows.remove_expired": [lambda tx: ProvisioningClaimRows(tx).remove_expired(NOW)],
    "CertificateProviderRows.get": [lambda tx: CertificateProviderRows(tx).get(HOME, "provider 1")],
    "CertificateProviderRows.add": [lambda tx: CertificateProviderRows(tx).add(certificate_provider("new"))],
    "CertificateProviderRows.replace": [
        lambda tx: CertificateProviderRows(tx).replace(certificate_provider("provider 1"))
    ],
    "CertificateProviderRows.remove": [lambda tx: CertificateProviderRows(tx).remove(HOME, "provider 1")],
    "CertificateProviderRows.page": [
        lambda tx: CertificateProviderRows(tx).page(HOME, FORWARDS),
        lambda tx: CertificateProviderRows(tx).page(HOME, BACKWARDS),
    ],
    "EndpointRows.get": [lambda tx: EndpointRows(tx).get(HOME)],
    "EndpointRows.secret": [lambda tx: EndpointRows(tx).secret()],
    "EndpointRows.add_secret": [lambda tx: EndpointRows(tx).add_secret("secret")],
    "EndpointRows.add": [lambda tx: EndpointRows(tx).add(Endpoint(OTHER_ACCOUNT, "new"))],
    "OutboxRows.add": [lambda tx: OutboxRows(tx).add(Event(HOME, "t", b"p"))],
    "OutboxRows.first": [lambda tx: OutboxRows(tx).first(10)],
    "OutboxRows.remove": [lambda tx: OutboxRows(tx).remove([1, 2])],
    "OwnershipTokenRows.get": [lambda tx: OwnershipTokenRows(tx).get(HOME, "ab" * 32)],
    "OwnershipTokenRows.exists_for": [lambda tx: OwnershipTokenRows(tx).exists_for(HOME, ID)],
    "OwnershipTokenRows.add": [lambda tx: OwnershipTokenRows(tx).add(ownership_token(10**6))],
    "OwnershipTokenRows.remove": [lambda tx: OwnershipTokenRows(tx).remove(HOME, "ab" * 32)],
    "OwnershipTokenRows.expired": [lambda tx: OwnershipTokenRows(tx).expired(NOW, 10)],
    "DeliveryRows.get": [lambda tx: DeliveryRows(tx).get(HOME, "handler 1", ID)],
    "DeliveryRows.put": [lambda tx: DeliveryRows(tx).put(delivery(10**6))],
    "DeliveryRows.next_account": [lambda tx: DeliveryRows(tx).next_account("handler 1", "0")],
    "DeliveryRows.upcoming": [lambda tx: DeliveryRows(tx).upcoming("handler 1", HOME.account_id, 10)],
    "DeliveryRows.count": [lambda tx: DeliveryRows(tx).count("handler 1", HOME.account_id)],
    "DeliveryRows.remove_failed": [lambda tx: DeliveryRows(tx).remove_failed("handler 1", HOME.account_id, 10)],
    "DeliveryRows.update": [lambda tx: DeliveryRows(tx).update(1, delivery(1))],
    "DeliveryRows.retry": [lambda tx: DeliveryRows(tx).retry("handler 1", NOW)],
    "DeliveryRows.latest": [lambda tx: DeliveryRows(tx).latest("handler 1", DeliveryState.FAILED)],
    "DeliveryRows.remove": [lambda tx: DeliveryRows(tx).remove(1)],
    "RotationRows.latest": [lambda tx: RotationRows(tx).latest(HOME, ID)],
    "RotationRows.awaiting": [lambda tx: RotationRows(tx).awaiting(HOME, certificate_id(2))],
    "RotationRows.add": [lambda tx: RotationRows(tx).add(rotation(10**6, 10**6 + 1))],
    "RotationRows.finish": [lambda tx: RotationRows(tx).finish(rotation(1, 2, state=RotationState.DONE))],
    "RotationRows.page": [
        call
        for window in (FORWARDS, BACKWARDS)
        for call in (
            lambda tx, window=window: RotationRows(tx).page(HOME, window, RotationState.DONE),
            lambda tx, window=window: RotationRows(tx).page(HOME, window, RotationState.PENDING, ca_certificate_id=ID),
        )
    ],
    "RotationRows.count": [
        lambda tx: RotationRows(tx).count(HOME, RotationState.PENDING),
        lambda tx: RotationRows(tx).count(HOME, RotationState.PENDING, ca_certificate_id=ID),
    ],
    "RegistrationTaskRows.get": [lambda tx: RegistrationTaskRows(tx).get(HOME, "task 1")],
    "RegistrationTaskRows.add": [lambda tx: RegistrationTaskRows(tx).add(registration_task(10**6))],
    "RegistrationTaskRows.replace": [lambda tx: RegistrationTaskRows(tx).replace(registration_task(1))],
    "RegistrationTaskRows.page": [
        call
        for window in (FORWARDS, BACKWARDS)
        for call in (
            lambda tx, window=window: RegistrationTaskRows(tx).page(HOME, window),
            lambda tx, window=window: RegistrationTaskRows(tx).page(HOME, window, status=DONE),
        )
    ],
    "RegistrationTaskRows.everywhere": [lambda tx: RegistrationTaskRows(tx).everywhere("task 1")],
    "RegistrationTaskRows.unfinished": [
        lambda tx: RegistrationTaskRows(tx).unfinished(),
        lambda tx: RegistrationTaskRows(tx).unfinished(HOME.account_id),
    ],
    "RegistrationTaskRows.ended_before": [lambda tx: RegistrationTaskRows(tx).ended_before(NOW, 10)],
    "RegistrationTaskRows.add_report": [
        lambda tx: RegistrationTaskRows(tx).add_report(registration_task(1), ReportType.ERRORS, 2, 3, "{}")
    ],
    "RegistrationTaskRows.report": [
        lambda tx: RegistrationTaskRows(tx).report(registration_task(1), ReportType.ERRORS, 1)
    ],
    "RegistrationTaskRows.remove": [lambda tx: RegistrationTaskRows(tx).remove(HOME, "task 1")],
    "AccountRows.get": [lambda tx: AccountRows(tx).get(HOME.account_id)],
    "AccountRows.add": [lambda tx: AccountRows(tx).add(account("999999999999"))],
    "AccountRows.access_key": [lambda tx: AccountRows(tx).access_key("AKIA")],
    "AccountRows.add_access_key": [lambda tx: AccountRows(tx).add_access_key(access_key(10**6))],
    "AccountRows.access_keys": [lambda tx: AccountRows(tx).access_keys(HOME.account_id)],
}

# These read whole tables, which are small: a row per realm, per account, or per event that waits for a handler.
# ``are_several`` reads two rows.
WHOLE_TABLES = {"EndpointRows.all", "AccountRows.all", "AccountRows.are_several", "DeliveryRows.counts"}

# One row per realm or account.
SMALL = {"EndpointRows", "AccountRows", "RegistrationCodeRows"}

# These sort rows that an index has found: names with a prefix; a target's policies, a certificate's realms, a thing's
# groups, running tasks, which are few; rows of one batch.
SORTING = {
    "ThingRows.page",
    "PolicyRows.attached_to",
    "CertificateRows.everywhere",
    "CACertificateRows.elsewhere",
    "CACertificateRows.everywhere",
    "IdentityRows.look_up",
    "ThingGroupRows.page",
    "ThingGroupRows.children",
    "ThingGroupRows.descendants",
    "ThingGroupRows.memberships",
    "BillingGroupRows.page",
    "RegistrationTaskRows.unfinished",
}

# Names with a prefix are searched among those of a realm or of a parent, or the page among the names.
BY_PREFIX = {"ThingGroupRows.page", "ThingGroupRows.children", "BillingGroupRows.page"}

# Their joins may be read in the order of what is listed, without a condition.
IN_ORDER = {"ThingRows.page", "ThingGroupRows.descendants"}


def test_every_method_of_every_feature_is_checked() -> None:
    methods = {
        f"{rows.__name__}.{method}"
        for rows in row_classes()
        for method, _ in inspect.getmembers(rows, inspect.isfunction)
        if not method.startswith("_")
    }
    assert methods == set(CALLS) | WHOLE_TABLES


def fill(store: Store, many: int) -> None:
    """Add enough rows in three realms that PostgreSQL prefers an index."""
    with store.write() as tx:
        # More rows than in a transaction of the server.
        deadline.lift()
        store._engines.allow_long_statements(connection_of(tx))
        AccountRows(tx).add(account())
        AccountRows(tx).add(account(OTHER_ACCOUNT.account_id))
        PolicyRows(tx).add(policy("policy 0"), version("policy 0"))
        for realm in (HOME, OTHER_ACCOUNT, OTHER_REGION):
            for number in range(9):
                ThingGroupRows(tx).add(thing_group(f"root {number}", realm=realm))
            ThingGroupRows(tx).add(thing_group("other", realm=realm))
            PolicyRows(tx).add(policy("of root", realm), version("of root", realm=realm))
            PolicyRows(tx).attach(realm, "of root", arn.thing_group(realm, "root 1"))
        for number in range(1, many):
            realm = (HOME, OTHER_ACCOUNT, OTHER_REGION)[number % 3] if number > 1 else HOME
            principal = arn.certificate(realm, certificate_id(number))
            CertificateRows(tx).add(certificate(number, realm, ca_certificate_id=certificate_id(number % 7)))
            config = RegistrationConfig(template_name=f"template {number}")
            CACertificateRows(tx).add(ca_certificate(number, realm, registration_config=config))
            attributes = {"a": f"b{number}", "c": "d"}
            marks: dict[str, Any] = {"type_name": f"type {number % 9}", "billing_group_name": f"bill {number % 9}"}
            ThingRows(tx).add(thing(f"thing {number}", realm, attributes=attributes, **marks))
            ThingTypeRows(tx).add(thing_type(f"type {number}", realm))
            BillingGroupRows(tx).add(billing_group(f"bill {number}", realm))
            group = thing_group(f"group {number}", f"root {number % 9}", realm=realm)
            ThingGroupRows(tx).add(group)
            ThingGroupRows(tx).join(f"thing {number}", group)
            AttachmentRows(tx).add(attachment(f"thing {number}", principal, realm))
            PolicyRows(tx).add(policy(f"policy {number}", realm), version(f"policy {number}", realm=realm))
            PolicyRows(tx).attach(realm, f"policy {number}", principal)
            TagRows(tx).put(realm, principal, {"k": "v"})
            name = f"template {number}"
            ProvisioningTemplateRows(tx).add(provisioning_template(name, realm), template_version(name, realm=realm))
            ProvisioningClaimRows(tx).add(claim(many + number, realm, template_name=name))
            CertificateProviderRows(tx).add(certificate_provider(f"provider {number}", realm))
            state = DeliveryState.FAILED if number % 5 == 0 else DeliveryState.PENDING
            DeliveryRows(tx).put(delivery(number, realm, handler=f"handler {number % 3}", state=state))
            rotation_state = (RotationState.DONE, RotationState.PENDING)[number % 2]
            RotationRows(tx).add(
                rotation(number, number + 1, realm, ca_certificate_id=certificate_id(number % 7), state=rotation_state)
            )
            status = DONE if number % 5 else RegistrationTaskStatus.IN_PROGRESS
            task = registration_task(number, realm, status=status, modified_at=NOW + timedelta(seconds=number))
            RegistrationTaskRows(tx).add(task)
            RegistrationTaskRows(tx).add_report(task, ReportType.ERRORS, 1, number, "{}")
            owner = HOME if number % 10 == 0 else OTHER_ACCOUNT
            AccountRows(tx).add_access_key(access_key(number, owner.account_id))


def connection_of(tx: Transaction) -> Connection:
    return tx._connection


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store(f"sqlite:///{tmp_path_factory.mktemp('plans')}/sekisho.db", lambda _: None) as store:
        fill(store, 50)
        yield store


@pytest.fixture(scope="module")
def postgres(postgresql: PostgreSQL) -> Iterator[Store]:
    with Store(postgresql.new_database(), lambda _: None) as store:
        fill(store, 600)
        with store.write() as tx:
            connection_of(tx).execute(text("ANALYZE"))
        yield store


@pytest.mark.parametrize("method", CALLS)
def test_sqlite_searches_and_never_scans(sqlite: Store, method: str) -> None:
    """https://www.sqlite.org/eqp.html: SEARCH uses an index or key for its conditions, SCAN reads everything."""
    try:
        with sqlite.write() as tx:
            for call in CALLS[method]:
                with sent_statements() as statements:
                    call(tx)
                assert statements
                for statement, parameters in statements:
                    rows = connection_of(tx).exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
                    plan = [row.detail for row in rows]
                    _check_sqlite(method, plan)
                    if (
                        statement.startswith("SELECT")
                        and " JOIN " not in statement
                        and " IN (" not in statement
                        and method not in BY_PREFIX
                    ):
                        _check_that_every_condition_is_in_the_key(statement, plan)
            raise _Undo
    except _Undo:
        pass


def test_sqlite_searches_for_a_batch_too(sqlite: Store) -> None:
    """For a list of tuples it would read the whole table, and only for a long list."""
    keys = [(HOME, certificate_id(number)) for number in range(CHUNK)]
    with sqlite.read() as tx:
        with sent_statements() as statements:
            assert IdentityRows(tx).look_up(keys)
        # Certificates, their policies, things, groups; policies of the groups, of which a batch has more than one
        # statement can ask for; and those that are no certificates are looked for among the claims.
        assert len(statements) <= 7
        for statement, parameters in statements:
            rows = connection_of(tx).exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            _check_sqlite("IdentityRows.look_up", [row.detail for row in rows])


class _Undo(Exception):
    """Rolls a transaction back."""


def _check_sqlite(method: str, plan: list[str]) -> None:
    for step in plan:
        # "SCAN n-ROW VALUES CLAUSE" and "SCAN CONSTANT ROW" read parameters.
        assert not step.startswith("SCAN") or "VALUES" in step or "CONSTANT" in step, plan
        assert "AUTOMATIC" not in step, plan
        assert "TEMP B-TREE" not in step or method in SORTING, plan
        if step.startswith("SEARCH"):
            assert "(" in step, plan
            # The key of a realm alone finds a whole list; to continue in it, the place is necessary.
            assert not step.endswith("(account_id=? AND region=?)") or method.split(".")[0] in SMALL, plan


def _check_that_every_condition_is_in_the_key(statement: str, plan: list[str]) -> None:
    """Check that no condition is compared after the row was found, because an index did not find it."""
    # Up to each LIMIT, whose number is a parameter as well: of a statement with subqueries, each has its own.
    conditions = [part.partition("WHERE ")[2] for part in statement.split("LIMIT")]
    found_by = [step.count("?") for step in plan if step.startswith("SEARCH")]
    assert sum(found_by) == sum(condition.count("?") for condition in conditions), (statement, plan)


@pytest.mark.parametrize("method", CALLS)
def test_postgresql_finds_an_index_for_every_condition(postgres: Store, method: str) -> None:
    try:
        with postgres.write() as tx:
            # Of few rows PostgreSQL rather reads all, where it may. What it reads in full now has no index.
            connection_of(tx).execute(text("SET LOCAL enable_seqscan = off"))
            for call in CALLS[method]:
                with sent_statements() as statements:
                    call(tx)
                assert statements
                for statement, parameters in statements:
                    explained = connection_of(tx).exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters)
                    (plan,) = explained.scalars().all()
                    for node in _nodes((plan if isinstance(plan, list) else json.loads(plan))[0]["Plan"]):
                        _check_postgresql(method, node)
            raise _Undo
    except _Undo:
        pass


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for below in node.get("Plans", []):
        yield from _nodes(below)


def _check_postgresql(method: str, node: dict[str, Any]) -> None:
    assert node["Node Type"] != "Seq Scan", node
    if node["Node Type"] in ("Index Scan", "Index Only Scan", "Bitmap Index Scan"):
        # For a prefix that many have, or a tree that has many, PostgreSQL reads in their order until the page is full.
        assert "Index Cond" in node or method in IN_ORDER, node
