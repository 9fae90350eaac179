"""At a million rows a query is as quick as at ten thousand only where it reads an index: the databases are asked.

Every method of every port is called once, the statements it sends are caught, and each is explained.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, text

from sekisho import arn
from sekisho.registry import ports
from sekisho.registry.model import Endpoint, Event, RegistrationConfig, RotationState
from sekisho.registry.ports import Window
from sekisho.store.identities import CHUNK
from sekisho.store.unit_of_work import SqlStore, SqlTransaction
from tests.postgres import PostgreSQL
from tests.store.builders import (
    HOME,
    OTHER_ACCOUNT,
    OTHER_REGION,
    access_key,
    account,
    attachment,
    ca_certificate,
    certificate,
    certificate_id,
    policy,
    rotation,
    thing,
    version,
)

FORWARDS = Window(limit=10, after=3)
BACKWARDS = Window(limit=10, after=30, ascending=False)
ID = certificate_id(1)
PRINCIPAL = arn.certificate(HOME, ID)

type_and_attribute: dict[str, Any] = {"type_name": "t", "attribute": ("a", "b")}

# Per method of a port: calls of it, one for each form of its statements.
CALLS: dict[str, list[Callable[[SqlTransaction], object]]] = {
    "ca_certificates.get": [lambda tx: tx.ca_certificates.get(HOME, ID)],
    "ca_certificates.add": [lambda tx: tx.ca_certificates.add(ca_certificate(10**6))],
    "ca_certificates.replace": [lambda tx: tx.ca_certificates.replace(ca_certificate(1))],
    "ca_certificates.page": [
        lambda tx: tx.ca_certificates.page(HOME, FORWARDS),
        lambda tx: tx.ca_certificates.page(HOME, BACKWARDS),
        lambda tx: tx.ca_certificates.page(HOME, FORWARDS, template_name="t"),
        lambda tx: tx.ca_certificates.page(HOME, BACKWARDS, template_name="t"),
    ],
    "ca_certificates.with_subject": [lambda tx: tx.ca_certificates.with_subject(HOME, b"s")],
    "ca_certificates.elsewhere": [lambda tx: tx.ca_certificates.elsewhere(ID, HOME.region)],
    "ca_certificates.everywhere": [lambda tx: tx.ca_certificates.everywhere(ID)],
    "ca_certificates.remove": [lambda tx: tx.ca_certificates.remove(HOME, ID)],
    "identities.look_up": [
        lambda tx: tx.identities.look_up([(HOME, ID)]),
        lambda tx: tx.identities.look_up([(HOME, certificate_id(number)) for number in range(3)]),
    ],
    "certificates.get": [lambda tx: tx.certificates.get(HOME, ID)],
    "certificates.add": [lambda tx: tx.certificates.add(certificate(10**6))],
    "certificates.replace": [lambda tx: tx.certificates.replace(certificate(1))],
    "certificates.page": [
        lambda tx: tx.certificates.page(HOME, FORWARDS),
        lambda tx: tx.certificates.page(HOME, BACKWARDS),
    ],
    "certificates.page_by_ca": [
        lambda tx: tx.certificates.page_by_ca(HOME, ID, FORWARDS),
        lambda tx: tx.certificates.page_by_ca(HOME, ID, BACKWARDS),
    ],
    "certificates.page_outgoing": [
        lambda tx: tx.certificates.page_outgoing(HOME, FORWARDS),
        lambda tx: tx.certificates.page_outgoing(HOME, BACKWARDS),
    ],
    "certificates.everywhere": [lambda tx: tx.certificates.everywhere(ID)],
    "certificates.remove": [lambda tx: tx.certificates.remove(HOME, ID)],
    "attachments.get": [lambda tx: tx.attachments.get(HOME, "thing 1", PRINCIPAL)],
    "attachments.add": [lambda tx: tx.attachments.add(attachment("thing 1", "another"))],
    "attachments.of_thing": [
        lambda tx: tx.attachments.of_thing(HOME, "thing 1", FORWARDS),
        lambda tx: tx.attachments.of_thing(HOME, "thing 1", BACKWARDS),
    ],
    "attachments.of_principal": [
        lambda tx: tx.attachments.of_principal(HOME, PRINCIPAL, FORWARDS),
        lambda tx: tx.attachments.of_principal(HOME, PRINCIPAL, BACKWARDS),
    ],
    "attachments.remove": [lambda tx: tx.attachments.remove(HOME, "thing 1", PRINCIPAL)],
    "things.get": [lambda tx: tx.things.get(HOME, "thing 1")],
    "things.add": [lambda tx: tx.things.add(thing("new", attributes={"a": "b"}))],
    "things.replace": [lambda tx: tx.things.replace(thing("thing 1", attributes={"a": "b"}))],
    "things.page": [
        call
        for window in (FORWARDS, BACKWARDS)
        for call in (
            lambda tx, window=window: tx.things.page(HOME, window),
            lambda tx, window=window: tx.things.page(HOME, window, type_name="t"),
            lambda tx, window=window: tx.things.page(HOME, window, attribute=("a", "b")),
            lambda tx, window=window: tx.things.page(HOME, window, attribute=("a", "b"), prefix=True),
            lambda tx, window=window: tx.things.page(HOME, window, **type_and_attribute),
            lambda tx, window=window: tx.things.page(HOME, window, **type_and_attribute, prefix=True),
        )
    ],
    "things.remove": [lambda tx: tx.things.remove(HOME, "new")],
    "policies.get": [lambda tx: tx.policies.get(HOME, "policy 1")],
    "policies.add": [lambda tx: tx.policies.add(policy("new"), version("new"))],
    "policies.replace": [lambda tx: tx.policies.replace(policy("policy 1"))],
    "policies.page": [
        lambda tx: tx.policies.page(HOME, FORWARDS),
        lambda tx: tx.policies.page(HOME, BACKWARDS),
    ],
    "policies.version": [lambda tx: tx.policies.version(HOME, "policy 1", 1)],
    "policies.versions": [lambda tx: tx.policies.versions(HOME, "policy 1")],
    "policies.add_version": [lambda tx: tx.policies.add_version(version("policy 1", 2))],
    "policies.remove_version": [lambda tx: tx.policies.remove_version(HOME, "policy 1", 2)],
    "policies.attach": [lambda tx: tx.policies.attach(HOME, "policy 1", "another")],
    "policies.attached_to": [
        lambda tx: tx.policies.attached_to(HOME, PRINCIPAL, FORWARDS),
        lambda tx: tx.policies.attached_to(HOME, PRINCIPAL, BACKWARDS),
    ],
    "policies.targets_of": [
        lambda tx: tx.policies.targets_of(HOME, "policy 1", FORWARDS),
        lambda tx: tx.policies.targets_of(HOME, "policy 1", BACKWARDS),
    ],
    "policies.detach": [lambda tx: tx.policies.detach(HOME, "policy 1", PRINCIPAL)],
    "policies.remove": [lambda tx: tx.policies.remove(HOME, "new")],
    "tags.get": [lambda tx: tx.tags.get(HOME, PRINCIPAL)],
    "tags.put": [lambda tx: tx.tags.put(HOME, PRINCIPAL, {"k": "v"})],
    "tags.remove": [
        lambda tx: tx.tags.remove(HOME, PRINCIPAL, ["k"]),
        lambda tx: tx.tags.remove(HOME, PRINCIPAL),
    ],
    "registration_codes.get": [lambda tx: tx.registration_codes.get(HOME)],
    "registration_codes.put": [lambda tx: tx.registration_codes.put(HOME, "code")],
    "registration_codes.remove": [lambda tx: tx.registration_codes.remove(HOME)],
    "endpoints.get": [lambda tx: tx.endpoints.get(HOME)],
    "endpoints.add": [lambda tx: tx.endpoints.add(Endpoint(OTHER_ACCOUNT, "new"))],
    "outbox.add": [lambda tx: tx.outbox.add(Event(HOME, "t", b"p"))],
    "outbox.first": [lambda tx: tx.outbox.first(10)],
    "outbox.remove": [lambda tx: tx.outbox.remove([1, 2])],
    "rotations.latest": [lambda tx: tx.rotations.latest(HOME, ID)],
    "rotations.awaiting": [lambda tx: tx.rotations.awaiting(HOME, certificate_id(2))],
    "rotations.add": [lambda tx: tx.rotations.add(rotation(10**6, 10**6 + 1))],
    "rotations.finish": [lambda tx: tx.rotations.finish(rotation(1, 2, state=RotationState.DONE))],
    "rotations.page": [
        call
        for window in (FORWARDS, BACKWARDS)
        for call in (
            lambda tx, window=window: tx.rotations.page(HOME, window, RotationState.DONE),
            lambda tx, window=window: tx.rotations.page(HOME, window, RotationState.PENDING, ca_certificate_id=ID),
        )
    ],
    "rotations.count": [
        lambda tx: tx.rotations.count(HOME, RotationState.PENDING),
        lambda tx: tx.rotations.count(HOME, RotationState.PENDING, ca_certificate_id=ID),
    ],
    "accounts.get": [lambda tx: tx.accounts.get(HOME.account_id)],
    "accounts.add": [lambda tx: tx.accounts.add(account("999999999999"))],
    "accounts.access_key": [lambda tx: tx.accounts.access_key("AKIA")],
    "accounts.add_access_key": [lambda tx: tx.accounts.add_access_key(access_key(10**6))],
    "accounts.access_keys": [lambda tx: tx.accounts.access_keys(HOME.account_id)],
}

# These return whole tables, which are small: one row per realm, one per account.
WHOLE_TABLES = {"endpoints.all", "accounts.all"}

# One row per realm or account.
SMALL = {"endpoints", "accounts", "registration_codes"}

# These sort what an index has found: all that has a prefix; a target's policies and a certificate's realms, which are
# few; what belongs to one batch.
SORTING = {
    "things.page",
    "policies.attached_to",
    "certificates.everywhere",
    "ca_certificates.elsewhere",
    "ca_certificates.everywhere",
    "identities.look_up",
}


def test_every_method_of_every_port_is_looked_at() -> None:
    rows = {
        name: getattr(ports, hint.fget.__annotations__["return"])
        for name, hint in vars(ports.Transaction).items()
        if isinstance(hint, property) and hint.fget is not None
    }
    methods = {
        f"{name}.{method}"
        for name, protocol in rows.items()
        for method, function in vars(protocol).items()
        if not method.startswith("_") and callable(function)
    }
    assert methods == set(CALLS) | WHOLE_TABLES


def fill(store: SqlStore, many: int) -> None:
    """Rows enough for PostgreSQL to prefer an index, in three realms."""
    with store.write() as tx:
        tx.accounts.add(account())
        tx.accounts.add(account(OTHER_ACCOUNT.account_id))
        tx.policies.add(policy("policy 0"), version("policy 0"))
        for number in range(1, many):
            realm = (HOME, OTHER_ACCOUNT, OTHER_REGION)[number % 3] if number > 1 else HOME
            principal = arn.certificate(realm, certificate_id(number))
            tx.certificates.add(certificate(number, realm, ca_certificate_id=certificate_id(number % 7)))
            config = RegistrationConfig(template_name=f"template {number}")
            tx.ca_certificates.add(ca_certificate(number, realm, registration_config=config))
            attributes = {"a": f"b{number}", "c": "d"}
            tx.things.add(thing(f"thing {number}", realm, type_name=f"type {number % 9}", attributes=attributes))
            tx.attachments.add(attachment(f"thing {number}", principal, realm))
            tx.policies.add(policy(f"policy {number}", realm), version(f"policy {number}", realm=realm))
            tx.policies.attach(realm, f"policy {number}", principal)
            tx.tags.put(realm, principal, {"k": "v"})
            state = (RotationState.DONE, RotationState.PENDING)[number % 2]
            tx.rotations.add(
                rotation(number, number + 1, realm, ca_certificate_id=certificate_id(number % 7), state=state)
            )
            owner = HOME if number % 10 == 0 else OTHER_ACCOUNT
            tx.accounts.add_access_key(access_key(number, owner.account_id))


@contextmanager
def sent() -> Iterator[list[tuple[str, Any]]]:
    """The statements that are sent, with their parameters."""
    statements: list[tuple[str, Any]] = []

    def catch(
        _connection: object, _cursor: object, statement: str, parameters: Any, _context: object, many: bool
    ) -> None:
        if not statement.startswith(("PRAGMA", "BEGIN", "EXPLAIN")):
            statements.append((statement, parameters[0] if many else parameters))

    event.listen(Engine, "before_cursor_execute", catch)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", catch)


def connection_of(tx: SqlTransaction) -> Connection:
    return tx.accounts._connection


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlStore]:
    with SqlStore(f"sqlite:///{tmp_path_factory.mktemp('plans')}/sekisho.db", lambda _: None) as store:
        fill(store, 50)
        yield store


@pytest.fixture(scope="module")
def postgres(postgresql: PostgreSQL) -> Iterator[SqlStore]:
    with SqlStore(postgresql.new_database(), lambda _: None) as store:
        fill(store, 600)
        with store.write() as tx:
            connection_of(tx).execute(text("ANALYZE"))
        yield store


@pytest.mark.parametrize("method", CALLS)
def test_sqlite_searches_and_never_scans(sqlite: SqlStore, method: str) -> None:
    """https://www.sqlite.org/eqp.html: SEARCH uses an index or key for its conditions, SCAN reads everything."""
    try:
        with sqlite.write() as tx:
            for call in CALLS[method]:
                with sent() as statements:
                    call(tx)
                assert statements
                for statement, parameters in statements:
                    rows = connection_of(tx).exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
                    plan = [row.detail for row in rows]
                    _check_sqlite(method, plan)
                    if statement.startswith("SELECT") and " JOIN " not in statement and " IN (" not in statement:
                        _check_that_every_condition_is_in_the_key(statement, plan)
            raise _Undo
    except _Undo:
        pass


