"""Fingerprints of certificates: kept with every new one, filled in for old ones, found by an index."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from alembic import command
from sqlalchemy import text

from sekisho.certificates.fingerprints import fingerprints_of
from sekisho.certificates.model import CertificateStatus, Fingerprints, Kin
from sekisho.certificates.store import CertificateRows
from sekisho.pki.certificate import X509Certificate
from sekisho.store import migrations
from sekisho.store.store import Store
from tests.store.builders import HOME, OTHER_ACCOUNT, certificate, certificate_id
from tests.store.test_schema_version import opened
from tests.x509 import new_ca, new_device, p256

MINE = Fingerprints(b"signed", b"number", b"key")


def test_what_has_the_same_signed_part_is_found_and_what_is_revoked_by_number_and_key(url: str) -> None:
    with Store(url, lambda _: None) as store, store.write() as tx:
        CertificateRows(tx).add(certificate(1), MINE)
        CertificateRows(tx).add(certificate(2), Fingerprints(b"other", b"number", b"key"))
        CertificateRows(tx).add(certificate(3))
        assert CertificateRows(tx).kin(HOME, MINE) == Kin(same_signed=certificate_id(1))
        assert CertificateRows(tx).kin(OTHER_ACCOUNT, MINE) == Kin()
        CertificateRows(tx).replace(replace(certificate(2), status=CertificateStatus.REVOKED))
        expected = Kin(certificate_id(1), certificate_id(2), certificate_id(2))
        assert CertificateRows(tx).kin(HOME, MINE) == expected
        assert CertificateRows(tx).kin(HOME, replace(MINE, public_key=b"new")) == replace(
            expected, revoked_same_key=None
        )
        CertificateRows(tx).remove(HOME, certificate_id(2))
        assert CertificateRows(tx).kin(HOME, MINE) == Kin(same_signed=certificate_id(1))


def _at_revision(url: str, revision: str) -> None:
    """A database as an earlier version of Sekisho left it."""
    with opened(url).writing.begin() as connection:
        config = migrations.configuration()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def test_rows_of_an_older_version_are_filled_in_batch_by_batch(url: str) -> None:
    _at_revision(url, "0008")
    ca = new_ca()
    key = p256()
    revoked, copied = new_device(ca, key=key), new_device(ca)
    row: dict[str, Any] = {
        "account_id": HOME.account_id,
        "region": HOME.region,
        "mode": "SNI_ONLY",
        "not_before": 0,
        "not_after": 0,
        "created_at": 0,
        "modified_at": 0,
        "customer_version": 1,
        "generation_id": "g",
    }
    rows = [
        row | {"certificate_id": f"{number:064}", "certificate_pem": copied.pem, "status": "ACTIVE"}
        for number in range(2100)
    ]
    rows[7]["certificate_pem"] = "no certificate"
    rows.append(row | {"certificate_id": "a" * 64, "certificate_pem": revoked.pem, "status": "REVOKED"})
    with opened(url).writing.begin() as connection:
        columns = ", ".join(rows[0])
        values = ", ".join(f":{name}" for name in rows[0])
        connection.execute(text(f"INSERT INTO certificates ({columns}) VALUES ({values})"), rows)  # noqa: S608

    with Store(url, lambda _: None) as store, store.read() as tx:
        read = X509Certificate.from_der(new_device(ca, "again", key=key).der)
        kin = CertificateRows(tx).kin(HOME, fingerprints_of(read))
        assert kin == Kin(revoked_same_key="a" * 64)
        same = CertificateRows(tx).kin(HOME, fingerprints_of(X509Certificate.from_der(copied.der)))
        assert same.same_signed is not None
    with opened(url).reading.begin() as connection:
        missing = "SELECT certificate_id FROM certificates WHERE signed_sha256 IS NULL OR issuer_serial_sha256 IS NULL"
        assert connection.execute(text(missing)).scalars().all() == [f"{7:064}"]
