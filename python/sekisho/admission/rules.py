"""Answers the gateway's admission requests: certificates that it has not cached, or that have changed.

A registered certificate is answered with its identity; whether that may connect (status, validity, mode) the gateway
decides, at every connection. For any other the answer is the CA certificate that registers it automatically
(``provisioning.jitr`` does so), or why it is refused.

A client that sends SNI has chosen its account and region by it. Without SNI only a certificate in DEFAULT mode tells
which, since one account of a region may hold it. With the setting ``require_sni = false`` one in SNI_ONLY mode tells it
too, where a single realm has it; several are never chosen from, whatever its status in each.

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
from sekisho.ca_certificates.issuers import Namesakes
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
"""Certificates of a chain that are looked at."""

MAX_REALMS_SEARCHED: Final = 16
"""Realms that are searched for the CA of a certificate that comes without SNI and without its CA (``require_sni`` is
false). A server with endpoints in more of them searches none: such a client has to send its CA."""

_READ: Final = 512
"""Certificates kept as they were read: what a batch asks about is read to decide and again to register."""


@dataclass(frozen=True, slots=True)
class AdmissionRequest:
    """A certificate that the gateway asks about."""

    realm: Realm | None
    """The realm of the SNI; None without SNI."""
    certificate_id: str
    leaf: bytes
    """DER."""
    chain: Sequence[bytes]
    """DER of what the client sent after the leaf."""
    client_id: str
    at_connect: bool = True
    """False where a live connection is examined again: that registers nothing."""


class Admission:
    """Answers admission requests, a batch with one look-up."""

    def __init__(self, store: Store, *, require_sni: bool = True) -> None:
        """``require_sni``: without it, a certificate or CA in SNI_ONLY mode tells its realm where only one has it."""
        self._store = store
        self._require_sni = require_sni

    def answer(self, requests: Sequence[AdmissionRequest]) -> Sequence[Identity | CACertificate | Refused]:
        """For each request an identity, the CA that registers the certificate, or why there is neither."""
        with self._store.read() as tx:
            namesakes = Namesakes(tx)
            return [
                found
                if isinstance(found, Identity)
                else realm
                if isinstance(realm, Refused)
                else self.registrar_in(tx, request, namesakes)
                for request, realm, found in self._look_up(tx, requests)
            ]

    def known(self, requests: Sequence[AdmissionRequest]) -> Sequence[Identity | None]:
        """For each request the identity, where the certificate is registered; None where ``answer`` is to be called.

        Reads what ``answer`` reads first and examines nothing, so that it costs the same however many unregistered
        certificates come.
        """
        with self._store.read() as tx:
            return [found for _, _, found in self._look_up(tx, requests)]

    def registrar_in(
        self, tx: Transaction, request: AdmissionRequest, namesakes: Namesakes | None = None
    ) -> CACertificate | Refused:
        """As ``registrar``, for the certificate of a request."""
        return registrar(
            tx,
            request.realm,
            request.certificate_id,
            request.leaf,
            request.chain,
            namesakes,
            require_sni=self._require_sni,
        )

    def _look_up(
        self, tx: Transaction, requests: Sequence[AdmissionRequest]
    ) -> Sequence[tuple[AdmissionRequest, Realm | Refused | None, Identity | None]]:
        """Each request with its realm (refused where several would do, None where there is none), and the identity
        that is registered there."""
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
    namesakes: Namesakes | None = None,
    *,
    require_sni: bool = True,
) -> CACertificate | Refused:
    """The CA that registers a certificate that is not registered, or why none does.

    Args:
        realm: The realm of the SNI; None without SNI.
        leaf: DER.
        chain: DER of what the client sent after the leaf. Without SNI the CA has to be in it, where ``require_sni``.
        namesakes: CAs that the transaction has read for other certificates of a batch.
        require_sni: The setting.
    """
    certificate = read(leaf)
    if certificate is None:
        # The gateway reads certificates by the same reader, and refuses this one in the handshake.
        return Refused(RefusalReason.DEVICE_CERTIFICATE_UNREADABLE)
    if verify.is_self_signed(certificate):
        return Refused(
            RefusalReason.DEVICE_CERTIFICATE_NOT_REGISTERED,
            "Device certificate is not registered. It is self-signed, so that "
            "no CA registers it: use RegisterCertificateWithoutCA.",
        )
    if realm is None:
        return _registrar_without_sni(tx, certificate, chain, namesakes or Namesakes(tx), require_sni)
    found = issuers.candidates(tx, realm, certificate, namesakes)
    if found.signed:
        return _the_nearest(found.signed)
    try:
        verify.check_signature_algorithm(certificate)
    except NotAcceptable as error:
        # No CA's key verifies it, whether one is registered or not.
        return Refused(RefusalReason.REGISTRATION_REFUSED, f"Device certificate is not registered. {error}")
    # Registered, but not here: the endpoint is the mistake, not the CA.
    held = CertificateRows(tx).everywhere(certificate_id)
    claim = None if held else ProvisioningClaimRows(tx).get(certificate_id)
    if held or claim is not None:
        return Refused(
            RefusalReason.DEVICE_CERTIFICATE_NOT_REGISTERED,
            "Device certificate is not registered in "
            f"{_where(realm)}, whose endpoint the client named by SNI; it is registered elsewhere. Connect to the "
            "endpoint that DescribeEndpoint returns there.",
        )
    why = issuers.why_no_ca(tx, realm, certificate, found.namesakes, _readable(chain))
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
        # Its status must not choose: another account that registers it would take the device over from an inactive one.
        realms = [each.realm for each in held if not each.is_incoming]
        return realms[0] if len(realms) == 1 else Refused(RefusalReason.AMBIGUOUS_WITHOUT_SNI)
    if len(default) > 1:
        # Until a transfer is accepted the certificate is that of the account which offers it.
        default = [each for each in default if not each.is_incoming]
    if len(default) > 1:
        # One account may hold it in several regions; only one of them can mean to let it in.
        default = [each for each in default if each.status is CertificateStatus.ACTIVE]
    return default[0].realm if len(default) == 1 else Refused(RefusalReason.AMBIGUOUS_WITHOUT_SNI)


def _registrar_without_sni(
    tx: Transaction, certificate: X509Certificate, chain: Sequence[bytes], namesakes: Namesakes, require_sni: bool
) -> CACertificate | Refused:
    if not chain and require_sni:
        return Refused(RefusalReason.CA_NOT_IN_CHAIN_AND_NO_SNI)
    sent = _readable(chain)
    direct = [each for each in sent if verify.is_issued_by(certificate, each)]
    cas = [ca for each in direct for ca in CACertificateRows(tx).everywhere(each.certificate_id)]
    if not cas and not require_sni:
        realms = namesakes.realms()
        if len(realms) <= MAX_REALMS_SEARCHED:
            cas = [ca for realm in realms for ca in issuers.candidates(tx, realm, certificate, namesakes).signed]
        elif not chain:
            return Refused(RefusalReason.CA_NOT_IN_CHAIN_AND_NO_SNI)
    if not cas:
        return Refused(RefusalReason.CA_NOT_REGISTERED, issuers.why_no_ca(tx, None, certificate, (), sent))
    default = [ca for ca in cas if ca.mode is CertificateMode.DEFAULT]
    if default:
        return _the_nearest(default)
    if require_sni:
        return Refused(RefusalReason.CA_IS_SNI_ONLY_AND_NO_SNI)
    if len({ca.realm for ca in cas}) > 1:
        return Refused(RefusalReason.AMBIGUOUS_WITHOUT_SNI)
    return _the_nearest(cas)


def _the_nearest(cas: Sequence[CACertificate]) -> CACertificate | Refused:
    """Of several CA certificates with the key that signed, the one that is nearest to registering counts."""
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
        # Without SNI a CA in DEFAULT mode in several regions says not in which.
        return Refused(RefusalReason.AMBIGUOUS_WITHOUT_SNI)
    # A certificate that waits for activation is a smaller mistake than one that a template activates.
    plain = [ca for ca in automatic if ca.registration_config is None]
    return (plain or automatic)[0]


def _readable(chain: Sequence[bytes]) -> Sequence[X509Certificate]:
    return [each for each in map(read, chain[:_LONGEST_CHAIN]) if each is not None]


def _where(realm: Realm) -> str:
    return f"account {realm.account_id} and region {realm.region}"


@lru_cache(maxsize=_READ)
def read(der: bytes) -> X509Certificate | None:
    """A certificate that a client presented; None where it cannot be read."""
    try:
        return X509Certificate.from_der(der)
    except PemError:
        return None
