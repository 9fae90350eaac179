"""CA certificates: registration, proof of possession of the key, status, automatic registration.

In DEFAULT mode one account of a region may register a CA certificate. It proves possession of the key by a verification
certificate: signed by the CA, its common name the registration code of the account and region. In SNI_ONLY mode any
number of accounts may register it, without a proof.

Source: Developer Guide, register-CA-cert and manage-your-CA-certs; the API Reference of each operation.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from sekisho import arn, ids
from sekisho.ca_certificates import registration_config as registration_configs
from sekisho.ca_certificates.model import AutoRegistrationStatus, CACertificate, CACertificateStatus, RegistrationConfig
from sekisho.ca_certificates.store import CACertificateRows
from sekisho.certificates import x509
from sekisho.certificates.model import CertificateMode
from sekisho.certificates.store import CertificateRows
from sekisho.clock import Clock
from sekisho.errors import (
    CertificateStateException,
    CertificateValidationException,
    InvalidRequestException,
    LimitExceededException,
    RegistrationCodeValidationException,
    ResourceAlreadyExistsException,
    ResourceNotFoundException,
)
from sekisho.pages import Slice, Window
from sekisho.pki import verify
from sekisho.pki.certificate import X509Certificate
from sekisho.pki.verify import NotAcceptable
from sekisho.realm import Realm
from sekisho.registration_codes.store import RegistrationCodeRows
from sekisho.store.store import Store
from sekisho.store.transaction import Transaction
from sekisho.tags.store import TagRows

MAX_OF_ONE_SUBJECT: Final = 10
"""CA certificates of one subject in an account and region (General Reference, AWS IoT Core quotas)."""

_REGISTRATION_CODE_BYTES: Final = 32


class CACertificates:
    """Registers, lists, changes and deletes CA certificates and registration codes."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def register(
        self,
        realm: Realm,
        ca_certificate_pem: str,
        *,
        verification_certificate_pem: str | None = None,
        mode: CertificateMode = CertificateMode.DEFAULT,
        set_as_active: bool = False,
        allow_auto_registration: bool = False,
        registration_config: RegistrationConfig | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> CACertificate:
        """Register a CA certificate.

        Raises:
            InvalidRequestException: The verification certificate is missing, or must not be given in this mode; the
                registration configuration is not valid; or another account of the region has it in DEFAULT mode.
            CertificateValidationException: It is not a CA certificate that AWS IoT accepts, or it did not sign the
                verification certificate.
            RegistrationCodeValidationException: The common name of the verification certificate is not the realm's
                registration code.
            ResourceAlreadyExistsException: It is registered in the realm already.
            ResourceNotFoundException: The registration configuration names a template that does not exist.
            LimitExceededException: The realm has MAX_OF_ONE_SUBJECT with this subject.
        """
        _check_mode(mode, verification_certificate_pem)
        ca = x509.from_request(ca_certificate_pem, "caCertificate")
        now = self._clock()
        try:
            verify.check_ca(ca, now)
        except NotAcceptable as error:
            raise CertificateValidationException(str(error)) from None
        config = registration_configs.checked(registration_config)
        if verification_certificate_pem:
            self._check_possession(realm, ca, verification_certificate_pem)
        registered = CACertificate(
            realm=realm,
            certificate_id=ca.certificate_id,
            certificate_pem=ca.pem,
            subject=ca.subject,
            public_key_id=ca.public_key_id,
            status=CACertificateStatus.ACTIVE if set_as_active else CACertificateStatus.INACTIVE,
            mode=mode,
            auto_registration_status=(
                AutoRegistrationStatus.ENABLE if allow_auto_registration else AutoRegistrationStatus.DISABLE
            ),
            registration_config=config,
            not_before=ca.not_before,
            not_after=ca.not_after,
            created_at=now,
            modified_at=now,
            customer_version=1,
            generation_id=ids.unique(),
        )
        with self._store.write() as tx:
            registration_configs.require_template(tx, realm, config)
            _require_new(tx, realm, ca)
            _require_sole_holder(tx, registered)
            _require_below_limit(tx, realm, ca)
            CACertificateRows(tx).add(registered)
            if tags:
                TagRows(tx).put(realm, arn.ca_certificate(realm, ca.certificate_id), tags)
        return registered

    def describe(self, realm: Realm, certificate_id: str) -> CACertificate:
        """Return one CA certificate. Raises ResourceNotFoundException."""
        with self._store.read() as tx:
            return _existing(tx, realm, certificate_id)

    def list(self, realm: Realm, window: Window, *, template_name: str | None = None) -> Slice[CACertificate]:
        """Return the CA certificates of a realm; with ``template_name`` those that provision with that template."""
        with self._store.read() as tx:
            return CACertificateRows(tx).page(realm, window, template_name=template_name)

    def update(
        self,
        realm: Realm,
        certificate_id: str,
        *,
        status: CACertificateStatus | None = None,
        auto_registration_status: AutoRegistrationStatus | None = None,
        registration_config: RegistrationConfig | None = None,
        remove_auto_registration: bool = False,
    ) -> CACertificate:
        """Change the members that are given. Certificates that the CA signed do not change.

        Args:
            remove_auto_registration: Whether to remove the registration configuration.

        Raises:
            ResourceNotFoundException: No such CA certificate, or template.
            InvalidRequestException: The registration configuration is not valid, or both to be set and removed.
        """
        config = registration_configs.checked(registration_config)
        if config is not None and remove_auto_registration:
            raise InvalidRequestException(
                "registrationConfig sets what removeAutoRegistration removes. Give one of them."
            )
        with self._store.write() as tx:
            present = _existing(tx, realm, certificate_id)
            registration_configs.require_template(tx, realm, config)
            changed = replace(
                present,
                status=status or present.status,
                auto_registration_status=auto_registration_status or present.auto_registration_status,
                registration_config=None if remove_auto_registration else config or present.registration_config,
            )
            if changed == present:
                return present
            changed = replace(changed, modified_at=self._clock(), customer_version=present.customer_version + 1)
            CACertificateRows(tx).replace(changed)
            return changed

    def delete(self, realm: Realm, certificate_id: str) -> None:
        """Delete a CA certificate. Device certificates that it signed remain, and may connect.

        Raises:
            ResourceNotFoundException: No such CA certificate.
            CertificateStateException: It is ACTIVE.
        """
        with self._store.write() as tx:
            present = _existing(tx, realm, certificate_id)
            if present.status is CACertificateStatus.ACTIVE:
                raise CertificateStateException(
                    "CA certificate must be deactivated (not ACTIVE) before deletion: UpdateCACertificate with "
                    f"newStatus INACTIVE. Id: {present.certificate_id}"
                )
            CACertificateRows(tx).remove(realm, present.certificate_id)
            TagRows(tx).remove(realm, arn.ca_certificate(realm, present.certificate_id))

    def get_registration_code(self, realm: Realm) -> str:
        """Return the realm's registration code, 64 hex digits; create it if there is none."""
        with self._store.read() as tx:
            present = RegistrationCodeRows(tx).get(realm)
        if present is not None:
            return present
        with self._store.write() as tx:
            # Another request may have made it since the read.
            code = RegistrationCodeRows(tx).get(realm)
            if code is None:
                code = secrets.token_hex(_REGISTRATION_CODE_BYTES)
                RegistrationCodeRows(tx).put(realm, code)
            return code

    def delete_registration_code(self, realm: Realm) -> None:
        """Delete the registration code. Raises ResourceNotFoundException where there is none."""
        with self._store.write() as tx:
            if not RegistrationCodeRows(tx).remove(realm):
                raise ResourceNotFoundException(
                    f"Account {realm.account_id} has no registration code in {realm.region}; GetRegistrationCode "
                    "makes one."
                )

    def _check_possession(self, realm: Realm, ca: X509Certificate, verification_pem: str) -> None:
        given = x509.from_request(verification_pem, "verificationCertificate")
        with self._store.read() as tx:
            # A CA that is registered again most often comes with an old code: the first error is the one that helps.
            _require_new(tx, realm, ca)
            code = RegistrationCodeRows(tx).get(realm)
        _check_code(realm, given, code)
        if given.issuer != ca.subject:
            self_signed = " It is self-signed." if verify.is_self_signed(given) else ""
            raise CertificateValidationException(
                f"The verification certificate's issuer is {given.issuer_text}, expected {ca.subject_text}."
                f"{self_signed} Sign its request with the CA that is being registered: "
                "openssl x509 -req -CA ca.crt -CAkey ca.key …"
            )
        if not verify.is_signed_by(given, ca):
            raise CertificateValidationException(
                f"The verification certificate names {given.issuer_text} as its issuer, and was not signed by the key "
                "of the CA certificate: another CA with the same name signed it."
            )
        try:
            verify.check_validity(given, self._clock(), "The verification certificate")
        except NotAcceptable as error:
            raise CertificateValidationException(str(error)) from None


