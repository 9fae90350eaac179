"""Limits admission to the regions that the server serves.

The registry may contain certificates of regions that are not in the list: they were removed from it, or an earlier
version accepted any text. Without SNI, such a certificate determines its region, and would make a realm in the gateway.
"""

from __future__ import annotations

from collections.abc import Sequence

from sekisho.admission.model import Identity
from sekisho.admission.rules import AdmissionRequest
from sekisho.gateway.pump import Admits
from sekisho.refusal import RefusalReason, Refused
from sekisho.regions import Regions


class InServedRegions:
    """Returns the answers of ``admission``, and refuses identities of regions that are not in the list."""

    def __init__(self, admission: Admits, regions: Regions) -> None:
        self._admission = admission
        self._regions = regions

    def known(self, requests: Sequence[AdmissionRequest]) -> Sequence[Identity | None]:
        """Like ``Admits.known``."""
        return [
            found if found is not None and found.certificate.realm.region in self._regions else None
            for found in self._admission.known(requests)
        ]

    def answer(self, requests: Sequence[AdmissionRequest]) -> Sequence[Identity | Refused]:
        """Like ``Admits.answer``."""
        return [
            Refused(
                RefusalReason.DEVICE_CERTIFICATE_NOT_REGISTERED,
                f"it is registered in another region. {self._regions.why_not(found.certificate.realm.region)}",
            )
            if isinstance(found, Identity) and found.certificate.realm.region not in self._regions
            else found
            for found in self._admission.answer(requests)
        ]
