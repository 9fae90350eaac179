"""Answers admission requests: about certificates that the gateway has not cached, and certificates that changed.

The answer about a registered certificate is its identity; the gateway decides at every connection whether that may
connect (status, validity, mode). The answer about any other certificate is the CA certificate that registers it
automatically (``provisioning.jitr`` does so), or a refusal.

The SNI names the realm. Without SNI the certificate determines it:
- in DEFAULT mode, since only one account of a region may hold such a certificate;
- in SNI_ONLY mode with the setting ``require_sni = false``, where a single realm has it. If several have it, the
  connection is refused whatever the certificate's status in each.

Source: Developer Guide, transport-security, auto-register-device-cert, manage-your-CA-certs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from sekisho.admission.model import Identity
from sekisho.admission.store import IdentityRows
from sekisho.ca_certificates import issuers
from sekisho.ca_certificates.issuers import CAsBySubject
from sekisho.ca_certificates.model import AutoRegistrationStatus, CACertificate, CACertificateStatus
from sekisho.ca_certificates.store import CACertificateRows
from sekisho.certificates.model import CertificateMode, CertificateStatus
from sekisho.certificates.store import CertificateRows
from sekisho.pki import verify
from sekisho.pki.certificate import X509Certificate
from sekisho.pki.pem import PemError
from sekisho.pki.verify import NotAcceptable
from sekisho.provisioning.claims.store import ProvisioningClaimRows
from sekisho.realm import Realm
from sekisho.refusal import RefusalReason, Refused
from sekisho.store.store import Store
from sekisho.store.transaction import Transaction

_LONGEST_CHAIN: Final = 10
"""Certificates of a chain that are read; further ones are ignored."""

MAX_REALMS_SEARCHED: Final = 16
"""Realms that are searched for the CA of a certificate without SNI and without its CA (``require_sni`` is false). A
server with endpoints in more realms searches none of them: such a client has to send its CA."""

_CERTIFICATES_CACHED: Final = 512
"""Certificates that are kept parsed: a certificate of a batch is read for the decision and for the registration."""


@dataclass(frozen=True, slots=True)
class AdmissionRequest:
    """A certificate about which the gateway asks."""

    realm: Realm | None
    """The realm of the SNI; None without SNI."""
    certificate_id: str
    leaf: bytes
    """DER."""
    chain: Sequence[bytes]
    """DER of each certificate that the client sent after the leaf."""
    client_id: str
    at_connect: bool = True
    """False where a live connection is examined again, which registers nothing."""


class Admission:
    """Answers admission requests, with one look-up for a batch."""

    def __init__(self, store: Store, *, require_sni: bool = True) -> None:
        """Take ``require_sni``: the setting. If false, SNI_ONLY certificates of one realm may connect without SNI."""
        self._store = store
        self._require_sni = require_sni

    def answer(self, requests: Sequence[AdmissionRequest]) -> Sequence[Identity | CACertificate | Refused]:
        """Return for each request an identity, the CA that registers the certificate, or why there is neither."""
        with self._store.read() as tx:
            cas_by_subject = CAsBySubject(tx)
            return [
                found
                if isinstance(found, Identity)
                else realm
                if isinstance(realm, Refused)
                else self.registrar_in(tx, request, cas_by_subject)
                for request, realm, found in self._look_up(tx, requests)
            ]

    def known(self, requests: Sequence[AdmissionRequest]) -> Sequence[Identity | None]:
        """Return for each request the identity of a registered certificate; None where ``answer`` has to be called.

        Examines no certificate, so that the cost does not grow with the number of unregistered ones.
        """
        with self._store.read() as tx:
            return [found for _, _, found in self._look_up(tx, requests)]

    def registrar_in(
        self, tx: Transaction, request: AdmissionRequest, cas_by_subject: CAsBySubject | None = None
    ) -> CACertificate | Refused:
        """Return what ``registrar`` returns for the certificate of a request."""
        return registrar(
            tx,
            request.realm,
            request.certificate_id,
            request.leaf,
            request.chain,
            cas_by_subject,
            require_sni=self._require_sni,
        )

    def _look_up(
        self, tx: Transaction, requests: Sequence[AdmissionRequest]
    ) -> Sequence[tuple[AdmissionRequest, Realm | Refused | None, Identity | None]]:
        """Return for each request: the request, its realm, and the identity that is registered in the realm.

        The realm is a refusal where several are possible, and None where there is none.
        """
        realms = [request.realm or _realm_without_sni(tx, request, self._require_sni) for request in requests]
        known = IdentityRows(tx).look_up(
            [
                (realm, request.certificate_id)
                for realm, request in zip(realms, requests, strict=True)
                if isinstance(realm, Realm)
            ]
        )
        return [
            (request, realm, known.get((realm, request.certificate_id)) if isinstance(realm, Realm) else None)
            for request, realm in zip(requests, realms, strict=True)
        ]


def registrar(
    tx: Transaction,
    realm: Realm | None,
    certificate_id: str,
    leaf: bytes,
    chain: Sequence[bytes],
    cas_by_subject: CAsBySubject | None = None,
    *,
    require_sni: bool = True,
) -> CACertificate | Refused:
    """Return the CA certificate that registers an unregistered certificate, or why none does.

    Args:
        realm: The realm of the SNI; None without SNI.
        leaf: DER.
        chain: DER of each certificate that the client sent after the leaf. Without SNI the CA has to be among them, if
            ``require_sni``.
        cas_by_subject: CA certificates that the transaction has read for other certificates of the batch.
        require_sni: The setting.
    """
    certificate = read(leaf)
    if certificate is None:
        # The gateway uses the same reader, and refuses such a certificate in the handshake.
        return Refused(RefusalReason.DEVICE_CERTIFICATE_UNREADABLE)
    if verify.is_self_signed(certificate):
        return Refused(
            RefusalReason.DEVICE_CERTIFICATE_NOT_REGISTERED,
            "Device certificate is not registered. It is self-signed, so no CA certificate can register it: use "
            "RegisterCertificateWithoutCA.",
        )
    if realm is None:
        return _registrar_without_sni(tx, certificate, chain, cas_by_subject or CAsBySubject(tx), require_sni)
    found = issuers.candidates(tx, realm, certificate, cas_by_subject)
    if found.signed:
        return _registering(found.signed)
    try:
        verify.check_signature_algorithm(certificate)
    except NotAcceptable as error:
        # No CA's key can verify it, whether one is registered or not.
        return Refused(RefusalReason.REGISTRATION_REFUSED, f"Device certificate is not registered. {error}")
    # The certificate is registered in another realm: the device uses the wrong endpoint.
    held = CertificateRows(tx).everywhere(certificate_id)
    claim = None if held else ProvisioningClaimRows(tx).get(certificate_id)
    if held or claim is not None:
        return Refused(
            RefusalReason.DEVICE_CERTIFICATE_NOT_REGISTERED,
            "Device certificate is not registered in "
            f"{_where(realm)}, whose endpoint the client named by SNI; it is registered elsewhere. Connect to the "
            "endpoint that DescribeEndpoint returns there.",
        )
    why = issuers.why_no_ca(tx, realm, certificate, found.other_key, _readable(chain))
    return Refused(RefusalReason.CA_NOT_REGISTERED, why)


def _realm_without_sni(tx: Transaction, request: AdmissionRequest, require_sni: bool) -> Realm | Refused | None:
    held = CertificateRows(tx).everywhere(request.certificate_id)
    if not held:
        claim = ProvisioningClaimRows(tx).get(request.certificate_id)
        return None if claim is None else claim.realm
    default = [each for each in held if each.mode is CertificateMode.DEFAULT]
    if not default:
        if require_sni:
            return Refused(RefusalReason.CERTIFICATE_IS_SNI_ONLY_AND_NO_SNI)
        # The status must not choose the realm: else an account that registers a copy of a certificate that is inactive
        # in another account would get the device.
        realms = [each.realm for each in held if not each.is_incoming]
        return realms[0] if len(realms) == 1 else Refused(RefusalReason.AMBIGUOUS_WITHOUT_SNI)
    if len(default) > 1:
        # Until a transfer is accepted, the certificate belongs to the account that offers it.
        default = [each for each in default if not each.is_incoming]
    if len(default) > 1:
        # One account may hold it in several regions. It is unambiguous if it is active in one of them.
        default = [each for each in default if each.status is CertificateStatus.ACTIVE]
    return default[0].realm if len(default) == 1 else Refused(RefusalReason.AMBIGUOUS_WITHOUT_SNI)


def _registrar_without_sni(
    tx: Transaction,
    certificate: X509Certificate,
    chain: Sequence[bytes],
    cas_by_subject: CAsBySubject,
    require_sni: bool,
) -> CACertificate | Refused:
    if not chain and require_sni:
        return Refused(RefusalReason.CA_NOT_IN_CHAIN_AND_NO_SNI)
    sent = _readable(chain)
    direct = [each for each in sent if verify.is_issued_by(certificate, each)]
    cas = [ca for each in direct for ca in CACertificateRows(tx).everywhere(each.certificate_id)]
    if not cas and not require_sni:
        realms = cas_by_subject.realms()
        if len(realms) <= MAX_REALMS_SEARCHED:
            cas = [ca for realm in realms for ca in issuers.candidates(tx, realm, certificate, cas_by_subject).signed]
        elif not chain:
            return Refused(RefusalReason.CA_NOT_IN_CHAIN_AND_NO_SNI)
    if not cas:
        return Refused(RefusalReason.CA_NOT_REGISTERED, issuers.why_no_ca(tx, None, certificate, (), sent))
    default = [ca for ca in cas if ca.mode is CertificateMode.DEFAULT]
    if default:
        return _registering(default)
    if require_sni:
        return Refused(RefusalReason.CA_IS_SNI_ONLY_AND_NO_SNI)
    if len({ca.realm for ca in cas}) > 1:
        return Refused(RefusalReason.AMBIGUOUS_WITHOUT_SNI)
    return _registering(cas)


def _registering(cas: Sequence[CACertificate]) -> CACertificate | Refused:
    """Return the one of several CA certificates with the issuer's key that registers, or why none of them does."""
    active = [ca for ca in cas if ca.status is CACertificateStatus.ACTIVE]
    if not active:
        return Refused(
            RefusalReason.CA_INACTIVE,
            "Device certificate is not registered, and the CA certificate that signed it is INACTIVE: "
            f"{issuers.listed(cas)} in {_where(cas[0].realm)}. Activate it with UpdateCACertificate, or register the "
            "device certificate with RegisterCertificateWithoutCA.",
        )
    automatic = [ca for ca in active if ca.auto_registration_status is AutoRegistrationStatus.ENABLE]
    if not automatic:
        return Refused(
            RefusalReason.CA_AUTO_REGISTRATION_DISABLED,
            "Device certificate is not registered, and the CA certificate that "
            f"signed it does not register automatically: {issuers.listed(active)} in {_where(active[0].realm)}. Set "
            "newAutoRegistrationStatus ENABLE with UpdateCACertificate, or register the device certificate with "
            "RegisterCertificate.",
        )
    if len({ca.realm for ca in automatic}) > 1:
        # Without SNI, a CA in DEFAULT mode in several regions does not determine the region.
        return Refused(RefusalReason.AMBIGUOUS_WITHOUT_SNI)
    # If CA certificates differ, the one without a template is chosen: the certificate then waits for activation.
    plain = [ca for ca in automatic if ca.registration_config is None]
    return (plain or automatic)[0]


def _readable(chain: Sequence[bytes]) -> Sequence[X509Certificate]:
    return [each for each in map(read, chain[:_LONGEST_CHAIN]) if each is not None]


def _where(realm: Realm) -> str:
    return f"account {realm.account_id} and region {realm.region}"


@lru_cache(maxsize=_CERTIFICATES_CACHED)
def read(der: bytes) -> X509Certificate | None:
    """Parse a certificate that a client presented; None where it cannot be read."""
    try:
        return X509Certificate.from_der(der)
    except PemError:
        return None
