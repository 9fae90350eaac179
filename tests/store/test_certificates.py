"""The promises of ``ports.CertificateRows`` and ``ports.CACertificateRows``, kept by every store."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from sekisho.ca_certificates.model import AutoRegistrationStatus, CACertificateStatus, RegistrationConfig
from sekisho.ca_certificates.store import CACertificateRows
from sekisho.certificates.model import CertificateMode, CertificateStatus, TransferData
from sekisho.certificates.store import CertificateRows
from sekisho.pages import Window
from sekisho.store.errors import AlreadyThere
from sekisho.store.store import Store
from tests.store.builders import (
    HOME,
    NOW,
    OTHER_ACCOUNT,
    OTHER_REGION,
    ca_certificate,
    certificate,
    certificate_id,
)

EVERYTHING = Window(limit=250)


def test_a_certificate_is_read_as_it_was_added(store: Store) -> None:
    plain = certificate(1)
    full = certificate(
        2,
        ca_certificate_id=certificate_id(99),
        status=CertificateStatus.PENDING_TRANSFER,
        mode=CertificateMode.DEFAULT,
        previous_owned_by="999999999999",
        transfer=TransferData("hello", "no", NOW, NOW + timedelta(1), NOW + timedelta(2), "888888888888"),
        certificate_pem="証明書 € \U0001f510\r\n",
    )
    with store.write() as tx:
        CertificateRows(tx).add(plain)
        CertificateRows(tx).add(full)
    with store.read() as tx:
        assert CertificateRows(tx).get(HOME, plain.certificate_id) == plain
        assert CertificateRows(tx).get(HOME, full.certificate_id) == full
        assert CertificateRows(tx).get(HOME, certificate_id(3)) is None


def test_a_time_in_another_zone_is_read_as_the_same_instant_in_utc(store: Store) -> None:
    tokyo = datetime(2027, 1, 1, 8, 0, 0, 1, tzinfo=timezone(timedelta(hours=9)))
    with store.write() as tx:
        CertificateRows(tx).add(certificate(created_at=tokyo))
    with store.read() as tx:
        found = CertificateRows(tx).get(HOME, certificate_id(1))
    assert found is not None
    assert found.created_at == tokyo
    assert found.created_at.utcoffset() == timedelta(0)


def test_a_time_without_zone_is_refused(store: Store) -> None:
    with pytest.raises(Exception, match="time zone"), store.write() as tx:
        CertificateRows(tx).add(certificate(created_at=datetime(2027, 1, 1)))  # noqa: DTZ001 - what is refused


def test_a_certificate_may_be_in_every_realm_but_once_in_each(store: Store) -> None:
    with store.write() as tx:
        for realm in (HOME, OTHER_ACCOUNT, OTHER_REGION):
            CertificateRows(tx).add(certificate(realm=realm))
        with pytest.raises(AlreadyThere):
            CertificateRows(tx).add(certificate(certificate_pem="another"))
        CertificateRows(tx).add(certificate(2))
    with store.read() as tx:
        assert [each.realm for each in CertificateRows(tx).everywhere(certificate_id(1))] == [
            HOME,
            OTHER_ACCOUNT,
            OTHER_REGION,
        ]
        assert CertificateRows(tx).everywhere(certificate_id(3)) == []
        assert CertificateRows(tx).get(HOME, certificate_id(1)) == certificate()
        assert [each.certificate_id for each in CertificateRows(tx).page(HOME, EVERYTHING).items] == [
            certificate_id(1),
            certificate_id(2),
        ]


def test_replacing_a_certificate_changes_only_that_one(store: Store) -> None:
    with store.write() as tx:
        for realm in (HOME, OTHER_ACCOUNT, OTHER_REGION):
            CertificateRows(tx).add(certificate(realm=realm))
        CertificateRows(tx).add(certificate(2))
    revoked = certificate(status=CertificateStatus.REVOKED, modified_at=NOW + timedelta(1), customer_version=2)
    with store.write() as tx:
        CertificateRows(tx).replace(revoked)
    with store.read() as tx:
        assert CertificateRows(tx).get(HOME, certificate_id(1)) == revoked
        assert CertificateRows(tx).get(OTHER_ACCOUNT, certificate_id(1)) == certificate(realm=OTHER_ACCOUNT)
        assert CertificateRows(tx).get(OTHER_REGION, certificate_id(1)) == certificate(realm=OTHER_REGION)
        assert CertificateRows(tx).get(HOME, certificate_id(2)) == certificate(2)


def test_replacing_a_missing_certificate_raises(store: Store) -> None:
    with store.write() as tx:
        CertificateRows(tx).add(certificate(realm=OTHER_REGION))
        with pytest.raises(KeyError, match=certificate_id(1)):
            CertificateRows(tx).replace(certificate())
        with pytest.raises(KeyError):
            CACertificateRows(tx).replace(ca_certificate())


def test_removing_a_certificate_removes_only_that_one(store: Store) -> None:
    with store.write() as tx:
        CertificateRows(tx).add(certificate())
        CertificateRows(tx).add(certificate(2))
        CertificateRows(tx).add(certificate(realm=OTHER_ACCOUNT))
        CertificateRows(tx).remove(HOME, certificate_id(1))
        CertificateRows(tx).remove(HOME, certificate_id(3))
    with store.read() as tx:
        assert CertificateRows(tx).get(HOME, certificate_id(1)) is None
        assert CertificateRows(tx).get(HOME, certificate_id(2)) is not None
        assert CertificateRows(tx).get(OTHER_ACCOUNT, certificate_id(1)) is not None


def test_certificates_are_listed_by_ca(store: Store) -> None:
    ours, theirs = certificate_id(90), certificate_id(91)
    with store.write() as tx:
        CertificateRows(tx).add(certificate(1, ca_certificate_id=ours))
        CertificateRows(tx).add(certificate(2, ca_certificate_id=theirs))
        CertificateRows(tx).add(certificate(3))
        CertificateRows(tx).add(certificate(4, ca_certificate_id=ours))
        CertificateRows(tx).add(certificate(5, ca_certificate_id=ours, realm=OTHER_ACCOUNT))
    with store.read() as tx:
        found = CertificateRows(tx).page_by_ca(HOME, ours, EVERYTHING)
        assert [each.certificate_id for each in found.items] == [certificate_id(1), certificate_id(4)]
        assert found.next_after is None
        newest = CertificateRows(tx).page_by_ca(HOME, ours, Window(limit=1, ascending=False))
        assert [each.certificate_id for each in newest.items] == [certificate_id(4)]
        assert newest.next_after is not None


def test_certificates_offered_to_another_account_are_listed_separately(store: Store) -> None:
    pending = CertificateStatus.PENDING_TRANSFER
    offered = TransferData(transferred_at=NOW, transferred_to=OTHER_ACCOUNT.account_id)
    with store.write() as tx:
        CertificateRows(tx).add(certificate(1, status=pending, transfer=offered))
        CertificateRows(tx).add(certificate(2, status=pending, transfer=TransferData(transferred_at=NOW)))
        CertificateRows(tx).add(certificate(3, status=CertificateStatus.INACTIVE, transfer=offered))
        CertificateRows(tx).add(certificate(4, status=pending, transfer=offered))
        CertificateRows(tx).add(certificate(5, status=pending, transfer=offered, realm=OTHER_REGION))
    with store.read() as tx:
        found = CertificateRows(tx).page_outgoing(HOME, EVERYTHING)
        assert [each.certificate_id for each in found.items] == [certificate_id(1), certificate_id(4)]
        assert found.next_after is None
        newest = CertificateRows(tx).page_outgoing(HOME, Window(limit=1, ascending=False))
        assert [each.certificate_id for each in newest.items] == [certificate_id(4)]
        older = CertificateRows(tx).page_outgoing(HOME, Window(limit=1, after=newest.next_after, ascending=False))
        assert [each.certificate_id for each in older.items] == [certificate_id(1)]


def test_a_ca_certificate_is_read_as_it_was_added_and_replaced(store: Store) -> None:
    full = ca_certificate(
        2,
        status=CACertificateStatus.INACTIVE,
        mode=CertificateMode.SNI_ONLY,
        auto_registration_status=AutoRegistrationStatus.ENABLE,
        registration_config=RegistrationConfig(template_body='{"a": 1}', role_arn="arn:aws:iam::123456789012:role/r"),
        subject=bytes(range(256)) * 20,
    )
    with store.write() as tx:
        CACertificateRows(tx).add(ca_certificate())
        CACertificateRows(tx).add(full)
        with pytest.raises(AlreadyThere):
            CACertificateRows(tx).add(ca_certificate())
    with store.read() as tx:
        assert CACertificateRows(tx).get(HOME, certificate_id(1)) == ca_certificate()
        assert CACertificateRows(tx).get(HOME, certificate_id(2)) == full
        assert CACertificateRows(tx).get(OTHER_REGION, certificate_id(2)) is None
    changed = replace(full, registration_config=RegistrationConfig(template_name="t"), customer_version=2)
    with store.write() as tx:
        CACertificateRows(tx).replace(changed)
    with store.read() as tx:
        assert CACertificateRows(tx).get(HOME, certificate_id(2)) == changed
        assert CACertificateRows(tx).get(HOME, certificate_id(1)) == ca_certificate()
    with store.write() as tx:
        CACertificateRows(tx).remove(HOME, certificate_id(2))
    with store.read() as tx:
        assert CACertificateRows(tx).get(HOME, certificate_id(2)) is None
        assert CACertificateRows(tx).get(HOME, certificate_id(1)) is not None


def test_ca_certificates_of_one_subject_are_found_in_their_realm(store: Store) -> None:
    with store.write() as tx:
        CACertificateRows(tx).add(ca_certificate(1, subject=b"same"))
        CACertificateRows(tx).add(ca_certificate(2, subject=b"other"))
        CACertificateRows(tx).add(ca_certificate(3, subject=b"same"))
        CACertificateRows(tx).add(ca_certificate(4, subject=b"same", realm=OTHER_ACCOUNT))
    with store.read() as tx:
        found = CACertificateRows(tx).with_subject(HOME, b"same")
        assert [each.certificate_id for each in found] == [certificate_id(1), certificate_id(3)]
        assert CACertificateRows(tx).with_subject(HOME, b"none") == []


def test_a_ca_certificate_is_found_in_every_account_of_a_region(store: Store) -> None:
    with store.write() as tx:
        for realm in (OTHER_REGION, OTHER_ACCOUNT, HOME):
            CACertificateRows(tx).add(ca_certificate(realm=realm))
        CACertificateRows(tx).add(ca_certificate(2))
    with store.read() as tx:
        found = CACertificateRows(tx).elsewhere(certificate_id(1), HOME.region)
        assert [each.realm for each in found] == [OTHER_ACCOUNT, HOME]
        assert CACertificateRows(tx).elsewhere(certificate_id(1), "ap-northeast-1") == []


def test_a_ca_certificate_is_found_in_every_realm(store: Store) -> None:
    with store.write() as tx:
        for realm in (OTHER_REGION, OTHER_ACCOUNT, HOME):
            CACertificateRows(tx).add(ca_certificate(realm=realm))
        CACertificateRows(tx).add(ca_certificate(2))
    with store.read() as tx:
        found = CACertificateRows(tx).everywhere(certificate_id(1))
        assert [each.realm for each in found] == [OTHER_REGION, OTHER_ACCOUNT, HOME]
        assert CACertificateRows(tx).everywhere(certificate_id(3)) == []


def test_ca_certificates_are_listed_by_template(store: Store) -> None:
    with store.write() as tx:
        for number, name in enumerate(["t", None, "u", "t"], start=1):
            config = RegistrationConfig(template_name=name) if name else None
            CACertificateRows(tx).add(ca_certificate(number, registration_config=config))
        CACertificateRows(tx).add(
            ca_certificate(5, realm=OTHER_REGION, registration_config=RegistrationConfig(template_name="t"))
        )
    with store.read() as tx:
        found = CACertificateRows(tx).page(HOME, EVERYTHING, template_name="t")
        assert [each.certificate_id for each in found.items] == [certificate_id(1), certificate_id(4)]
        assert len(CACertificateRows(tx).page(HOME, EVERYTHING).items) == 4
