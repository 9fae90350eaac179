"""Statements are compiled once, whatever they are given, and fail clearly."""

from __future__ import annotations

import pytest
from sqlalchemy import bindparam, func, select
from sqlalchemy.exc import DBAPIError

from sekisho.certificates.store import CERTIFICATES, CertificateRows
from sekisho.store import compiled
from sekisho.store.compiled import CompiledStatements
from sekisho.store.statements import its
from sekisho.store.store import Store
from sekisho.store.transaction import Transaction
from tests.store.builders import HOME, certificate, certificate_id

IDS = (
    select(CERTIFICATES.c.certificate_id, CERTIFICATES.c.created_at)
    .where(CERTIFICATES.c.certificate_id.in_(bindparam("ids", expanding=True)), CERTIFICATES.c.region == HOME.region)
    .order_by(CERTIFICATES.c.certificate_id)
)
COUNT = select(func.count().label("many")).where(its(CERTIFICATES, "region"))
WRONG = select(func.no_such_function(CERTIFICATES.c.seq))


def find(tx: Transaction, numbers: range) -> list[str]:
    return tx.execute(IDS, {"ids": [certificate_id(number) for number in numbers]}).scalars()


def test_lists_of_any_length_are_found(store: Store) -> None:
    lengths = range(compiled.MAX_LENGTHS + 2)
    with store.write() as tx:
        for number in lengths:
            CertificateRows(tx).add(certificate(number))
    with store.read() as tx:
        for _ in range(2):
            for length in lengths:
                expected = sorted(certificate_id(number) for number in range(length))
                assert find(tx, range(length)) == expected
        assert len(store._statements._compiled(IDS, ())._texts) <= compiled.MAX_LENGTHS


def test_a_statement_is_compiled_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with store.write() as tx:
        CertificateRows(tx).add(certificate(1))
        CertificateRows(tx).get(HOME, certificate_id(1))
    monkeypatch.setattr(CompiledStatements, "_compile", None)
    monkeypatch.setattr(compiled, "_Compiled", None)
    with store.write() as tx:
        CertificateRows(tx).add(certificate(2))
        assert CertificateRows(tx).get(HOME, certificate_id(2)) == certificate(2)


def test_a_row_is_a_tuple_with_names(store: Store) -> None:
    with store.write() as tx:
        CertificateRows(tx).add(certificate(1))
        (row,) = tx.execute(IDS, {"ids": [certificate_id(1)]})
        assert row == (row.certificate_id, row.created_at) == (certificate_id(1), certificate(1).created_at)
        assert tx.execute(COUNT, {"its_region": HOME.region}).one().many == 1
        with pytest.raises(RuntimeError, match="returned 0"):
            tx.execute(IDS, {"ids": []}).one()
        assert tx.execute(IDS, {"ids": []}).scalar() is None


def test_a_missing_value_is_named(store: Store) -> None:
    with store.read() as tx, pytest.raises(TypeError, match="'its_region'"):
        tx.execute(COUNT, {"its_account_id": HOME.account_id})


def test_what_the_database_refuses_is_an_error_of_sqlalchemy_without_values(store: Store) -> None:
    with store.read() as tx, pytest.raises(DBAPIError, match="no_such_function") as raised:
        tx.execute(WRONG).all()
    assert raised.value.params is None
