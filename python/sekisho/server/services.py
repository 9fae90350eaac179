"""The domain's services, gathered for those who call them: API operations, CLI, gateway pump.

``wiring`` builds the one instance; a new service is a line here and a line there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sekisho.accounts.rules import Accounts
    from sekisho.billing_groups.rules import BillingGroups
    from sekisho.ca_certificates.rules import CACertificates
    from sekisho.certificate_providers.rules import CertificateProviders
    from sekisho.certificates.rules import Certificates
    from sekisho.certificates.transfers import Transfers
    from sekisho.endpoints.rules import Endpoints
    from sekisho.messaging.publishing import Publishing
    from sekisho.policies.authorization import Authorization
    from sekisho.policies.rules import Policies
    from sekisho.provisioning.bulk.registration import BulkRegistration
    from sekisho.provisioning.bulk.rules import RegistrationTasks
    from sekisho.provisioning.fleet import FleetProvisioning
    from sekisho.provisioning.templates.rules import ProvisioningTemplates
    from sekisho.provisioning.thing_registration import ThingRegistration
    from sekisho.rotation.rules import Rotations
    from sekisho.tags.rules import Tags
    from sekisho.thing_groups.rules import ThingGroups
    from sekisho.thing_types.rules import ThingTypes
    from sekisho.things.rules import Things


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that decides."""

    accounts: Accounts
    authorization: Authorization
    billing_groups: BillingGroups
    bulk_registration: BulkRegistration
    ca_certificates: CACertificates
    certificate_providers: CertificateProviders
    certificates: Certificates
    endpoints: Endpoints
    fleet_provisioning: FleetProvisioning
    policies: Policies
    provisioning_templates: ProvisioningTemplates
    publishing: Publishing
    rotations: Rotations
    registration_tasks: RegistrationTasks
    tags: Tags
    thing_groups: ThingGroups
    thing_registration: ThingRegistration
    thing_types: ThingTypes
    things: Things
    transfers: Transfers