def _check_mode(mode: CertificateMode, verification_certificate_pem: str | None) -> None:
    if mode is CertificateMode.DEFAULT and not verification_certificate_pem:
        raise InvalidRequestException(
            "verificationCertificate is missing. A CA is registered either in DEFAULT mode with a verification "
            "certificate, or in SNI_ONLY mode (certificateMode) without one."
        )
    if mode is CertificateMode.SNI_ONLY and verification_certificate_pem:
        raise InvalidRequestException(
            "verificationCertificate is given, and certificateMode is SNI_ONLY. A CA is registered either in SNI_ONLY "
            "mode without a verification certificate, or in DEFAULT mode with one."
        )


def _check_code(realm: Realm, verification: X509Certificate, code: str | None) -> None:
    where = f"account {realm.account_id} in {realm.region}"
    if code is None:
        raise RegistrationCodeValidationException(
            f"There is no registration code for {where}. Get one with GetRegistrationCode and make it the common name "
            "(CN) of the verification certificate."
        )
    found = verification.common_names
    if found == [code]:
        return
    shown = ", ".join(repr(name[:100]) for name in found) or "none"
    if [name.strip().lower() for name in found] == [code]:
        why = "Remove its blanks and upper-case letters."
    else:
        why = "Each account and region has a registration code of its own, and a new one after it was deleted."
    raise RegistrationCodeValidationException(
        f"The common name (CN) of the verification certificate is {shown}; expected the registration code {code!r} of "
        f"{where}. {why}"
    )


