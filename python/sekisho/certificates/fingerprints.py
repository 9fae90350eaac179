"""Recognises a revoked certificate that a device presents in another encoding.

A certificate's id is the SHA-256 of its DER, but only part of the DER is signed, and an ECDSA signature (r, s) is also
valid as (r, n - s). So a device can encode its certificate with another id. If such a copy were registered
automatically, the device could connect after the original was revoked. Two rules hold for each automatic registration:

- A certificate is not registered if the realm has one, of any status, in which the same bytes are signed.
- A certificate is not registered if the realm has a REVOKED one of the same issuer and serial number, or of the same
  public key.

The rules do not hold for API requests (RegisterCertificate and others), which say what the account wants. They do not
know deleted certificates: to keep a certificate refused, leave it REVOKED.
"""

from __future__ import annotations

from sekisho.certificates.model import Fingerprints
from sekisho.certificates.store import CertificateRows
from sekisho.pki.certificate import X509Certificate
from sekisho.realm import Realm
from sekisho.refusal import RefusalReason, Refused
from sekisho.store.transaction import Transaction

_FINGERPRINT_BYTES = 16
"""Half of a SHA-256: to make another certificate with the same half takes 2^128 attempts."""


def fingerprints_of(certificate: X509Certificate) -> Fingerprints:
    """Return the fingerprints of a certificate."""
    return Fingerprints(
        signed=bytes.fromhex(certificate.signed_id)[:_FINGERPRINT_BYTES],
        issuer_serial=bytes.fromhex(certificate.issuer_serial_id)[:_FINGERPRINT_BYTES],
        public_key=bytes.fromhex(certificate.public_key_id)[:_FINGERPRINT_BYTES],
    )


def refusal(tx: Transaction, realm: Realm, certificate: X509Certificate) -> Refused | None:
    """Return why an unregistered certificate must not be registered automatically; None where it may be."""
    matches = CertificateRows(tx).matching(realm, fingerprints_of(certificate))
    if certificate.certificate_id in (matches.same_signed, matches.revoked_same_key, matches.revoked_same_number):
        # It was registered since the look-up: its own status decides.
        return None
    revoked, common = (
        (matches.revoked_same_key, "public key")
        if matches.revoked_same_key is not None
        else (matches.revoked_same_number, "issuer and serial number")
    )
    if revoked is not None:
        return Refused(
            RefusalReason.DEVICE_CERTIFICATE_REVOKED_BEFORE,
            f"Device certificate has the {common} of certificate {revoked}, which "
            "is REVOKED, so it is not registered automatically. Give the device a new key and certificate; or, if it "
            "may connect, register this one with RegisterCertificate.",
        )
    if matches.same_signed is not None:
        return Refused(
            RefusalReason.DEVICE_CERTIFICATE_COPIED,
            f"Device certificate is certificate {matches.same_signed} in another encoding, so it is not registered "
            "automatically. Use the certificate as it was registered.",
        )
    return None
