"""Fills the registry of a stopped server with rows, in large transactions.

Through the API a million certificates would take hours, so they are written through the store's tables, as the API
does: certificate, thing, attachment, policy. Certificates that never connect need no signature: their PEM is that of
another one, which is as long.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, insert

from bench.fleet import Device
from sekisho import arn
from sekisho.certificates.model import CertificateMode, CertificateStatus
from sekisho.certificates.store import CERTIFICATES
from sekisho.clock import utc_now
from sekisho.pki.certificate import X509Certificate
from sekisho.policies.store import POLICY_TARGETS
from sekisho.principals.model import ThingPrincipalType
from sekisho.principals.store import ATTACHMENTS
from sekisho.realm import Realm
from sekisho.store.engines import engines, sqlite_url
from sekisho.things.store import THINGS

_CHUNK: Final = 20_000
"""Certificates per transaction."""

_VALID: Final = timedelta(days=365)

_CACHE_KIB: Final = 2_000_000
"""SQLite's cache while filling, KiB: random keys in an index that does not fit into memory take hours."""


def fill(data: Path, realm: Realm, ca_certificate_id: str, policy: str, devices: Sequence[Device], total: int) -> None:
    """Register ``total`` certificates as ACTIVE, the devices' evenly among them.

    Args:
        data: Data folder of a server that has run before and does not run now.
        policy: An existing policy, which is attached to each.
    """
    made = engines(sqlite_url(data / "sekisho.db")).writing
    try:
        names = _names(devices, total)
        while some := list(islice(names, _CHUNK)):
            with made.connect() as connection:
                connection.exec_driver_sql(f"PRAGMA cache_size = -{_CACHE_KIB}")
                _insert(connection, realm, ca_certificate_id, policy, some)
                connection.commit()
    finally:
        # The last connection moves the write-ahead log into the file.
        made.dispose()


_Registered = tuple[str, str, str]
"""Name of the thing, certificate id, PEM."""


def _names(devices: Sequence[Device], total: int) -> Iterator[_Registered]:
    between = total // len(devices)
    pem = devices[0].certificate.read_text()
    for number in range(total):
        if number % between == 0 and number // between < len(devices):
            device = devices[number // between]
            certificate = X509Certificate.from_pem(device.certificate.read_text())
            yield device.name, certificate.certificate_id, certificate.pem
        else:
            yield f"other-{number:07}", hashlib.sha256(number.to_bytes(8)).hexdigest(), pem


def _insert(connection: Connection, realm: Realm, ca_id: str, policy: str, files: Sequence[_Registered]) -> None:
    now = utc_now()
    place = {"account_id": realm.account_id, "region": realm.region}
    tables: dict[Any, list[dict[str, Any]]] = {
        CERTIFICATES: [
            place
            | {
                "certificate_id": certificate_id,
                "certificate_pem": pem,
                "ca_certificate_id": ca_id,
                "status": CertificateStatus.ACTIVE.value,
                "mode": CertificateMode.SNI_ONLY.value,
                "not_before": now - _VALID,
                "not_after": now + _VALID,
                "created_at": now,
                "modified_at": now,
                "customer_version": 1,
                "generation_id": certificate_id[:36],
            }
            for _, certificate_id, pem in files
        ],
        THINGS: [
            place | {"name": name, "thing_id": certificate_id[:36], "attributes": {}, "version": 1, "created_at": now}
            for name, certificate_id, _ in files
        ],
        ATTACHMENTS: [
            place
            | {
                "thing_name": name,
                "principal": arn.certificate(realm, certificate_id),
                "type": ThingPrincipalType.NON_EXCLUSIVE_THING.value,
            }
            for name, certificate_id, _ in files
        ],
        POLICY_TARGETS: [
            place | {"policy_name": policy, "target": arn.certificate(realm, certificate_id)}
            for _, certificate_id, _ in files
        ],
    }
    for table, rows in tables.items():
        connection.execute(insert(table).inline(), rows)