def _require_new(tx: Transaction, realm: Realm, ca: X509Certificate) -> None:
    present = CACertificateRows(tx).get(realm, ca.certificate_id)
    if present is not None:
        raise ResourceAlreadyExistsException(
            f"The CA certificate is already registered (certificateId={present.certificate_id}, "
            f"status={present.status.value}, certificateMode={present.mode.value}, since "
            f"{present.created_at:%Y-%m-%dT%H:%M:%SZ}).",
            resource_id=present.certificate_id,
            resource_arn=arn.ca_certificate(realm, present.certificate_id),
        )


def _require_sole_holder(tx: Transaction, ca: CACertificate) -> None:
    if ca.mode is CertificateMode.DEFAULT and any(
        other.mode is CertificateMode.DEFAULT
        for other in CACertificateRows(tx).elsewhere(ca.certificate_id, ca.realm.region)
    ):
        # AWS IoT's message begins with these words, and tools compare them.
        raise InvalidRequestException(
            "Cannot accept this CACertificate: another account has registered it in DEFAULT mode, which only one "
            "account of a region may. Register it with certificateMode SNI_ONLY."
        )


def _require_below_limit(tx: Transaction, realm: Realm, ca: X509Certificate) -> None:
    present = CACertificateRows(tx).with_subject(realm, ca.subject)
    if len(present) >= MAX_OF_ONE_SUBJECT:
        listed = ", ".join(f"{other.certificate_id} ({other.status.value})" for other in present)
        # AWS IoT's message begins with these words, and tools compare them.
        raise LimitExceededException(
            f"Limit reached for number of CA Certificates with same subject ({ca.subject_text}): {listed}. Delete one "
            "that is not needed, or give the CA another subject."
        )


def _existing(tx: Transaction, realm: Realm, certificate_id: str) -> CACertificate:
    certificate_id = ids.certificate_id(certificate_id)
    present = CACertificateRows(tx).get(realm, certificate_id)
    if present is None:
        device = CertificateRows(tx).get(realm, certificate_id) is not None
        hint = " It is the id of a device certificate." if device else ""
        raise ResourceNotFoundException(
            f"There is no CA certificate {certificate_id} in account {realm.account_id} and region {realm.region}."
            f"{hint}"
        )
    return present
