"""Any bytes are a certificate, or an error with a message; never anything else."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import example, given
from hypothesis import strategies as some

from sekisho.pki import issue, pem, verify
from sekisho.pki.certificate import X509Certificate
from sekisho.pki.pem import PemError
from sekisho.pki.verify import NotAcceptable
from tests.x509 import new_ca, new_device, new_request, p256, v1

NOW: Final = datetime(2026, 1, 2, tzinfo=UTC)

_RSA = rsa.generate_private_key(65537, 2048)
_CA, _RSA_CA = new_ca(), new_ca(key=_RSA)
_WHOLE: Final = [
    _CA.der,
    _RSA_CA.der,
    new_device(_CA, extensions=[x509.AuthorityKeyIdentifier.from_issuer_public_key(_CA.key.public_key())]).der,
    new_device(_RSA_CA, "関所").der,
    pem.read_certificate(v1(new_device(_CA), _CA)),
]
_REQUEST: Final = new_request(p256())


def judged(der: bytes) -> None:
    """Call everything that reads a certificate."""
    try:
        certificate = X509Certificate.from_pem(pem.write(pem.CERTIFICATE, der))
    except PemError:
        return
    _ = certificate.subject, certificate.issuer, certificate.subject_text, certificate.issuer_text
    _ = certificate.common_names, certificate.version, certificate.certificate_id
    verify.is_issued_by(certificate, X509Certificate.from_der(_CA.der))
    verify.is_signed_by(certificate, X509Certificate.from_der(_RSA_CA.der))
    verify.is_self_signed(certificate)
    for fact in ("is_ca", "public_key_id", "subject_key_identifier", "authority_key_identifier"):
        try:
            getattr(certificate, fact)
        except PemError:
            continue
    for check in (verify.check_ca, verify.check_device_certificate):
        try:
            check(certificate, NOW)
        except NotAcceptable:
            continue


# The subject's string becomes a bit string, which cryptography reports as an error of its caller.
_BIT_STRING: Final = (_WHOLE[0], [(_WHOLE[0].rindex(b"\x0c\x04MyCA"), 0x0C ^ 0x03)])


_VERSION_5: Final = (_WHOLE[0], [(_WHOLE[0].index(bytes.fromhex("a003020102")) + 4, 2 ^ 4)])


@example(*_BIT_STRING)
@example(*_VERSION_5)
@given(some.sampled_from(_WHOLE), some.lists(some.tuples(some.integers(0, 2000), some.integers(1, 255)), max_size=4))
def test_a_certificate_with_changed_bytes_is_read_or_refused(der: bytes, changes: list[tuple[int, int]]) -> None:
    damaged = bytearray(der)
    for position, change in changes:
        damaged[position % len(damaged)] ^= change
    judged(bytes(damaged))


@given(some.sampled_from(_WHOLE), some.integers(0, 2000), some.binary(max_size=8))
def test_an_incomplete_certificate_and_one_with_more_bytes_are_refused(der: bytes, length: int, more: bytes) -> None:
    judged(der[:length])
    judged(der + more)


@given(some.text())
@example("-----BEGIN CERTIFICATE-----")
@example("-----BEGIN -----END CERTIFICATE-----")
@example("-----BEGIN CERTIFICATE----------END CERTIFICATE-----")
@example("-----BEGIN CERTIFICATE-----\n====\n-----END CERTIFICATE-----")
@example("-----BEGIN CERTIFICATE-----\n\x00\ud800\n-----END CERTIFICATE-----")
@example("\ufeff-----BEGIN PKCS7-----\nMAA=\n-----END PKCS7-----")
def test_any_text_is_refused_with_a_message(text: str) -> None:
    for read in (X509Certificate.from_pem, issue.read_request, pem.read_chain):
        with pytest.raises((PemError, NotAcceptable), match=r"^[A-Z].{20}"):
            read(text)


@given(some.integers(0, len(_REQUEST) - 1), some.characters())
def test_a_request_with_a_changed_character_is_read_or_refused(position: int, character: str) -> None:
    with suppress(PemError, NotAcceptable):
        issue.read_request(_REQUEST[:position] + character + _REQUEST[position + 1 :])
