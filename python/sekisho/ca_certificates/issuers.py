"""Which registered CA issued a certificate.

Issuers are told apart by key, never by name: several CAs of one subject may be registered, and the one that counts is
the one whose key verifies the signature.

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

_SHOWN: Final = 5
"""CAs that a message lists."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """The registered CAs whose subject is a certificate's issuer."""

    signed: Sequence[CACertificate]
    """Those whose key verifies the certificate. More than one where one key has several certificates."""
    namesakes: Sequence[CACertificate]
    """Those of the same name and another key."""


@dataclass(frozen=True, slots=True)
class NamedCA:
    """The CA certificate that a request names as the issuer of another certificate."""

    certificate: X509Certificate
    has_signed: bool
    """Whether its key signed the other certificate."""


def named_ca(certificate: X509Certificate, ca_certificate_pem: str) -> NamedCA:
    """Read the CA certificate in a request, and verify the signature of ``certificate`` with its key.

    Called before the transaction that ``the_named_issuer`` needs, whose lock other requests wait for meanwhile.

    Raises:
        CertificateValidationException: There is no CA certificate, or more than one, or something else.
    """
    ca_certificate = x509.given_ca(ca_certificate_pem)
    return NamedCA(ca_certificate, verify.is_signed_by(certificate, ca_certificate))


class Namesakes:
    """The registered CAs of a name, read once each: a batch of devices has few CAs.

    For one transaction, and only while that changes no CA.
    """

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._read: dict[tuple[Realm, bytes], Sequence[CACertificate]] = {}
        self._realms: Sequence[Realm] | None = None

    def realms(self) -> Sequence[Realm]:
        """Realms that have an endpoint."""
        if self._realms is None:
            self._realms = [endpoint.realm for endpoint in EndpointRows(self._tx).all()]
        return self._realms

    def of(self, realm: Realm, subject: bytes) -> Sequence[CACertificate]:
        """Those of a realm with this subject (DER)."""
        found = self._read.get((realm, subject))
        if found is None:
            found = self._read[realm, subject] = CACertificateRows(self._tx).with_subject(realm, subject)
        return found


def candidates(
    tx: Transaction, realm: Realm, certificate: X509Certificate, namesakes_read: Namesakes | None = None
) -> Candidates:
    """Every registered CA that may have issued the certificate, and every one that only looks so.

    Args:
        namesakes_read: Where the transaction asks about many certificates, what it has read for others of them.
    """
    signed: list[CACertificate] = []
    namesakes: list[CACertificate] = []
    for ca in (namesakes_read or Namesakes(tx)).of(realm, certificate.issuer):
        issued = verify.is_signed_by(certificate, x509.kept(ca.certificate_pem))
        (signed if issued else namesakes).append(ca)
    return Candidates(signed, namesakes)


def the_issuer(tx: Transaction, realm: Realm, certificate: X509Certificate) -> CACertificate:
    """The one registered, ACTIVE CA that issued the certificate.

    Raises:
        CertificateStateException: No CA of the issuer's name is registered, or the CA is INACTIVE.
        CertificateValidationException: CAs of that name are registered, and none of them signed it.
        CertificateConflictException: Several CA certificates of that name have the key that signed it.
    """
    found = candidates(tx, realm, certificate)
    if len(found.signed) > 1:
        raise CertificateConflictException(
            "Several registered CA certificates have the issuer's name and the key that signed the certificate. Say "
            f"which one is meant with caCertificatePem: {listed(found.signed)}."
        )
    if found.signed:
        return _active(found.signed[0])
    if found.namesakes:
        raise CertificateValidationException(
            f"The certificate was not signed by the key of any registered CA named {certificate.issuer_text}: "
            f"{listed(found.namesakes)}. A CA that is made anew under its old name has another key; register the CA "
            f"certificate that signed this one.{_key_identifiers(certificate, found.namesakes)}"
        )
    raise _no_ca(tx, realm, certificate)


