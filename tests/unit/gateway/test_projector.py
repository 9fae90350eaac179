"""Changes of the registry that the gateway is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import pytest

from sekisho._sekisho import Gateway
from sekisho.certificates.model import CertificateStatus
from sekisho.certificates.store import LOST_BY_STATUS, CertificateRows
from sekisho.change import Change, ChangeKind
from sekisho.gateway.projector import Projector
from sekisho.realm import Realm
from tests.store.builders import HOME, certificate, certificate_id
from tests.stores import empty_store

if TYPE_CHECKING:
    from sekisho._sekisho import ChangeDict

REALM = Realm("123456789012", "us-east-1")


class FakeGateway:
    def __init__(self) -> None:
        self.pushed: list[ChangeDict] = []

    def invalidate(self, changes: Sequence[ChangeDict]) -> None:
        self.pushed += changes


def attached() -> tuple[Projector, FakeGateway, list[str]]:
    gateway, refreshed = FakeGateway(), list[str]()
    projector = Projector()
    projector.attach(cast(Gateway, gateway), lambda: refreshed.append("endpoints"))
    return projector, gateway, refreshed


def test_every_change_of_a_commit_is_pushed_and_an_endpoint_is_looked_up_once() -> None:
    projector, gateway, refreshed = attached()
    kinds = (ChangeKind.CERTIFICATE, ChangeKind.POLICY, ChangeKind.THING)
    projector.announce([*(Change(REALM, kind, "a") for kind in kinds), Change(REALM, ChangeKind.ENDPOINT, "b")])
    assert gateway.pushed == [
        {"account_id": "123456789012", "region": "us-east-1", "kind": kind.value, "id": "a", "lost": None}
        for kind in kinds
    ]
    assert refreshed == ["endpoints"]


def test_changes_without_an_endpoint_do_not_update_the_endpoints() -> None:
    projector, gateway, refreshed = attached()
    projector.announce([Change(REALM, ChangeKind.THING, "a")])
    assert len(gateway.pushed) == 1
    assert refreshed == []


def test_a_lost_right_is_pushed_with_its_reason() -> None:
    projector, gateway, _ = attached()
    with empty_store(projector.announce) as store:
        with store.write() as tx:
            CertificateRows(tx).add(certificate())
        with store.write() as tx:
            CertificateRows(tx).replace(certificate(status=CertificateStatus.REVOKED))
        with store.write() as tx:
            CertificateRows(tx).remove(HOME, certificate_id(1))
    reasons = [None, "DEVICE_CERTIFICATE_REVOKED", "DEVICE_CERTIFICATE_NOT_REGISTERED"]
    assert [change["lost"] for change in gateway.pushed] == reasons


@pytest.mark.parametrize("status", CertificateStatus)
def test_every_status_but_active_is_a_lost_right_with_a_reason_that_the_gateway_has(
    status: CertificateStatus,
) -> None:
    change = Change(REALM, ChangeKind.CERTIFICATE, certificate_id(1), LOST_BY_STATUS.get(status))
    assert (change.lost is None) == (status is CertificateStatus.ACTIVE)
    projector = Projector()
    projector.attach(Gateway(host="127.0.0.1", mqtt_port=0), lambda: None)
    projector.announce([change])


def test_without_a_gateway_no_change_is_pushed() -> None:
    Projector().announce([Change(REALM, ChangeKind.CERTIFICATE, "a")])
