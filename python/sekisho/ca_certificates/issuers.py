"""Finds the registered CA certificate that issued a certificate.

The issuer is the CA whose key verifies the signature: several CAs of one subject may be registered.

Source: Developer Guide, manage-your-CA-certs; API Reference, RegisterCertificate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sekisho.ca_certificates.model import CACertificate, CACertificateStatus
from sekisho.ca_certificates.store import CACertificateRows
from sekisho.certificates import x509
from sekisho.endpoints.store import EndpointRows
from sekisho.errors import (
    CertificateConflictException,
    CertificateStateException,
    CertificateValidationException,
)
from sekisho.pages import Window
from sekisho.pki import verify
from sekisho.pki.certificate import X509Certificate
from sekisho.realm import Realm
from sekisho.store.transaction import Transaction

_LISTED_CAS: Final = 5
"""CA certificates that a message lists."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """The registered CA certificates whose subject is a certificate's issuer."""

    signed: Sequence[CACertificate]
    """Those whose key verifies the certificate. Several where one key has several CA certificates."""
    other_key: Sequence[CACertificate]
    """Those with another key."""


@dataclass(frozen=True, slots=True)
class NamedCA:
    """The CA certificate that a request names as the issuer of another certificate."""

    certificate: X509Certificate
    has_signed: bool
    """Whether its key signed the other certificate."""


def named_ca(certificate: X509Certificate, ca_certificate_pem: str) -> NamedCA:
    """Parse the CA certificate of a request, and verify the signature of ``certificate`` with its key.

    Called before the write transaction of ``the_named_issuer``, since other requests wait for that.

    Raises:
        CertificateValidationException: The text is not exactly one certificate.
    """
    ca_certificate = x509.ca_from_request(ca_certificate_pem)
    return NamedCA(ca_certificate, verify.is_signed_by(certificate, ca_certificate))


class CAsBySubject:
    """The registered CA certificates by realm and subject, read once each: a batch of devices has few CAs.

    Valid within one transaction, while that writes no CA certificate.
    """

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._read: dict[tuple[Realm, bytes], Sequence[CACertificate]] = {}
        self._realms: Sequence[Realm] | None = None

    def realms(self) -> Sequence[Realm]:
        """Return every realm that has an endpoint."""
        if self._realms is None:
            self._realms = [endpoint.realm for endpoint in EndpointRows(self._tx).all()]
        return self._realms

    def of(self, realm: Realm, subject: bytes) -> Sequence[CACertificate]:
        """Return the CA certificates of a realm with this subject (DER)."""
        found = self._read.get((realm, subject))
        if found is None:
            found = self._read[realm, subject] = CACertificateRows(self._tx).with_subject(realm, subject)
        return found


def candidates(
    tx: Transaction, realm: Realm, certificate: X509Certificate, cas_by_subject: CAsBySubject | None = None
) -> Candidates:
    """Return the registered CA certificates whose subject is the issuer of the certificate.

    Args:
        cas_by_subject: The CA certificates that the transaction has read for other certificates.
    """
    signed: list[CACertificate] = []
    other_key: list[CACertificate] = []
    for ca in (cas_by_subject or CAsBySubject(tx)).of(realm, certificate.issuer):
        issued = verify.is_signed_by(certificate, x509.stored(ca.certificate_pem))
        (signed if issued else other_key).append(ca)
    return Candidates(signed, other_key)


