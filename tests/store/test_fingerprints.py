"""Fingerprints of certificates: kept with every new one, and found by an index."""

from __future__ import annotations

from dataclasses import replace

from sekisho.certificates.model import CertificateStatus, FingerprintMatches, Fingerprints
from sekisho.certificates.store import CertificateRows
from sekisho.store.store import Store
from tests.store.builders import HOME, OTHER_ACCOUNT, certificate, certificate_id

MINE = Fingerprints(b"signed", b"number", b"key")


def test_certificates_are_found_by_their_signed_part_and_revoked_ones_by_serial_number_and_key(url: str) -> None:
    with Store(url, lambda _: None) as store, store.write() as tx:
        CertificateRows(tx).add(certificate(1), MINE)
        CertificateRows(tx).add(certificate(2), Fingerprints(b"other", b"number", b"key"))
        CertificateRows(tx).add(certificate(3))
        assert CertificateRows(tx).matching(HOME, MINE) == FingerprintMatches(same_signed=certificate_id(1))
        assert CertificateRows(tx).matching(OTHER_ACCOUNT, MINE) == FingerprintMatches()
        CertificateRows(tx).replace(replace(certificate(2), status=CertificateStatus.REVOKED))
        expected = FingerprintMatches(certificate_id(1), certificate_id(2), certificate_id(2))
        assert CertificateRows(tx).matching(HOME, MINE) == expected
        assert CertificateRows(tx).matching(HOME, replace(MINE, public_key=b"new")) == replace(
            expected, revoked_same_key=None
        )
        CertificateRows(tx).remove(HOME, certificate_id(2))
        assert CertificateRows(tx).matching(HOME, MINE) == FingerprintMatches(same_signed=certificate_id(1))
