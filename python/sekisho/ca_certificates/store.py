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
from sekisho.store.rows import RealmRows, RealmTable, realm_of, realm_values
from sekisho.store.statements import reading, realm_parameters
from sekisho.store.tables import Instant, String, listed, partial_index, realm_columns

CA_CERTIFICATES = listed(
    "ca_certificates",
    *realm_columns(),
    Column("certificate_id", String, nullable=False),
    Column("certificate_pem", String, nullable=False),
    Column("subject", LargeBinary, nullable=False),
    # PostgreSQL limits the length of index entries, and a subject may be longer.
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
    # In this order it also serves ``elsewhere`` and ``everywhere``.
    UniqueConstraint("certificate_id", "region", "account_id"),
    Index(None, "account_id", "region", "seq"),
    Index(None, "account_id", "region", "subject_sha256", "seq"),
    # For ``with_subject_anywhere``.
    Index(None, "subject_sha256", "seq"),
    # CA certificates decide about unregistered certificates, which the data plane does not cache.
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
        realm=realm_of(row),
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
        **realm_values(ca.realm),
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


_OF_TEMPLATE = reading(CA_CERTIFICATES, _make, "account_id", "region", "template_name")
_OF_SUBJECT = reading(CA_CERTIFICATES, _make, "account_id", "region", "subject_sha256")
_OF_SUBJECT_ANYWHERE = reading(CA_CERTIFICATES, _make, "subject_sha256")
_OF_REGION = reading(CA_CERTIFICATES, _make, "certificate_id", "region")
_EVERYWHERE = reading(CA_CERTIFICATES, _make, "certificate_id")


class CACertificateRows(RealmRows[CACertificate]):
    """CA certificates of all realms. An empty registration configuration is read as None."""

    __slots__ = ()

    _table = RealmTable(CA_CERTIFICATES, "certificate_id", _make, _values)

    def add(self, ca: CACertificate) -> None:
        """Add it. Raises AlreadyThere where the realm has it."""
        self._insert(ca)

    def page(self, realm: Realm, window: Window, *, template_name: str | None = None) -> Slice[CACertificate]:
        """Return a page of the realm's CA certificates; with ``template_name`` of those that provision with it."""
        if template_name is None:
            return super().page(realm, window)
        return _OF_TEMPLATE.page(self._tx, window, realm_parameters(realm, template_name=template_name))

    def with_subject(self, realm: Realm, subject: bytes) -> Sequence[CACertificate]:
        """Return the realm's CA certificates with this subject, oldest first."""
        return _OF_SUBJECT.all(self._tx, realm_parameters(realm, subject_sha256=_digest(subject)))

    def elsewhere(self, certificate_id: str, region: str) -> Sequence[CACertificate]:
        """Return its registrations in every account of ``region``, oldest first."""
        parameters = {"its_certificate_id": certificate_id, "its_region": region}
        return _OF_REGION.all(self._tx, parameters)

    def everywhere(self, certificate_id: str) -> Sequence[CACertificate]:
        """Return its registrations in every realm, oldest first."""
        return _EVERYWHERE.all(self._tx, {"its_certificate_id": certificate_id})

    def with_subject_anywhere(self, subject: bytes, limit: int) -> Sequence[CACertificate]:
        """Return at most ``limit`` CA certificates with this subject from all realms, oldest first."""
        window = Window(limit=limit)
        return _OF_SUBJECT_ANYWHERE.page(self._tx, window, {"its_subject_sha256": _digest(subject)}).items
