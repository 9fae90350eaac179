"""Recognising a certificate that was revoked, in whatever encoding it comes back.

A certificate is known by the SHA-256 of its DER, and only part of the DER is signed: an ECDSA signature (r, s) is as
good as (r, n - s), so that a device writes its certificate anew and has another id. Registered automatically, the copy
would connect after the original was revoked. Two rules hold for every automatic registration:

- What is signed in a certificate that the realm has, whatever its status, is not registered a second time.
- A certificate is not registered while the realm has a REVOKED one of the same issuer and serial number, or of the same
  public key.

A request of an account's key holder (RegisterCertificate and its kin) is not held to them: it says what is wanted. A
certificate that was deleted is forgotten; one that is to stay out stays REVOKED.
"""

from __future__ import annotations

from sekisho.certificates.model import Fingerprints
from sekisho.certificates.store import CertificateRows
from sekisho.pki.certificate import X509Certificate
from sekisho.realm import Realm
from sekisho.refusal import RefusalReason, Refused
from sekisho.store.transaction import Transaction

_BYTES = 16
"""Half of a SHA-256. Another certificate with the same half takes 2^128 attempts to make."""


def fingerprints_of(certificate: X509Certificate) -> Fingerprints:
    """By what the certificate is recognised."""
    return Fingerprints(
        signed=bytes.fromhex(certificate.signed_id)[:_BYTES],
        issuer_serial=bytes.fromhex(certificate.issuer_serial_id)[:_BYTES],
        public_key=bytes.fromhex(certificate.public_key_id)[:_BYTES],
    )


def refusal(tx: Transaction, realm: Realm, certificate: X509Certificate) -> Refused | None:
    """Why a certificate that is not registered is not registered automatically either, or None."""
    kin = CertificateRows(tx).kin(realm, fingerprints_of(certificate))
    if certificate.certificate_id in (kin.same_signed, kin.revoked_same_key, kin.revoked_same_number):
        # Registered since it was looked up: its own status decides.
        return None
    revoked, common = (
        (kin.revoked_same_key, "public key")
        if kin.revoked_same_key is not None
        else (kin.revoked_same_number, "issuer and serial number")
    )
    if revoked is not None:
        return Refused(
            RefusalReason.DEVICE_CERTIFICATE_REVOKED_BEFORE,
            f"Device certificate has the {common} of certificate {revoked}, which "
            "is REVOKED, and is not registered automatically. Give the device a new key and certificate; or, if it is "
            "to connect, register this one with RegisterCertificate.",
        )
    if kin.same_signed is not None:
        return Refused(
            RefusalReason.DEVICE_CERTIFICATE_COPIED,
            f"Device certificate is certificate {kin.same_signed} with its signature "
            "encoded anew, and is not registered automatically beside it. Use the certificate as it was registered.",
        )
    return None