def the_named_issuer(tx: Transaction, realm: Realm, certificate: X509Certificate, named: NamedCA) -> CACertificate:
    """The registered, ACTIVE CA that a request names as the issuer.

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
            f"The certificate's issuer is {certificate.issuer_text}, and the CA certificate in caCertificatePem is "
            f"that of {ca_certificate.subject_text}. Give the CA that directly signed it."
        )
    if not named.has_signed:
        raise CertificateValidationException(
            f"The certificate names {certificate.issuer_text} as its issuer, and was not signed by the key of the CA "
            f"certificate in caCertificatePem (certificateId={ca.certificate_id}). A CA that is made anew under its "
            f"old name has another key.{_key_identifiers(certificate, [ca])}"
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
        present = CACertificateRows(tx).page(realm, Window(limit=_SHOWN))
        more = "" if present.next_after is None else " and more"
        registered = f"those of {listed(present.items)}{more}" if present.items else "none"
        why = (
            f"Its issuer is {certificate.issuer_text}{_authority(certificate)}; the CA certificates of account "
            f"{realm.account_id} in {realm.region} are {registered}. Register the CA that directly signed it, or use "
            "RegisterCertificateWithoutCA."
        )
    # The first sentence is AWS's; tools look for it.
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
        why += f" Another certificate of the same CA is: {listed(same_key)}. Give that one, or none."
    return CertificateStateException(f"No CA certificate exists for the given certificate. {why}")


def why_no_ca(
    tx: Transaction,
    realm: Realm | None,
    certificate: X509Certificate,
    namesakes: Sequence[CACertificate],
    chain: Sequence[X509Certificate],
) -> str:
    """Why no CA registers a certificate automatically, and which CA certificate would have to be registered.

    Args:
        realm: Whom the SNI named; None without SNI.
        namesakes: The realm's CAs of the issuer's name and another key.
        chain: What the client sent after its certificate.
    """
    facts = [
        f"Device certificate is not registered, and neither is the CA that signed it: {certificate.issuer_text}"
        f"{_authority(certificate)}."
    ]
    if namesakes:
        facts.append(
            f"Registered under that name, with another key, is {listed(namesakes)}."
            f"{_key_identifiers(certificate, namesakes)}"
        )
    above = _registered_above(tx, realm, chain)
    if above:
        facts.append(
            f"Registered is {listed(above)}, which is further up the chain: it counts only for certificates that it "
            "signed itself."
        )
    if realm is not None:
        facts.extend(_registered_elsewhere(tx, realm, certificate))
    sent = next((each for each in chain if verify.is_issued_by(certificate, each)), None)
    facts.append(
        "Register the CA certificate that directly signed the device certificate."
        if sent is None
        else f"Register the CA certificate that the client sent along (certificateId={sent.certificate_id}): it "
        "directly signed the device certificate."
    )
    return " ".join(facts)


def _registered_above(
    tx: Transaction, realm: Realm | None, chain: Sequence[X509Certificate]
) -> Sequence[CACertificate]:
    """The registered CAs among the certificates that a client sent along."""
    found = (
        ca
        for each in chain
        for ca in CACertificateRows(tx).everywhere(each.certificate_id)
        if realm is None or ca.realm == realm
    )
    return list({ca.certificate_id: ca for ca in found}.values())


def _registered_elsewhere(tx: Transaction, realm: Realm, certificate: X509Certificate) -> Sequence[str]:
    """That the CA is registered in another region of the account, or in another account."""
    others = [
        ca.realm
        for ca in CACertificateRows(tx).with_subject_anywhere(certificate.issuer, _SHOWN)
        if ca.realm != realm and verify.is_signed_by(certificate, x509.kept(ca.certificate_pem))
    ]
    regions = sorted({other.region for other in others if other.account_id == realm.account_id})
    if regions:
        return [
            f"In account {realm.account_id} it is registered in {', '.join(regions)}, not in {realm.region}: a CA is "
            "registered in each region, and the client's endpoint names the region."
        ]
    return ["It is registered in another account: the client's endpoint names the account."] if others else []


def listed(cas: Sequence[CACertificate]) -> str:
    """CA certificates for a message: subject, id and status of each."""
    return ", ".join(
        f"{x509.kept(ca.certificate_pem).subject_text} (certificateId={ca.certificate_id}, {ca.status.value})"
        for ca in cas[:_SHOWN]
    )


def _key_identifiers(certificate: X509Certificate, cas: Sequence[CACertificate]) -> str:
    """The identifiers that certificates carry of their issuer's key, where they carry them."""
    wanted = _identifier(certificate, of_issuer=True)
    if wanted is None:
        return ""
    present = {_identifier(x509.kept(ca.certificate_pem), of_issuer=False) for ca in cas} - {None}
    return f" Its issuer's key identifier is {wanted}, that of the CA {', '.join(sorted(map(str, present))) or 'none'}."


def _authority(certificate: X509Certificate) -> str:
    identifier = _identifier(certificate, of_issuer=True)
    return "" if identifier is None else f" (key identifier {identifier})"


def _identifier(certificate: X509Certificate, *, of_issuer: bool) -> str | None:
    return certificate.authority_key_identifier if of_issuer else certificate.subject_key_identifier