def test_sqlite_searches_for_a_whole_batch_too(sqlite: SqlStore) -> None:
    """For a list of tuples it would read the whole table, and only where the list is long."""
    keys = [(HOME, certificate_id(number)) for number in range(CHUNK)]
    with sqlite.read() as tx:
        with sent() as statements:
            assert tx.identities.look_up(keys)
        assert len(statements) == 3
        for statement, parameters in statements:
            rows = connection_of(tx).exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            _check_sqlite("identities.look_up", [row.detail for row in rows])


class _Undo(Exception):
    """Rolls a transaction back."""


def _check_sqlite(method: str, plan: list[str]) -> None:
    for step in plan:
        # "SCAN n-ROW VALUES CLAUSE" and "SCAN CONSTANT ROW" read parameters.
        assert not step.startswith("SCAN") or "VALUES" in step or "CONSTANT" in step, plan
        assert "AUTOMATIC" not in step, plan
        assert "TEMP B-TREE" not in step or method in SORTING, plan
        if step.startswith("SEARCH"):
            assert "(" in step, plan
            # The key of a realm alone finds a whole list; going on in it needs the place.
            assert not step.endswith("(account_id=? AND region=?)") or method.split(".")[0] in SMALL, plan


def _check_that_every_condition_is_in_the_key(statement: str, plan: list[str]) -> None:
    """What is compared after the row was found was not found by an index."""
    _, _, conditions = statement.partition("WHERE ")
    conditions = conditions.partition("LIMIT")[0]
    found_by = [step.count("?") for step in plan if step.startswith("SEARCH")]
    assert sum(found_by) == conditions.count("?"), (statement, plan)


@pytest.mark.parametrize("method", CALLS)
def test_postgresql_finds_an_index_for_every_condition(postgres: SqlStore, method: str) -> None:
    try:
        with postgres.write() as tx:
            # Of few rows PostgreSQL rather reads all, where it may. What it reads in full now has no index.
            connection_of(tx).execute(text("SET LOCAL enable_seqscan = off"))
            for call in CALLS[method]:
                with sent() as statements:
                    call(tx)
                assert statements
                for statement, parameters in statements:
                    explained = connection_of(tx).exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters)
                    (plan,) = explained.scalars().all()
                    for node in _nodes((plan if isinstance(plan, list) else json.loads(plan))[0]["Plan"]):
                        _check_postgresql(method, node)
            raise _Undo
    except _Undo:
        pass


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for below in node.get("Plans", []):
        yield from _nodes(below)


def _check_postgresql(method: str, node: dict[str, Any]) -> None:
    assert node["Node Type"] != "Seq Scan", node
    if node["Node Type"] in ("Index Scan", "Index Only Scan", "Bitmap Index Scan"):
        # For a prefix that many have, PostgreSQL reads things in their order until the page is full.
        assert "Index Cond" in node or method == "things.page", node