def the_issuer(tx: Transaction, realm: Realm, certificate: X509Certificate) -> CACertificate:
    """Return the only registered CA certificate that issued the certificate, which is ACTIVE.

    Raises:
        CertificateStateException: No CA certificate with the issuer's subject is registered, or it is INACTIVE.
        CertificateValidationException: The key of no registered CA certificate with that subject verifies it.
        CertificateConflictException: The keys of several CA certificates with that subject verify it.
    """
    found = candidates(tx, realm, certificate)
    if len(found.signed) > 1:
        raise CertificateConflictException(
            "Several registered CA certificates have the issuer's name and the key that signed the certificate. Say "
            f"which one is meant with caCertificatePem: {listed(found.signed)}."
        )
    if found.signed:
        return _active(found.signed[0])
    if found.other_key:
        raise CertificateValidationException(
            f"The certificate was not signed by the key of any registered CA named {certificate.issuer_text}: "
            f"{listed(found.other_key)}. A CA that was created again with the same name has another key. Register the "
            f"CA certificate that signed this one.{_key_identifiers(certificate, found.other_key)}"
        )
    raise _no_ca(tx, realm, certificate)


def the_named_issuer(tx: Transaction, realm: Realm, certificate: X509Certificate, named: NamedCA) -> CACertificate:
    """Return the registered CA certificate that a request names as the issuer, which is ACTIVE.

    Args:
        named: ``named_ca`` of the certificate.

    Raises:
        CertificateStateException: It is not registered, or INACTIVE.
        CertificateValidationException: It did not issue the certificate.
    """
    ca_certificate = named.certificate
    ca = CACertificateRows(tx).get(realm, ca_certificate.certificate_id)
    if ca is None:
        raise _named_ca_unknown(tx, realm, ca_certificate)
    _active(ca)
    if certificate.issuer != ca_certificate.subject:
        raise CertificateValidationException(
            f"The certificate's issuer is {certificate.issuer_text}, but the subject of the CA certificate in "
            f"caCertificatePem is {ca_certificate.subject_text}. Give the CA that directly signed it."
        )
    if not named.has_signed:
        raise CertificateValidationException(
            f"The certificate names {certificate.issuer_text} as its issuer, and was not signed by the key of the CA "
            f"certificate in caCertificatePem (certificateId={ca.certificate_id}). A CA that was created again with "
            f"the same name has another key.{_key_identifiers(certificate, [ca])}"
        )
    return ca


def _active(ca: CACertificate) -> CACertificate:
    if ca.status is not CACertificateStatus.ACTIVE:
        raise CertificateStateException(
            f"The CA certificate that signed it is INACTIVE since {ca.modified_at:%Y-%m-%dT%H:%M:%SZ} "
            f"(certificateId={ca.certificate_id}). Activate it with UpdateCACertificate, or register the certificate "
            "with RegisterCertificateWithoutCA."
        )
    return ca


def _no_ca(tx: Transaction, realm: Realm, certificate: X509Certificate) -> CertificateStateException:
    if verify.is_self_signed(certificate):
        why = "It is self-signed: register it with RegisterCertificateWithoutCA."
    else:
        present = CACertificateRows(tx).page(realm, Window(limit=_LISTED_CAS))
        more = "" if present.next_after is None else " and more"
        registered = f"those of {listed(present.items)}{more}" if present.items else "none"
        why = (
            f"Its issuer is {certificate.issuer_text}{_authority(certificate)}; the CA certificates of account "
            f"{realm.account_id} in {realm.region} are {registered}. Register the CA that directly signed it, or use "
            "RegisterCertificateWithoutCA."
        )
    # AWS IoT's message begins with this sentence, and tools compare it.
    return CertificateStateException(f"No CA certificate exists for the given certificate. {why}")


def _named_ca_unknown(tx: Transaction, realm: Realm, ca_certificate: X509Certificate) -> CertificateStateException:
    same_key = [
        ca
        for ca in CACertificateRows(tx).with_subject(realm, ca_certificate.subject)
        if ca.public_key_id == ca_certificate.public_key_id
    ]
    why = (
        f"The CA certificate in caCertificatePem ({ca_certificate.subject_text}, "
        f"certificateId={ca_certificate.certificate_id}) is not registered in account {realm.account_id} and region "
        f"{realm.region}."
    )
    if same_key:
        why += f" Another certificate of the same CA is registered: {listed(same_key)}. Give that one, or none."
    return CertificateStateException(f"No CA certificate exists for the given certificate. {why}")


