"""Which object is given which: the services of a store and of what is foreign to it.

The server and the contract tests build the same services with the one function here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from sekisho.accounts.rules import Accounts
from sekisho.billing_groups.rules import BillingGroups
from sekisho.ca_certificates.rules import CACertificates
from sekisho.certificate_providers.rules import CertificateProviders
from sekisho.certificates.rules import Certificates
from sekisho.certificates.transfers import Transfers
from sekisho.clock import Clock
from sekisho.endpoints.rules import Endpoints
from sekisho.messaging.publishing import Broker, Publishing
from sekisho.pki.issuing import IssuingAuthority
from sekisho.policies.authorization import Authorization
from sekisho.policies.engine import PolicyEngine
from sekisho.policies.rules import Policies
from sekisho.provisioning.bulk.input import Buckets
from sekisho.provisioning.bulk.registration import BulkRegistration
from sekisho.provisioning.bulk.rules import RegistrationTasks
from sekisho.provisioning.csr_signer import HandlerCsrSigner
from sekisho.provisioning.fleet import FleetProvisioning
from sekisho.provisioning.handlers import Handlers
from sekisho.provisioning.provisioner import provision
from sekisho.provisioning.templates.rules import ProvisioningTemplates
from sekisho.provisioning.thing_registration import ThingRegistration
from sekisho.rotation.rules import Rotations
from sekisho.server.services import Services
from sekisho.store.store import Store
from sekisho.tags.rules import Tags
from sekisho.thing_groups.rules import ThingGroups
from sekisho.thing_types.rules import ThingTypes
from sekisho.things.rules import Things


@dataclass(frozen=True, slots=True)
class Foreign:
    """What services use beside the store. Tests give some of their own."""

    clock: Clock
    engine: PolicyEngine
    authority: IssuingAuthority
    """Issues what CreateKeysAndCertificate and CreateCertificateFromCsr answer."""
    broker: Broker
    handlers: Handlers
    buckets: Buckets


def build(store: Store, endpoints: Endpoints, foreign: Foreign) -> Services:
    """Build every service. Nothing is started.

    Args:
        endpoints: Those of ``store``, as the settings name them.
    """
    clock, engine, authority = foreign.clock, foreign.engine, foreign.authority
    certificates = Certificates(store, clock, authority, HandlerCsrSigner(foreign.handlers))
    bulk_registration = BulkRegistration(
        store, clock, foreign.buckets, partial(provision, certificate=None, engine=engine, authority=authority)
    )
    return Services(
        accounts=Accounts(store, clock),
        authorization=Authorization(store, engine),
        billing_groups=BillingGroups(store, clock),
        bulk_registration=bulk_registration,
        ca_certificates=CACertificates(store, clock),
        certificate_providers=CertificateProviders(store, clock),
        certificates=certificates,
        endpoints=endpoints,
        fleet_provisioning=FleetProvisioning(store, clock, certificates, engine, authority, foreign.handlers),
        policies=Policies(store, clock, engine),
        provisioning_templates=ProvisioningTemplates(store, clock, authority),
        publishing=Publishing(foreign.broker),
        registration_tasks=RegistrationTasks(store, clock, bulk_registration.begin),
        rotations=Rotations(store, clock),
        tags=Tags(store),
        thing_groups=ThingGroups(store, clock),
        thing_registration=ThingRegistration(store, clock, engine, authority),
        thing_types=ThingTypes(store, clock),
        things=Things(store, clock),
        transfers=Transfers(store, clock),
    )
