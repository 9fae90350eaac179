"""At a million rows a query is as quick as at ten thousand only where it reads an index: the databases are asked.

Every method of every port is called once, the statements it sends are caught, and each is explained.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, text

from sekisho import arn
from sekisho.registry import ports
from sekisho.registry.model import (
    DeliveryState,
    Endpoint,
    Event,
    Fingerprints,
    RegistrationConfig,
    RegistrationTaskStatus,
    ReportType,
    RotationState,
)
from sekisho.registry.ports import Window
from sekisho.store import deadline
from sekisho.store.identities import CHUNK
from sekisho.store.unit_of_work import SqlStore, SqlTransaction
from tests.postgres import PostgreSQL
from tests.store.builders import (
    HOME,
    NOW,
    OTHER_ACCOUNT,
    OTHER_REGION,
    access_key,
    account,
    attachment,
    billing_group,
    ca_certificate,
    certificate,
    certificate_id,
    certificate_provider,
    claim,
    delivery,
    ownership_token,
    policy,
    provisioning_template,
    registration_task,
    rotation,
    template_version,
    thing,
    thing_group,
    thing_type,
    version,
)

FORWARDS = Window(limit=10, after=3)
BACKWARDS = Window(limit=10, after=30, ascending=False)
ID = certificate_id(1)
DONE = RegistrationTaskStatus.COMPLETED
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
    "ca_certificates.with_subject_anywhere": [lambda tx: tx.ca_certificates.with_subject_anywhere(b"s", 5)],
    "ca_certificates.elsewhere": [lambda tx: tx.ca_certificates.elsewhere(ID, HOME.region)],
    "ca_certificates.everywhere": [lambda tx: tx.ca_certificates.everywhere(ID)],
    "ca_certificates.remove": [lambda tx: tx.ca_certificates.remove(HOME, ID)],
    "identities.look_up": [
        lambda tx: tx.identities.look_up([(HOME, ID)]),
        lambda tx: tx.identities.look_up([(HOME, certificate_id(number)) for number in range(3)]),
        lambda tx: tx.identities.look_up([(HOME, "unknown")]),
    ],
    "certificates.get": [lambda tx: tx.certificates.get(HOME, ID)],
    "certificates.add": [lambda tx: tx.certificates.add(certificate(10**6))],
    "certificates.kin": [lambda tx: tx.certificates.kin(HOME, Fingerprints(b"signed", b"number", b"key"))],
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
    "things.of_billing_group": [
        lambda tx: tx.things.of_billing_group(HOME, "bill", FORWARDS),
        lambda tx: tx.things.of_billing_group(HOME, "bill", BACKWARDS),
    ],
    "thing_types.get": [lambda tx: tx.thing_types.get(HOME, "type 1")],
    "thing_types.add": [lambda tx: tx.thing_types.add(thing_type("new"))],
    "thing_types.replace": [lambda tx: tx.thing_types.replace(thing_type("type 1"))],
    "thing_types.page": [
        lambda tx: tx.thing_types.page(HOME, FORWARDS),
        lambda tx: tx.thing_types.page(HOME, BACKWARDS),
    ],
    "thing_types.remove": [lambda tx: tx.thing_types.remove(HOME, "type 1")],
    "thing_groups.get": [lambda tx: tx.thing_groups.get(HOME, "group 1")],
    "thing_groups.add": [lambda tx: tx.thing_groups.add(thing_group("new", "root 1", "group 1"))],
    "thing_groups.replace": [lambda tx: tx.thing_groups.replace(thing_group("group 1", "root 1"))],
    "thing_groups.page": [
        lambda tx: tx.thing_groups.page(HOME, FORWARDS),
        lambda tx: tx.thing_groups.page(HOME, BACKWARDS),
        lambda tx: tx.thing_groups.page(HOME, FORWARDS, prefix="group 3"),
        lambda tx: tx.thing_groups.page(HOME, BACKWARDS, prefix="group 3"),
    ],
    "thing_groups.children": [
        lambda tx: tx.thing_groups.children(HOME, None, FORWARDS),
        lambda tx: tx.thing_groups.children(HOME, "root 1", FORWARDS),
        lambda tx: tx.thing_groups.children(HOME, "root 1", BACKWARDS),
        lambda tx: tx.thing_groups.children(HOME, "root 1", FORWARDS, prefix="group 3"),
        lambda tx: tx.thing_groups.children(HOME, "root 1", BACKWARDS, prefix="group 3"),
    ],
    "thing_groups.descendants": [
        lambda tx: tx.thing_groups.descendants(HOME, "root 1", FORWARDS),
        lambda tx: tx.thing_groups.descendants(HOME, "root 1", BACKWARDS),
        lambda tx: tx.thing_groups.descendants(HOME, "root 1", FORWARDS, prefix="group 3"),
        lambda tx: tx.thing_groups.descendants(HOME, "root 1", BACKWARDS, prefix="group 3"),
    ],
    "thing_groups.join": [lambda tx: tx.thing_groups.join("thing 1", thing_group("other"))],
    "thing_groups.leave": [lambda tx: tx.thing_groups.leave("thing 1", thing_group("group 1", "root 1"))],
    "thing_groups.memberships": [lambda tx: tx.thing_groups.memberships(HOME, "thing 1")],
    "thing_groups.things_in": [
        call
        for window in (FORWARDS, BACKWARDS)
        for call in (
            lambda tx, window=window: tx.thing_groups.things_in(HOME, "root 1", window, recursive=False),
            lambda tx, window=window: tx.thing_groups.things_in(HOME, "root 1", window, recursive=True),
        )
    ],
    "thing_groups.remove": [lambda tx: tx.thing_groups.remove(HOME, "group 1")],
    "billing_groups.get": [lambda tx: tx.billing_groups.get(HOME, "bill 1")],
    "billing_groups.add": [lambda tx: tx.billing_groups.add(billing_group("new"))],
    "billing_groups.replace": [lambda tx: tx.billing_groups.replace(billing_group("bill 1"))],
    "billing_groups.page": [
        lambda tx: tx.billing_groups.page(HOME, FORWARDS),
        lambda tx: tx.billing_groups.page(HOME, BACKWARDS),
        lambda tx: tx.billing_groups.page(HOME, FORWARDS, prefix="bill 3"),
        lambda tx: tx.billing_groups.page(HOME, BACKWARDS, prefix="bill 3"),
    ],
    "billing_groups.remove": [lambda tx: tx.billing_groups.remove(HOME, "bill 1")],
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
    "provisioning_templates.get": [lambda tx: tx.provisioning_templates.get(HOME, "template 1")],
    "provisioning_templates.add": [
        lambda tx: tx.provisioning_templates.add(provisioning_template("new"), template_version("new"))
    ],
    "provisioning_templates.replace": [
        lambda tx: tx.provisioning_templates.replace(provisioning_template("template 1"))
    ],
    "provisioning_templates.page": [
        lambda tx: tx.provisioning_templates.page(HOME, FORWARDS),
        lambda tx: tx.provisioning_templates.page(HOME, BACKWARDS),
    ],
    "provisioning_templates.version": [lambda tx: tx.provisioning_templates.version(HOME, "template 1", 1)],
    "provisioning_templates.page_versions": [
        lambda tx: tx.provisioning_templates.page_versions(HOME, "template 1", FORWARDS),
        lambda tx: tx.provisioning_templates.page_versions(HOME, "template 1", BACKWARDS),
    ],
    "provisioning_templates.add_version": [
        lambda tx: tx.provisioning_templates.add_version(template_version("template 1", 2))
    ],
    "provisioning_templates.remove_version": [
        lambda tx: tx.provisioning_templates.remove_version(HOME, "template 1", 2)
    ],
    "provisioning_templates.remove": [lambda tx: tx.provisioning_templates.remove(HOME, "template 1")],
    "provisioning_claims.get": [lambda tx: tx.provisioning_claims.get(ID)],
    "provisioning_claims.add": [
        lambda tx: tx.provisioning_claims.add(claim(10**6, template_name="template 1")),
    ],
    "provisioning_claims.of_template": [lambda tx: tx.provisioning_claims.of_template(HOME, "template 1")],
    "provisioning_claims.remove_expired": [lambda tx: tx.provisioning_claims.remove_expired(NOW)],
    "certificate_providers.get": [lambda tx: tx.certificate_providers.get(HOME, "provider 1")],
    "certificate_providers.add": [lambda tx: tx.certificate_providers.add(certificate_provider("new"))],
    "certificate_providers.replace": [lambda tx: tx.certificate_providers.replace(certificate_provider("provider 1"))],
    "certificate_providers.remove": [lambda tx: tx.certificate_providers.remove(HOME, "provider 1")],
    "certificate_providers.page": [
        lambda tx: tx.certificate_providers.page(HOME, FORWARDS),
        lambda tx: tx.certificate_providers.page(HOME, BACKWARDS),
    ],
    "endpoints.get": [lambda tx: tx.endpoints.get(HOME)],
    "endpoints.add": [lambda tx: tx.endpoints.add(Endpoint(OTHER_ACCOUNT, "new"))],
    "outbox.add": [lambda tx: tx.outbox.add(Event(HOME, "t", b"p"))],
    "outbox.first": [lambda tx: tx.outbox.first(10)],
    "outbox.remove": [lambda tx: tx.outbox.remove([1, 2])],
    "ownership_tokens.get": [lambda tx: tx.ownership_tokens.get(HOME, "ab" * 32)],
    "ownership_tokens.exists_for": [lambda tx: tx.ownership_tokens.exists_for(HOME, ID)],
    "ownership_tokens.add": [lambda tx: tx.ownership_tokens.add(ownership_token(10**6))],
    "ownership_tokens.remove": [lambda tx: tx.ownership_tokens.remove(HOME, "ab" * 32)],
    "ownership_tokens.expired": [lambda tx: tx.ownership_tokens.expired(NOW, 10)],
    "deliveries.get": [lambda tx: tx.deliveries.get(HOME, "handler 1", ID)],
    "deliveries.put": [lambda tx: tx.deliveries.put(delivery(10**6))],
    "deliveries.next_account": [lambda tx: tx.deliveries.next_account("handler 1", "0")],
    "deliveries.upcoming": [lambda tx: tx.deliveries.upcoming("handler 1", HOME.account_id, 10)],
    "deliveries.count": [lambda tx: tx.deliveries.count("handler 1", HOME.account_id)],
    "deliveries.remove_failed": [lambda tx: tx.deliveries.remove_failed("handler 1", HOME.account_id, 10)],
    "deliveries.update": [lambda tx: tx.deliveries.update(1, delivery(1))],
    "deliveries.retry": [lambda tx: tx.deliveries.retry("handler 1", NOW)],
    "deliveries.latest": [lambda tx: tx.deliveries.latest("handler 1", DeliveryState.FAILED)],
    "deliveries.remove": [lambda tx: tx.deliveries.remove(1)],
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
    "registration_tasks.get": [lambda tx: tx.registration_tasks.get(HOME, "task 1")],
    "registration_tasks.add": [lambda tx: tx.registration_tasks.add(registration_task(10**6))],
    "registration_tasks.replace": [lambda tx: tx.registration_tasks.replace(registration_task(1))],
    "registration_tasks.page": [
        call
        for window in (FORWARDS, BACKWARDS)
        for call in (
            lambda tx, window=window: tx.registration_tasks.page(HOME, window),
            lambda tx, window=window: tx.registration_tasks.page(HOME, window, status=DONE),
        )
    ],
    "registration_tasks.everywhere": [lambda tx: tx.registration_tasks.everywhere("task 1")],
    "registration_tasks.unfinished": [
        lambda tx: tx.registration_tasks.unfinished(),
        lambda tx: tx.registration_tasks.unfinished(HOME.account_id),
    ],
    "registration_tasks.ended_before": [lambda tx: tx.registration_tasks.ended_before(NOW, 10)],
    "registration_tasks.add_report": [
        lambda tx: tx.registration_tasks.add_report(registration_task(1), ReportType.ERRORS, 2, 3, "{}")
    ],
    "registration_tasks.report": [lambda tx: tx.registration_tasks.report(registration_task(1), ReportType.ERRORS, 1)],
    "registration_tasks.remove": [lambda tx: tx.registration_tasks.remove(HOME, "task 1")],
    "accounts.get": [lambda tx: tx.accounts.get(HOME.account_id)],
    "accounts.add": [lambda tx: tx.accounts.add(account("999999999999"))],
    "accounts.access_key": [lambda tx: tx.accounts.access_key("AKIA")],
    "accounts.add_access_key": [lambda tx: tx.accounts.add_access_key(access_key(10**6))],
    "accounts.access_keys": [lambda tx: tx.accounts.access_keys(HOME.account_id)],
}

# These read whole tables, which are small: one row per realm, one per account, one per event that waits for a handler.
# ``are_several`` reads two rows.
WHOLE_TABLES = {"endpoints.all", "accounts.all", "accounts.are_several", "deliveries.counts"}

# One row per realm or account.
SMALL = {"endpoints", "accounts", "registration_codes"}

# These sort what an index has found: all that has a prefix; a target's policies, a certificate's realms, a thing's
# groups, tasks that run, which are few; what belongs to one batch.
SORTING = {
    "things.page",
    "policies.attached_to",
    "certificates.everywhere",
    "ca_certificates.elsewhere",
    "ca_certificates.everywhere",
    "identities.look_up",
    "thing_groups.page",
    "thing_groups.children",
    "thing_groups.descendants",
    "thing_groups.memberships",
    "billing_groups.page",
    "registration_tasks.unfinished",
}

# Names that begin with a text are found among those of a realm or of a parent, or the page among the names.
BY_PREFIX = {"thing_groups.page", "thing_groups.children", "billing_groups.page"}

# Their joins may be read in the order of what is listed, without a condition.
IN_ORDER = {"things.page", "thing_groups.descendants"}


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
        # More than a transaction of the server's does.
        deadline.lift()
        store._engines.allow_long_statements(connection_of(tx))
        tx.accounts.add(account())
        tx.accounts.add(account(OTHER_ACCOUNT.account_id))
        tx.policies.add(policy("policy 0"), version("policy 0"))
        for realm in (HOME, OTHER_ACCOUNT, OTHER_REGION):
            for number in range(9):
                tx.thing_groups.add(thing_group(f"root {number}", realm=realm))
            tx.thing_groups.add(thing_group("other", realm=realm))
            tx.policies.add(policy("of root", realm), version("of root", realm=realm))
            tx.policies.attach(realm, "of root", arn.thing_group(realm, "root 1"))
        for number in range(1, many):
            realm = (HOME, OTHER_ACCOUNT, OTHER_REGION)[number % 3] if number > 1 else HOME
            principal = arn.certificate(realm, certificate_id(number))
            tx.certificates.add(certificate(number, realm, ca_certificate_id=certificate_id(number % 7)))
            config = RegistrationConfig(template_name=f"template {number}")
            tx.ca_certificates.add(ca_certificate(number, realm, registration_config=config))
            attributes = {"a": f"b{number}", "c": "d"}
            marks: dict[str, Any] = {"type_name": f"type {number % 9}", "billing_group_name": f"bill {number % 9}"}
            tx.things.add(thing(f"thing {number}", realm, attributes=attributes, **marks))
            tx.thing_types.add(thing_type(f"type {number}", realm))
            tx.billing_groups.add(billing_group(f"bill {number}", realm))
            group = thing_group(f"group {number}", f"root {number % 9}", realm=realm)
            tx.thing_groups.add(group)
            tx.thing_groups.join(f"thing {number}", group)
            tx.attachments.add(attachment(f"thing {number}", principal, realm))
            tx.policies.add(policy(f"policy {number}", realm), version(f"policy {number}", realm=realm))
            tx.policies.attach(realm, f"policy {number}", principal)
            tx.tags.put(realm, principal, {"k": "v"})
            name = f"template {number}"
            tx.provisioning_templates.add(provisioning_template(name, realm), template_version(name, realm=realm))
            tx.provisioning_claims.add(claim(many + number, realm, template_name=name))
            tx.certificate_providers.add(certificate_provider(f"provider {number}", realm))
            state = DeliveryState.FAILED if number % 5 == 0 else DeliveryState.PENDING
            tx.deliveries.put(delivery(number, realm, handler=f"handler {number % 3}", state=state))
            rotation_state = (RotationState.DONE, RotationState.PENDING)[number % 2]
            tx.rotations.add(
                rotation(number, number + 1, realm, ca_certificate_id=certificate_id(number % 7), state=rotation_state)
            )
            status = DONE if number % 5 else RegistrationTaskStatus.IN_PROGRESS
            task = registration_task(number, realm, status=status, modified_at=NOW + timedelta(seconds=number))
            tx.registration_tasks.add(task)
            tx.registration_tasks.add_report(task, ReportType.ERRORS, 1, number, "{}")
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
                    if (
                        statement.startswith("SELECT")
                        and " JOIN " not in statement
                        and " IN (" not in statement
                        and method not in BY_PREFIX
                    ):
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
        # Certificates, their policies, things, groups; policies of the groups, of which a batch has more than one
        # statement can ask for; and those that are no certificates are looked for among the claims.
        assert len(statements) <= 7
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
    # Up to each LIMIT, whose number is a parameter as well: of a statement with subqueries, each has its own.
    conditions = [part.partition("WHERE ")[2] for part in statement.split("LIMIT")]
    found_by = [step.count("?") for step in plan if step.startswith("SEARCH")]
    assert sum(found_by) == sum(condition.count("?") for condition in conditions), (statement, plan)


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
        # For a prefix that many have, or a tree that has many, PostgreSQL reads in their order until the page is full.
        assert "Index Cond" in node or method in IN_ORDER, node