def why_no_ca(
    tx: Transaction,
    realm: Realm | None,
    certificate: X509Certificate,
    other_key: Sequence[CACertificate],
    chain: Sequence[X509Certificate],
) -> str:
    """Return a message: why no CA registers a certificate automatically, and which CA certificate to register.

    Args:
        realm: The realm of the SNI; None without SNI.
        other_key: The realm's CA certificates with the issuer's subject and another key.
        chain: The certificates that the client sent after its own.
    """
    facts = [
        f"Device certificate is not registered, and neither is the CA that signed it: {certificate.issuer_text}"
        f"{_authority(certificate)}."
    ]
    if other_key:
        facts.append(
            f"A CA certificate with that name and another key is registered: {listed(other_key)}."
            f"{_key_identifiers(certificate, other_key)}"
        )
    above = _registered_above(tx, realm, chain)
    if above:
        facts.append(
            f"A CA further up the chain is registered: {listed(above)}. It registers only certificates that it signed "
            "itself."
        )
    if realm is not None:
        facts.extend(_registered_elsewhere(tx, realm, certificate))
    sent = next((each for each in chain if verify.is_issued_by(certificate, each)), None)
    facts.append(
        "Register the CA certificate that directly signed the device certificate."
        if sent is None
        else f"Register the CA certificate that the client sent in its chain (certificateId={sent.certificate_id}): "
        "it directly signed the device certificate."
    )
    return " ".join(facts)


def _registered_above(
    tx: Transaction, realm: Realm | None, chain: Sequence[X509Certificate]
) -> Sequence[CACertificate]:
    """Return the registered CA certificates among those that a client sent in its chain."""
    found = (
        ca
        for each in chain
        for ca in CACertificateRows(tx).everywhere(each.certificate_id)
        if realm is None or ca.realm == realm
    )
    return list({ca.certificate_id: ca for ca in found}.values())


def _registered_elsewhere(tx: Transaction, realm: Realm, certificate: X509Certificate) -> Sequence[str]:
    """Return a sentence where the CA is registered in another region or account; else nothing."""
    others = [
        ca.realm
        for ca in CACertificateRows(tx).with_subject_anywhere(certificate.issuer, _LISTED_CAS)
        if ca.realm != realm and verify.is_signed_by(certificate, x509.stored(ca.certificate_pem))
    ]
    regions = sorted({other.region for other in others if other.account_id == realm.account_id})
    if regions:
        return [
            f"In account {realm.account_id} the CA is registered in {', '.join(regions)}, not in {realm.region}. "
            "Register it in each region, or use the endpoint of its region."
        ]
    return ["The CA is registered in another account: use the endpoint of that account."] if others else []


def listed(cas: Sequence[CACertificate]) -> str:
    """Return a list of CA certificates for a message: subject, id and status of each."""
    return ", ".join(
        f"{x509.stored(ca.certificate_pem).subject_text} (certificateId={ca.certificate_id}, {ca.status.value})"
        for ca in cas[:_LISTED_CAS]
    )


def _key_identifiers(certificate: X509Certificate, cas: Sequence[CACertificate]) -> str:
    """Return a sentence with the key identifiers, where the certificate has one of its issuer's key; else nothing."""
    wanted = _identifier(certificate, of_issuer=True)
    if wanted is None:
        return ""
    present = {_identifier(x509.stored(ca.certificate_pem), of_issuer=False) for ca in cas} - {None}
    return f" Its issuer's key identifier is {wanted}, that of the CA {', '.join(sorted(map(str, present))) or 'none'}."


def _authority(certificate: X509Certificate) -> str:
    identifier = _identifier(certificate, of_issuer=True)
    return "" if identifier is None else f" (key identifier {identifier})"


def _identifier(certificate: X509Certificate, *, of_issuer: bool) -> str | None:
    return certificate.authority_key_identifier if of_issuer else certificate.subject_key_identifier
