"""Device certificates (``ports.CertificateRows``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, TextClause, bindparam, select

from sekisho.realm import Realm
from sekisho.registry.model import (
    Certificate,
    CertificateMode,
    CertificateStatus,
    Fingerprints,
    Kin,
    TransferData,
)
from sekisho.registry.ports import Slice, Window
from sekisho.store import schema
from sekisho.store.statements import (
    Rows,
    insert,
    its,
    reading,
    realm_parameters,
    removing,
    replace,
    replacing,
)


def certificate_of(row: Row[Any]) -> Certificate:
    """The certificate in a row of ``certificates``."""
    transfer = TransferData(
        message=row.transfer_message,
        reject_reason=row.transfer_reject_reason,
        transferred_at=row.transferred_at,
        accepted_at=row.transfer_accepted_at,
        rejected_at=row.transfer_rejected_at,
        transferred_to=row.transferred_to,
    )
    return Certificate(
        realm=Realm(row.account_id, row.region),
        certificate_id=row.certificate_id,
        certificate_pem=row.certificate_pem,
        ca_certificate_id=row.ca_certificate_id,
        status=CertificateStatus(row.status),
        mode=CertificateMode(row.mode),
        not_before=row.not_before,
        not_after=row.not_after,
        created_at=row.created_at,
        modified_at=row.modified_at,
        customer_version=row.customer_version,
        generation_id=row.generation_id,
        previous_owned_by=row.previous_owned_by,
        transfer=None if transfer == _NO_TRANSFER else transfer,
    )


_NO_TRANSFER = TransferData()


def _values(certificate: Certificate) -> dict[str, Any]:
    transfer = certificate.transfer or _NO_TRANSFER
    return {
        "account_id": certificate.realm.account_id,
        "region": certificate.realm.region,
        "certificate_id": certificate.certificate_id,
        "certificate_pem": certificate.certificate_pem,
        "ca_certificate_id": certificate.ca_certificate_id,
        "status": certificate.status.value,
        "mode": certificate.mode.value,
        "not_before": certificate.not_before,
        "not_after": certificate.not_after,
        "created_at": certificate.created_at,
        "modified_at": certificate.modified_at,
        "customer_version": certificate.customer_version,
        "generation_id": certificate.generation_id,
        "previous_owned_by": certificate.previous_owned_by,
        "transfer_message": transfer.message,
        "transfer_reject_reason": transfer.reject_reason,
        "transferred_at": transfer.transferred_at,
        "transfer_accepted_at": transfer.accepted_at,
        "transfer_rejected_at": transfer.rejected_at,
        "transferred_to": transfer.transferred_to,
    }


_TABLE = schema.certificates
_KEY = ("certificate_id", "account_id", "region")
_BY_KEY = reading(_TABLE, certificate_of, *_KEY)
_OF_REALM = reading(_TABLE, certificate_of, "account_id", "region")
_OF_CA = reading(_TABLE, certificate_of, "account_id", "region", "ca_certificate_id")
_OUTGOING = Rows(
    select(_TABLE).where(its(_TABLE, "account_id", "region") & schema.OUTGOING), _TABLE.c.seq, certificate_of
)
_EVERYWHERE = reading(_TABLE, certificate_of, "certificate_id")


def _one(column: str, *conditions: TextClause) -> ColumnElement[str | None]:
    """The id of a certificate of the realm whose fingerprint is the parameter of the column's name."""
    return (
        select(_TABLE.c.certificate_id)
        .where(
            _TABLE.c.account_id == bindparam("its_account_id"),
            _TABLE.c.region == bindparam("its_region"),
            _TABLE.c[column] == bindparam(f"its_{column}"),
            *conditions,
        )
        .limit(1)
        .scalar_subquery()
        .label(column)
    )


_KIN = select(
    _one("signed_sha256"),
    _one("issuer_serial_sha256", schema.REVOKED),
    _one("public_key_sha256", schema.REVOKED),
)
_REPLACE = replacing(_TABLE, *_KEY)
_REMOVE = removing(_TABLE, *_KEY)


class SqlCertificates:
    """Device certificates of all realms. Transfer data of nothing but None read back as None."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, realm: Realm, certificate_id: str) -> Certificate | None:
        """The certificate, or None."""
        return _BY_KEY.one(self._connection, realm_parameters(realm, certificate_id=certificate_id))

    def add(self, certificate: Certificate, fingerprints: Fingerprints | None = None) -> None:
        """Raises AlreadyThere where the realm has it."""
        values = _values(certificate)
        if fingerprints is not None:
            values["signed_sha256"] = fingerprints.signed
            values["issuer_serial_sha256"] = fingerprints.issuer_serial
            values["public_key_sha256"] = fingerprints.public_key
        insert(self._connection, _TABLE, values, certificate.certificate_id)

    def kin(self, realm: Realm, fingerprints: Fingerprints) -> Kin:
        """What the realm has in common with a certificate that is not registered there."""
        parameters = realm_parameters(
            realm,
            signed_sha256=fingerprints.signed,
            issuer_serial_sha256=fingerprints.issuer_serial,
            public_key_sha256=fingerprints.public_key,
        )
        return Kin(*self._connection.execute(_KIN, parameters).one())

    def replace(self, certificate: Certificate) -> None:
        """Overwrite it. Raises KeyError where the realm has none of this id."""
        parameters = _values(certificate) | realm_parameters(
            certificate.realm, certificate_id=certificate.certificate_id
        )
        replace(self._connection, _REPLACE, parameters, certificate.certificate_id)

    def remove(self, realm: Realm, certificate_id: str) -> None:
        """Forget it. Policies and things attached to it stay attached: whoever removes detaches."""
        self._connection.execute(_REMOVE, realm_parameters(realm, certificate_id=certificate_id))

    def page(self, realm: Realm, window: Window) -> Slice[Certificate]:
        """Part of the realm's list."""
        return _OF_REALM.page(self._connection, window, realm_parameters(realm))

    def page_by_ca(self, realm: Realm, ca_certificate_id: str, window: Window) -> Slice[Certificate]:
        """Part of the list of those that one CA signed."""
        return _OF_CA.page(self._connection, window, realm_parameters(realm, ca_certificate_id=ca_certificate_id))

    def page_outgoing(self, realm: Realm, window: Window) -> Slice[Certificate]:
        """Part of the list of those that are offered to another account."""
        return _OUTGOING.page(self._connection, window, realm_parameters(realm))

    def everywhere(self, certificate_id: str) -> Sequence[Certificate]:
        """The same certificate in every realm, oldest registration first."""
        return _EVERYWHERE.all(self._connection, {"its_certificate_id": certificate_id})
