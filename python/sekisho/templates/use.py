"""The uses of a template, and the parameters whose values the service supplies for each.

Source: Developer Guide, provision-template ("Parameters"), jit-provisioning, provision-wo-cert.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

CERTIFICATE: Final = "AWS::IoT::Certificate::"
"""The prefix of parameters whose values come from the certificate."""

CERTIFICATE_ID: Final = f"{CERTIFICATE}Id"

CERTIFICATE_PARAMETERS: Final = frozenset(
    CERTIFICATE + field
    for field in (
        "CommonName",
        "Country",
        "DistinguishedNameQualifier",
        "Id",
        "Organization",
        "OrganizationalUnit",
        "SerialNumber",
        "StateName",
    )
)
"""All parameters whose values come from a certificate."""


class Use(Enum):
    """What a template is used for. The values are the words for messages."""

    FLEET_PROVISIONING = "a template of type FLEET_PROVISIONING"
    JITP = "a template of type JITP"
    DIRECT = "the template of RegisterThing or of a bulk registration"

    @property
    def supplied(self) -> frozenset[str]:
        """Parameters that the service supplies and a template need not declare."""
        match self:
            case Use.FLEET_PROVISIONING:
                return frozenset({CERTIFICATE_ID})
            case Use.JITP:
                return CERTIFICATE_PARAMETERS
            case Use.DIRECT:
                return frozenset()
