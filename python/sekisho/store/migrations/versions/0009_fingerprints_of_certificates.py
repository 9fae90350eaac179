"""Fingerprints of certificates, by which automatic registration recognises a revoked one; CAs by subject in all realms.

A million rows take about a minute and no more memory than a batch.
"""

import sqlalchemy as sa
from alembic import op

from sekisho.certificates.fingerprints import fingerprints_of
from sekisho.pki.certificate import X509Certificate
from sekisho.pki.pem import PemError

revision = "0009"
down_revision = "0008"

ROWS_PER_BATCH = 1000

COLUMNS = ("signed_sha256", "issuer_serial_sha256", "public_key_sha256")

REVOKED = sa.text("status = 'REVOKED'")


def upgrade() -> None:
    """Add the columns, fill them, and make the indexes."""
    for column in COLUMNS:
        op.add_column("certificates", sa.Column(column, sa.LargeBinary()))
    _fill(op.get_bind())
    op.create_index(
        op.f("ix_certificates_signed_sha256_account_id_region"),
        "certificates",
        ["signed_sha256", "account_id", "region"],
    )
    for column in COLUMNS[1:]:
        op.create_index(
            f"ix_certificates_revoked_{column}",
            "certificates",
            ["account_id", "region", column],
            sqlite_where=REVOKED,
            postgresql_where=REVOKED,
        )
    op.create_index(op.f("ix_ca_certificates_subject_sha256_seq"), "ca_certificates", ["subject_sha256", "seq"])


def _fill(connection: sa.Connection) -> None:
    table = sa.table(
        "certificates",
        sa.column("seq", sa.BigInteger()),
        sa.column("certificate_pem", sa.Text()),
        *(sa.column(name, sa.LargeBinary()) for name in COLUMNS),
    )
    batch = (
        sa.select(table.c.seq, table.c.certificate_pem)
        .where(table.c.seq > sa.bindparam("after"))
        .order_by(table.c.seq)
        .limit(ROWS_PER_BATCH)
    )
    filling = (
        sa.update(table)
        .where(table.c.seq == sa.bindparam("its_seq"))
        .values({name: sa.bindparam(f"new_{name}") for name in COLUMNS})
    )
    after = -1
    while rows := connection.execute(batch, {"after": after}).all():
        after = rows[-1].seq
        values = []
        for row in rows:
            try:
                found = fingerprints_of(X509Certificate.from_pem(row.certificate_pem))
            except PemError:
                # It stays registered; a copy of it is not recognised.
                continue
            values.append(
                {
                    "its_seq": row.seq,
                    "new_signed_sha256": found.signed,
                    "new_issuer_serial_sha256": found.issuer_serial,
                    "new_public_key_sha256": found.public_key,
                }
            )
        if values:
            connection.execute(filling, values)
