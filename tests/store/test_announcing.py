"""Writing rows announces what they mean to live connections; no way of writing omits it."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Table, delete, insert, select, text, update

from sekisho import arn
from sekisho.accounts.store import ACCOUNTS
from sekisho.certificates.model import CertificateStatus
from sekisho.certificates.store import CERTIFICATES, CertificateRows
from sekisho.change import Change, ChangeKind
from sekisho.policies.store import PolicyRows
from sekisho.provisioning.claims.store import ProvisioningClaimRows
from sekisho.provisioning.templates.store import ProvisioningTemplateRows
from sekisho.refusal import RefusalReason
from sekisho.rotation.model import RotationState
from sekisho.rotation.store import RotationRows
from sekisho.store.statements import its, realm_parameters
from sekisho.store.store import Store
from sekisho.store.tables import PartOf, announces, load_all
from sekisho.thing_groups.store import ThingGroupRows
from sekisho.things.store import THING_ATTRIBUTES, ThingRows
from tests.store.builders import (
    HOME,
    certificate,
    certificate_id,
    claim,
    policy,
    provisioning_template,
    rotation,
    template_version,
    thing,
    thing_group,
    version,
)

TABLES = list(load_all("sqlite").tables.values())
# A table that announces must not become silent unnoticed.
ANNOUNCING = {
    "attachments",
    "certificates",
    "endpoints",
    "memberships",
    "policies",
    "policy_targets",
    "policy_versions",
    "provisioning_claims",
    "provisioning_templates",
    "rotations",
    "thing_groups",
    "things",
}
# Nothing depends on these rows.
QUIET = {
    "policies": {"insert"},
    "policy_versions": {"insert", "delete"},
    "provisioning_claims": {"insert"},
    "provisioning_templates": {"insert", "update"},
    "thing_groups": {"insert", "update"},
    "things": {"insert"},
}
PARTS = {"thing_attributes": "things", "thing_group_ancestors": "thing_groups"}


def named(kind: str, table: Table) -> Any:
    return pytest.param(table, id=f"{kind} {table.name}")


def test_each_table_says_what_it_announces() -> None:
    assert {table.name for table in TABLES if announces(table) is not None} == ANNOUNCING | PARTS.keys()
    assert {table.name: part.table for table in TABLES if isinstance(part := announces(table), PartOf)} == PARTS


@pytest.mark.parametrize("table", [named("table", table) for table in TABLES if table.name in ANNOUNCING])
def test_a_table_cannot_be_written_without_naming_what_it_announces(store: Store, table: Table) -> None:
    for kind, statement in (("insert", insert(table)), ("update", update(table)), ("delete", delete(table))):
        if kind not in QUIET.get(table.name, ()):
            with store.write() as tx, pytest.raises(RuntimeError, match=f"{table.name} cannot be written without"):
                tx.execute(statement, {"attributes": {}, "default_version_id": 2})


@pytest.mark.parametrize("table", [named("part", table) for table in TABLES if table.name in PARTS])
def test_a_part_cannot_be_written_without_its_owner(store: Store, table: Table) -> None:
    with store.write() as tx, pytest.raises(RuntimeError, match=f"part of {PARTS[table.name]}"):
        tx.execute(delete(table), {"unrelated": 1})


def test_the_part_of_an_owner_that_was_undone_cannot_be_written(store: Store) -> None:
    with store.write() as tx:
        with contextlib.suppress(ZeroDivisionError), tx.savepoint():
            ThingRows(tx).add(thing())
            raise ZeroDivisionError
        with pytest.raises(RuntimeError, match="part of things"):
            tx.execute(delete(THING_ATTRIBUTES))


@pytest.mark.parametrize(
    "statement",
    ["DELETE FROM certificates", "SELECT 1", "PRAGMA foreign_keys = off", "DROP TABLE certificates"],
)
def test_a_statement_given_as_text_is_refused(store: Store, statement: str) -> None:
    with store.write() as tx, pytest.raises(TypeError):
        tx.execute(text(statement))


def test_a_reading_transaction_cannot_write(store: Store) -> None:
    with store.read() as tx, pytest.raises(RuntimeError, match="cannot write"):
        tx.execute(delete(ACCOUNTS))
    with store.read() as tx:
        assert tx.execute(select(ACCOUNTS)).all() == []


def of_certificate(number: int = 1) -> Change:
    return Change(HOME, ChangeKind.CERTIFICATE, certificate_id(number))


def of_thing(name: str) -> Change:
    return Change(HOME, ChangeKind.THING, name)


def test_certificates_announce_themselves(store: Store, announced: list[Change]) -> None:
    with store.write() as tx:
        CertificateRows(tx).add(certificate())
    with store.write() as tx:
        CertificateRows(tx).replace(certificate(status=CertificateStatus.REVOKED))
    with store.write() as tx:
        CertificateRows(tx).remove(HOME, certificate_id(1))
    reasons = (None, RefusalReason.DEVICE_CERTIFICATE_REVOKED, RefusalReason.DEVICE_CERTIFICATE_NOT_REGISTERED)
    assert announced == [replace(of_certificate(), lost=reason) for reason in reasons]


def test_a_certificate_that_is_written_repeatedly_is_announced_once_with_the_reason(
    store: Store, announced: list[Change]
) -> None:
    with store.write() as tx:
        PolicyRows(tx).add(policy(), version())
        CertificateRows(tx).add(certificate())
        RotationRows(tx).add(rotation(2, 1))
    announced.clear()
    with store.write() as tx:
        PolicyRows(tx).attach(HOME, "p", arn.certificate(HOME, certificate_id(1)))
        CertificateRows(tx).replace(certificate(status=CertificateStatus.INACTIVE))
        RotationRows(tx).finish(rotation(2, 1, state=RotationState.CANCELLED))
    assert announced == [replace(of_certificate(), lost=RefusalReason.DEVICE_CERTIFICATE_INACTIVE)]


def test_a_certificate_that_waits_for_its_activation_is_not_announced(store: Store, announced: list[Change]) -> None:
    with store.write() as tx:
        CertificateRows(tx).add(certificate(status=CertificateStatus.PENDING_ACTIVATION))
    assert announced == []


def test_a_write_without_a_changed_row_announces_nothing(store: Store, announced: list[Change]) -> None:
    with store.write() as tx:
        CertificateRows(tx).remove(HOME, certificate_id(1))
        tx.execute(
            update(CERTIFICATES).where(its(CERTIFICATES, "certificate_id", "account_id", "region")),
            realm_parameters(HOME, certificate_id=certificate_id(1)) | {"status": "REVOKED"},
        )
    assert announced == []


def test_targets_of_policies_are_announced(store: Store, announced: list[Change]) -> None:
    with store.write() as tx:
        PolicyRows(tx).add(policy(), version())
        ThingGroupRows(tx).add(thing_group("fleet"))
        ThingRows(tx).add(thing("truck"))
        ThingGroupRows(tx).join("truck", thing_group("fleet"))
    announced.clear()
    principal = arn.certificate(HOME, certificate_id(1))
    targets = (principal, "eu-central-1:4a2d41a0-1111-2222-3333-444444444444", arn.thing_group(HOME, "fleet"))
    with store.write() as tx:
        for target in targets:
            assert PolicyRows(tx).attach(HOME, "p", target)
    assert announced == [of_certificate(), of_thing("truck")]
    announced.clear()
    with store.write() as tx:
        for target in targets:
            assert PolicyRows(tx).detach(HOME, "p", target)
            assert not PolicyRows(tx).detach(HOME, "p", target)
    assert announced == [of_certificate(), of_thing("truck")]


def test_things_of_a_group_that_is_removed_are_announced(store: Store, announced: list[Change]) -> None:
    with store.write() as tx:
        ThingGroupRows(tx).add(thing_group("fleet"))
        ThingRows(tx).add(thing("truck"))
        ThingGroupRows(tx).join("truck", thing_group("fleet"))
    announced.clear()
    with store.write() as tx:
        ThingGroupRows(tx).replace(thing_group("fleet", description="trucks"))
    assert announced == []
    with store.write() as tx:
        ThingGroupRows(tx).remove(HOME, "fleet")
    assert announced == [of_thing("truck")]


def test_claims_of_a_template_that_is_removed_are_announced(store: Store, announced: list[Change]) -> None:
    with store.write() as tx:
        ProvisioningTemplateRows(tx).add(provisioning_template("t"), template_version("t"))
        ProvisioningClaimRows(tx).add(claim(1, template_name="t"))
    announced.clear()
    with store.write() as tx:
        ProvisioningTemplateRows(tx).remove(HOME, "t")
    assert announced == [of_certificate()]


def test_the_new_certificate_of_a_rotation_is_announced(store: Store, announced: list[Change]) -> None:
    with store.write() as tx:
        RotationRows(tx).add(rotation(1, 2))
    assert announced == [of_certificate(2)]
