"""The domain's services, gathered for those who call them: API operations, CLI, gateway pump.

``app.py`` builds the one instance; a new service is a line here and a line there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sekisho.messaging.publishing import Publishing
    from sekisho.provisioning.rotation import Rotations
    from sekisho.registry.accounts import Accounts
    from sekisho.registry.authorization import Authorization
    from sekisho.registry.ca_certificates import CACertificates
    from sekisho.registry.certificates import Certificates
    from sekisho.registry.endpoints import Endpoints
    from sekisho.registry.policies import Policies
    from sekisho.registry.tags import Tags
    from sekisho.registry.things import Things
    from sekisho.registry.transfers import Transfers


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that decides."""

    accounts: Accounts
    authorization: Authorization
    ca_certificates: CACertificates
    certificates: Certificates
    endpoints: Endpoints
    policies: Policies
    publishing: Publishing
    rotations: Rotations
    tags: Tags
    things: Things
    transfers: Transfers
