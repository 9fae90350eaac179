"""Identities of regions that are not in the list do not reach the gateway."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from sekisho.admission.model import Identity
from sekisho.admission.rules import AdmissionRequest
from sekisho.gateway.region_filter import InServedRegions
from sekisho.realm import Realm
from sekisho.refusal import RefusalReason, Refused
from sekisho.regions import Regions


def identity(region: str) -> Identity:
    certificate = type("Registered", (), {"realm": Realm("123456789012", region)})()
    return Identity(cast(Any, certificate), (), ())


HERE, OWN, MADE_UP = identity("us-east-1"), identity("plant-1"), identity("x1")
UNKNOWN_CA = Refused(RefusalReason.CA_NOT_REGISTERED)


class Registry:
    def known(self, _requests: Sequence[AdmissionRequest]) -> Sequence[Identity | None]:
        return [HERE, OWN, MADE_UP, None]

    def answer(self, _requests: Sequence[AdmissionRequest]) -> Sequence[Identity | Refused]:
        return [HERE, OWN, MADE_UP, UNKNOWN_CA]


def test_an_identity_of_an_unlisted_region_is_refused_with_the_setting_that_adds_it() -> None:
    admission = InServedRegions(Registry(), Regions(("plant-1",)))
    assert admission.known([]) == [HERE, OWN, None, None]
    here, own, made_up, refused = admission.answer([])
    assert (here, own, refused) == (HERE, OWN, UNKNOWN_CA)
    assert isinstance(made_up, Refused)
    assert made_up.reason is RefusalReason.DEVICE_CERTIFICATE_NOT_REGISTERED
    assert made_up.detail is not None
    assert made_up.detail.startswith("it is registered in another region. 'x1' is neither a region")
    assert "SEKISHO_REGIONS=x1" in made_up.detail
