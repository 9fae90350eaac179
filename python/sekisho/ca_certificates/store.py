"""CA certificates."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, Index, Integer, LargeBinary, Row, UniqueConstraint

from sekisho.ca_certificates.model import AutoRegistrationStatus, CACertificate, CACertificateStatus, RegistrationConfig
from sekisho.certificates.model import CertificateMode
from sekisho.pages import Slice, Window
from sekisho.realm import Realm
from sekisho.store.statements import insert, reading, realm_parameters, removing, replace, replacing
from sekisho.store.tables import Instant, String, listed, partial_index, realm_columns
from sekisho.store.transaction import Transaction

CA_CERTIFICATES = listed(
    "ca_certificates",
    *realm_columns(),
    Column("certificate_id", String, nullable=False),
    Column("certificate_pem", String, nullable=False),
    Column("subject", LargeBinary, nullable=False),
    # A name may be longer than an index entry of PostgreSQL; its digest is not.
    Column("subject_sha256", String, nullable=False),
    Column("public_key_id", String, nullable=False),
    Column("status", String, nullable=False),
    Column("mode", String, nullable=False),
    Column("auto_registration_status", String, nullable=False),
    Column("template_body", String),
    Column("role_arn", String),
    Column("template_name", String),
    Column("not_before", Instant, nullable=False),
    Column("not_after", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("modified_at", Instant, nullable=False),
    Column("customer_version", Integer, nullable=False),
    Column("generation_id", String, nullable=False),
    # In this order it answers ``elsewhere`` too.
    UniqueConstraint("certificate_id", "region", "account_id"),
    Index(None, "account_id", "region", "seq"),
    Index(None, "account_id", "region", "subject_sha256", "seq"),
    # For ``with_subject_elsewhere``.
    Index(None, "subject_sha256", "seq"),
    # A CA decides about certificates that are not registered, which the data plane does not keep.
    announces=None,
)

partial_index(
    None,
    CA_CERTIFICATES.c.account_id,
    CA_CERTIFICATES.c.region,
    CA_CERTIFICATES.c.template_name,
    CA_CERTIFICATES.c.seq,
    where=CA_CERTIFICATES.c.template_name.is_not(None),
)


def _make(row: Row[Any]) -> CACertificate:
    config = RegistrationConfig(row.template_body, row.role_arn, row.template_name)
    return CACertificate(
        realm=Realm(row.account_id, row.region),
        certificate_id=row.certificate_id,
        certificate_pem=row.certificate_pem,
        subject=row.subject,
        public_key_id=row.public_key_id,
        status=CACertificateStatus(row.status),
        mode=CertificateMode(row.mode),
        auto_registration_status=AutoRegistrationStatus(row.auto_registration_status),
        registration_config=None if config == RegistrationConfig() else config,
        not_before=row.not_before,
        not_after=row.not_after,
        created_at=row.created_at,
        modified_at=row.modified_at,
        customer_version=row.customer_version,
        generation_id=row.generation_id,
    )


def _values(ca: CACertificate) -> dict[str, Any]:
    config = ca.registration_config or RegistrationConfig()
    return {
        "account_id": ca.realm.account_id,
        "region": ca.realm.region,
        "certificate_id": ca.certificate_id,
        "certificate_pem": ca.certificate_pem,
        "subject": ca.subject,
        "subject_sha256": _digest(ca.subject),
        "public_key_id": ca.public_key_id,
        "status": ca.status.value,
        "mode": ca.mode.value,
        "auto_registration_status": ca.auto_registration_status.value,
        "template_body": config.template_body,
        "role_arn": config.role_arn,
        "template_name": config.template_name,
        "not_before": ca.not_before,
        "not_after": ca.not_after,
        "created_at": ca.created_at,
        "modified_at": ca.modified_at,
        "customer_version": ca.customer_version,
        "generation_id": ca.generation_id,
    }


def _digest(subject: bytes) -> str:
    return hashlib.sha256(subject).hexdigest()


_KEY = ("account_id", "region", "certificate_id")
_BY_KEY = reading(CA_CERTIFICATES, _make, *_KEY)
_OF_REALM = reading(CA_CERTIFICATES, _make, "account_id", "region")
_OF_TEMPLATE = reading(CA_CERTIFICATES, _make, "account_id", "region", "template_name")
_OF_SUBJECT = reading(CA_CERTIFICATES, _make, "account_id", "region", "subject_sha256")
_OF_SUBJECT_ANYWHERE = reading(CA_CERTIFICATES, _make, "subject_sha256")
_OF_REGION = reading(CA_CERTIFICATES, _make, "certificate_id", "region")
_EVERYWHERE = reading(CA_CERTIFICATES, _make, "certificate_id")
_REPLACE = replacing(CA_CERTIFICATES, *_KEY)
_REMOVE = removing(CA_CERTIFICATES, *_KEY)


class CACertificateRows:
    """CA certificates of all realms. A registration configuration of nothing but None reads back as None."""

    __slots__ = ("_tx",)

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    def get(self, realm: Realm, certificate_id: str) -> CACertificate | None:
        """The CA certificate, or None."""
        return _BY_KEY.one(self._tx, realm_parameters(realm, certificate_id=certificate_id))

    def add(self, ca: CACertificate) -> None:
        """Raises AlreadyThere where the realm has it."""
        insert(self._tx, CA_CERTIFICATES, _values(ca), ca.certificate_id)

    def replace(self, ca: CACertificate) -> None:
        """Overwrite it. Raises KeyError where the realm has none of this id."""
        parameters = _values(ca) | realm_parameters(ca.realm, certificate_id=ca.certificate_id)
        replace(self._tx, _REPLACE, parameters, ca.certificate_id)

    def remove(self, realm: Realm, certificate_id: str) -> None:
        """Forget it; what it signed stays."""
        self._tx.execute(_REMOVE, realm_parameters(realm, certificate_id=certificate_id))

    def page(self, realm: Realm, window: Window, *, template_name: str | None = None) -> Slice[CACertificate]:
        """Part of the realm's list, or of those that provision through ``template_name``."""
        if template_name is None:
            return _OF_REALM.page(self._tx, window, realm_parameters(realm))
        return _OF_TEMPLATE.page(self._tx, window, realm_parameters(realm, template_name=template_name))

    def with_subject(self, realm: Realm, subject: bytes) -> Sequence[CACertificate]:
        """All of this subject, oldest first."""
        return _OF_SUBJECT.all(self._tx, realm_parameters(realm, subject_sha256=_digest(subject)))

    def elsewhere(self, certificate_id: str, region: str) -> Sequence[CACertificate]:
        """The same CA certificate in every account of ``region``, oldest registration first."""
        parameters = {"its_certificate_id": certificate_id, "its_region": region}
        return _OF_REGION.all(self._tx, parameters)

    def everywhere(self, certificate_id: str) -> Sequence[CACertificate]:
        """The same CA certificate in every realm, oldest registration first."""
        return _EVERYWHERE.all(self._tx, {"its_certificate_id": certificate_id})

    def with_subject_anywhere(self, subject: bytes, limit: int) -> Sequence[CACertificate]:
        """Those of this subject in all realms, oldest first."""
        window = Window(limit=limit)
        return _OF_SUBJECT_ANYWHERE.page(self._tx, window, {"its_subject_sha256": _digest(subject)}).items
