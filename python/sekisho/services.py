"""The domain's services, gathered for those who call them: API operations, CLI, gateway pump.

``app.py`` builds the one instance; a new service is a line here and a line there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sekisho.messaging.publishing import Publishing
    from sekisho.provisioning.registration import ThingRegistration
    from sekisho.provisioning.registration_tasks import RegistrationTasks
    from sekisho.provisioning.rotation import Rotations
    from sekisho.provisioning.templates import ProvisioningTemplates
    from sekisho.registry.accounts import Accounts
    from sekisho.registry.authorization import Authorization
    from sekisho.registry.billing_groups import BillingGroups
    from sekisho.registry.ca_certificates import CACertificates
    from sekisho.registry.certificate_providers import CertificateProviders
    from sekisho.registry.certificates import Certificates
    from sekisho.registry.endpoints import Endpoints
    from sekisho.registry.policies import Policies
    from sekisho.registry.tags import Tags
    from sekisho.registry.thing_groups import ThingGroups
    from sekisho.registry.thing_types import ThingTypes
    from sekisho.registry.things import Things
    from sekisho.registry.transfers import Transfers


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that decides."""

    accounts: Accounts
    authorization: Authorization
    billing_groups: BillingGroups
    ca_certificates: CACertificates
    certificate_providers: CertificateProviders
    certificates: Certificates
    endpoints: Endpoints
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
