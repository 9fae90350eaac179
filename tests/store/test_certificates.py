"""The promises of ``ports.CertificateRows`` and ``ports.CACertificateRows``, kept by every store."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from sekisho.registry.model import (
    AutoRegistrationStatus,
    CACertificateStatus,
    CertificateMode,
    CertificateStatus,
    RegistrationConfig,
    TransferData,
)
from sekisho.registry.ports import AlreadyThere, Window
from sekisho.store.unit_of_work import SqlStore
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


def test_a_certificate_comes_back_as_it_was_added(store: SqlStore) -> None:
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
        tx.certificates.add(plain)
        tx.certificates.add(full)
    with store.read() as tx:
        assert tx.certificates.get(HOME, plain.certificate_id) == plain
        assert tx.certificates.get(HOME, full.certificate_id) == full
        assert tx.certificates.get(HOME, certificate_id(3)) is None


def test_a_time_in_another_zone_comes_back_as_the_same_instant_in_utc(store: SqlStore) -> None:
    tokyo = datetime(2027, 1, 1, 8, 0, 0, 1, tzinfo=timezone(timedelta(hours=9)))
    with store.write() as tx:
        tx.certificates.add(certificate(created_at=tokyo))
    with store.read() as tx:
        found = tx.certificates.get(HOME, certificate_id(1))
    assert found is not None
    assert found.created_at == tokyo
    assert found.created_at.utcoffset() == timedelta(0)


def test_a_time_without_zone_is_refused(store: SqlStore) -> None:
    with pytest.raises(Exception, match="time zone"), store.write() as tx:
        tx.certificates.add(certificate(created_at=datetime(2027, 1, 1)))  # noqa: DTZ001 - what is refused


def test_the_same_certificate_may_be_in_every_realm_but_once_in_each(store: SqlStore) -> None:
    with store.write() as tx:
        for realm in (HOME, OTHER_ACCOUNT, OTHER_REGION):
            tx.certificates.add(certificate(realm=realm))
        with pytest.raises(AlreadyThere):
            tx.certificates.add(certificate(certificate_pem="another"))
        tx.certificates.add(certificate(2))
    with store.read() as tx:
        assert [each.realm for each in tx.certificates.everywhere(certificate_id(1))] == [
            HOME,
            OTHER_ACCOUNT,
            OTHER_REGION,
        ]
        assert tx.certificates.everywhere(certificate_id(3)) == []
        assert tx.certificates.get(HOME, certificate_id(1)) == certificate()
        assert [each.certificate_id for each in tx.certificates.page(HOME, EVERYTHING).items] == [
            certificate_id(1),
            certificate_id(2),
        ]


def test_replacing_a_certificate_changes_that_one_only(store: SqlStore) -> None:
    with store.write() as tx:
        for realm in (HOME, OTHER_ACCOUNT, OTHER_REGION):
            tx.certificates.add(certificate(realm=realm))
        tx.certificates.add(certificate(2))
    revoked = certificate(status=CertificateStatus.REVOKED, modified_at=NOW + timedelta(1), customer_version=2)
    with store.write() as tx:
        tx.certificates.replace(revoked)
    with store.read() as tx:
        assert tx.certificates.get(HOME, certificate_id(1)) == revoked
        assert tx.certificates.get(OTHER_ACCOUNT, certificate_id(1)) == certificate(realm=OTHER_ACCOUNT)
        assert tx.certificates.get(OTHER_REGION, certificate_id(1)) == certificate(realm=OTHER_REGION)
        assert tx.certificates.get(HOME, certificate_id(2)) == certificate(2)


def test_replacing_what_is_not_there_is_not_silent(store: SqlStore) -> None:
    with store.write() as tx:
        tx.certificates.add(certificate(realm=OTHER_REGION))
        with pytest.raises(KeyError, match=certificate_id(1)):
            tx.certificates.replace(certificate())
        with pytest.raises(KeyError):
            tx.ca_certificates.replace(ca_certificate())


def test_removing_a_certificate_removes_that_one_only(store: SqlStore) -> None:
    with store.write() as tx:
        tx.certificates.add(certificate())
        tx.certificates.add(certificate(2))
        tx.certificates.add(certificate(realm=OTHER_ACCOUNT))
        tx.certificates.remove(HOME, certificate_id(1))
        tx.certificates.remove(HOME, certificate_id(3))
    with store.read() as tx:
        assert tx.certificates.get(HOME, certificate_id(1)) is None
        assert tx.certificates.get(HOME, certificate_id(2)) is not None
        assert tx.certificates.get(OTHER_ACCOUNT, certificate_id(1)) is not None


def test_certificates_of_a_ca_are_listed_apart(store: SqlStore) -> None:
    ours, theirs = certificate_id(90), certificate_id(91)
    with store.write() as tx:
        tx.certificates.add(certificate(1, ca_certificate_id=ours))
        tx.certificates.add(certificate(2, ca_certificate_id=theirs))
        tx.certificates.add(certificate(3))
        tx.certificates.add(certificate(4, ca_certificate_id=ours))
        tx.certificates.add(certificate(5, ca_certificate_id=ours, realm=OTHER_ACCOUNT))
    with store.read() as tx:
        found = tx.certificates.page_by_ca(HOME, ours, EVERYTHING)
        assert [each.certificate_id for each in found.items] == [certificate_id(1), certificate_id(4)]
        assert found.next_after is None
        newest = tx.certificates.page_by_ca(HOME, ours, Window(limit=1, ascending=False))
        assert [each.certificate_id for each in newest.items] == [certificate_id(4)]
        assert newest.next_after is not None


def test_certificates_that_are_offered_to_another_account_are_listed_apart(store: SqlStore) -> None:
    pending = CertificateStatus.PENDING_TRANSFER
    offered = TransferData(transferred_at=NOW, transferred_to=OTHER_ACCOUNT.account_id)
    with store.write() as tx:
        tx.certificates.add(certificate(1, status=pending, transfer=offered))
        tx.certificates.add(certificate(2, status=pending, transfer=TransferData(transferred_at=NOW)))
        tx.certificates.add(certificate(3, status=CertificateStatus.INACTIVE, transfer=offered))
        tx.certificates.add(certificate(4, status=pending, transfer=offered))
        tx.certificates.add(certificate(5, status=pending, transfer=offered, realm=OTHER_REGION))
    with store.read() as tx:
        found = tx.certificates.page_outgoing(HOME, EVERYTHING)
        assert [each.certificate_id for each in found.items] == [certificate_id(1), certificate_id(4)]
        assert found.next_after is None
        newest = tx.certificates.page_outgoing(HOME, Window(limit=1, ascending=False))
        assert [each.certificate_id for each in newest.items] == [certificate_id(4)]
        older = tx.certificates.page_outgoing(HOME, Window(limit=1, after=newest.next_after, ascending=False))
        assert [each.certificate_id for each in older.items] == [certificate_id(1)]


def test_a_ca_certificate_comes_back_as_it_was_added_and_replaced(store: SqlStore) -> None:
    full = ca_certificate(
        2,
        status=CACertificateStatus.INACTIVE,
        mode=CertificateMode.SNI_ONLY,
        auto_registration_status=AutoRegistrationStatus.ENABLE,
        registration_config=RegistrationConfig(template_body='{"a": 1}', role_arn="arn:aws:iam::123456789012:role/r"),
        subject=bytes(range(256)) * 20,
    )
    with store.write() as tx:
        tx.ca_certificates.add(ca_certificate())
        tx.ca_certificates.add(full)
        with pytest.raises(AlreadyThere):
            tx.ca_certificates.add(ca_certificate())
    with store.read() as tx:
        assert tx.ca_certificates.get(HOME, certificate_id(1)) == ca_certificate()
        assert tx.ca_certificates.get(HOME, certificate_id(2)) == full
        assert tx.ca_certificates.get(OTHER_REGION, certificate_id(2)) is None
    changed = replace(full, registration_config=RegistrationConfig(template_name="t"), customer_version=2)
    with store.write() as tx:
        tx.ca_certificates.replace(changed)
    with store.read() as tx:
        assert tx.ca_certificates.get(HOME, certificate_id(2)) == changed
        assert tx.ca_certificates.get(HOME, certificate_id(1)) == ca_certificate()
    with store.write() as tx:
        tx.ca_certificates.remove(HOME, certificate_id(2))
    with store.read() as tx:
        assert tx.ca_certificates.get(HOME, certificate_id(2)) is None
        assert tx.ca_certificates.get(HOME, certificate_id(1)) is not None


def test_ca_certificates_of_one_subject_are_found_in_their_realm(store: SqlStore) -> None:
    with store.write() as tx:
        tx.ca_certificates.add(ca_certificate(1, subject=b"same"))
        tx.ca_certificates.add(ca_certificate(2, subject=b"other"))
        tx.ca_certificates.add(ca_certificate(3, subject=b"same"))
        tx.ca_certificates.add(ca_certificate(4, subject=b"same", realm=OTHER_ACCOUNT))
    with store.read() as tx:
        found = tx.ca_certificates.with_subject(HOME, b"same")
        assert [each.certificate_id for each in found] == [certificate_id(1), certificate_id(3)]
        assert tx.ca_certificates.with_subject(HOME, b"none") == []


def test_a_ca_certificate_is_found_in_every_account_of_a_region(store: SqlStore) -> None:
    with store.write() as tx:
        for realm in (OTHER_REGION, OTHER_ACCOUNT, HOME):
            tx.ca_certificates.add(ca_certificate(realm=realm))
        tx.ca_certificates.add(ca_certificate(2))
    with store.read() as tx:
        found = tx.ca_certificates.elsewhere(certificate_id(1), HOME.region)
        assert [each.realm for each in found] == [OTHER_ACCOUNT, HOME]
        assert tx.ca_certificates.elsewhere(certificate_id(1), "ap-northeast-1") == []


def test_a_ca_certificate_is_found_in_every_realm(store: SqlStore) -> None:
    with store.write() as tx:
        for realm in (OTHER_REGION, OTHER_ACCOUNT, HOME):
            tx.ca_certificates.add(ca_certificate(realm=realm))
        tx.ca_certificates.add(ca_certificate(2))
    with store.read() as tx:
        found = tx.ca_certificates.everywhere(certificate_id(1))
        assert [each.realm for each in found] == [OTHER_REGION, OTHER_ACCOUNT, HOME]
        assert tx.ca_certificates.everywhere(certificate_id(3)) == []


def test_ca_certificates_of_a_template_are_listed_apart(store: SqlStore) -> None:
    with store.write() as tx:
        for number, name in enumerate(["t", None, "u", "t"], start=1):
            config = RegistrationConfig(template_name=name) if name else None
            tx.ca_certificates.add(ca_certificate(number, registration_config=config))
        tx.ca_certificates.add(
            ca_certificate(5, realm=OTHER_REGION, registration_config=RegistrationConfig(template_name="t"))
        )
    with store.read() as tx:
        found = tx.ca_certificates.page(HOME, EVERYTHING, template_name="t")
        assert [each.certificate_id for each in found.items] == [certificate_id(1), certificate_id(4)]
        assert len(tx.ca_certificates.page(HOME, EVERYTHING).items) == 4
