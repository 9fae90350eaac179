"""Policies, their versions and their targets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Row,
    UniqueConstraint,
    and_,
    select,
)

from sekisho.arn import Arn
from sekisho.change import Change, ChangeKind, of_principal
from sekisho.pages import Slice, Window
from sekisho.policies.model import Policy, PolicyVersion
from sekisho.realm import Realm
from sekisho.store.rows import REALM, RealmTable, VersionedRows, VersionTable, realm_of, realm_values
from sekisho.store.statements import (
    Query,
    insert_unless_there,
    its,
    reading,
    realm_parameters,
    removing,
)
from sekisho.store.tables import Instant, String, Write, keyed, listed, realm_columns
from sekisho.store.transaction import Transaction
from sekisho.thing_groups.store import changes_of_things_in


def _announce(_tx: Transaction, write: Write) -> Iterable[Change]:
    # A new policy has no targets, and a new version is not evaluated until it is the default.
    if write.kind == "insert" or (write.kind == "update" and "default_version_id" not in write.values):
        return ()
    return (Change(write.realm, ChangeKind.POLICY, write.values["name"]),)


POLICIES = listed(
    "policies",
    *realm_columns(),
    Column("name", String, nullable=False),
    Column("default_version_id", Integer, nullable=False),
    Column("last_version_id", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("modified_at", Instant, nullable=False),
    Column("generation_id", String, nullable=False),
    UniqueConstraint("account_id", "region", "name"),
    Index(None, "account_id", "region", "seq"),
    announces=_announce,
)


def _announce_version(_tx: Transaction, write: Write) -> Iterable[Change]:
    # A version that is inserted or deleted is not the default one. Versions are not updated today.
    if write.kind == "update":
        return (Change(write.realm, ChangeKind.POLICY, write.values["policy_name"]),)
    return ()


POLICY_VERSIONS = keyed(
    "policy_versions",
    *realm_columns(),
    Column("policy_name", String, nullable=False),
    Column("version_id", Integer, nullable=False),
    Column("document", String, nullable=False),
    Column("created_at", Instant, nullable=False),
    PrimaryKeyConstraint("account_id", "region", "policy_name", "version_id"),
    ForeignKeyConstraint(
        ["account_id", "region", "policy_name"],
        ["policies.account_id", "policies.region", "policies.name"],
        ondelete="CASCADE",
    ),
    announces=_announce_version,
)


def _announce_target(tx: Transaction, write: Write) -> Iterable[Change]:
    realm, target = write.realm, write.values["target"]
    parsed = Arn.parse(target)
    if parsed is not None and parsed.type == "thinggroup":
        return changes_of_things_in(tx, realm, parsed.name)
    return of_principal(realm, target)


POLICY_TARGETS = listed(
    "policy_targets",
    *realm_columns(),
    Column("policy_name", String, nullable=False),
    Column("target", String, nullable=False),
    # Target first, for the look-up of identities. It also serves ``attached_to``: a target has few policies (AWS IoT:
    # ten), so the database may sort them.
    UniqueConstraint("target", "account_id", "region", "policy_name"),
    ForeignKeyConstraint(
        ["account_id", "region", "policy_name"], ["policies.account_id", "policies.region", "policies.name"]
    ),
    Index(None, "account_id", "region", "policy_name", "seq"),
    announces=_announce_target,
)


def _make(row: Row[Any]) -> Policy:
    return Policy(
        realm=realm_of(row),
        name=row.name,
        default_version_id=row.default_version_id,
        last_version_id=row.last_version_id,
        created_at=row.created_at,
        modified_at=row.modified_at,
        generation_id=row.generation_id,
    )


def _values(policy: Policy) -> dict[str, Any]:
    return {
        **realm_values(policy.realm),
        "name": policy.name,
        "default_version_id": policy.default_version_id,
        "last_version_id": policy.last_version_id,
        "created_at": policy.created_at,
        "modified_at": policy.modified_at,
        "generation_id": policy.generation_id,
    }


def policy_version_of(row: Row[Any]) -> PolicyVersion:
    """Make a policy version of a row of ``policy_versions``."""
    return PolicyVersion(
        realm=realm_of(row),
        policy_name=row.policy_name,
        version_id=row.version_id,
        document=row.document,
        created_at=row.created_at,
    )


def _version_values(version: PolicyVersion) -> dict[str, Any]:
    return {
        **realm_values(version.realm),
        "policy_name": version.policy_name,
        "version_id": version.version_id,
        "document": version.document,
        "created_at": version.created_at,
    }


def _target(row: Row[Any]) -> str:
    target: str = row.target
    return target


# Pages of a target's policies are in the order of its attachments, so ``seq`` is that of ``policy_targets``.
_ATTACHED = (
    select(POLICY_TARGETS.c.seq, *(column for column in POLICIES.c if column.name != "seq"))
    .join(
        POLICIES,
        and_(
            POLICIES.c.account_id == POLICY_TARGETS.c.account_id,
            POLICIES.c.region == POLICY_TARGETS.c.region,
            POLICIES.c.name == POLICY_TARGETS.c.policy_name,
        ),
    )
    .where(its(POLICY_TARGETS, "account_id", "region", "target"))
)
_ATTACHED_TO = Query(_ATTACHED, POLICY_TARGETS.c.seq, _make)
_TARGETS_OF = reading(POLICY_TARGETS, _target, *REALM, "policy_name")
_DETACH = removing(POLICY_TARGETS, *REALM, "policy_name", "target")


class PolicyRows(VersionedRows[Policy, PolicyVersion]):
    """Policies of all realms, with their versions and targets."""

    __slots__ = ()

    _table = RealmTable(POLICIES, "name", _make, _values)
    _versions = VersionTable(POLICY_VERSIONS, "policy_name", policy_version_of, _version_values)

    def attach(self, realm: Realm, name: str, target: str) -> bool:
        """Attach it; False where it was attached. The policy must be in the store."""
        values = {**realm_values(realm), "policy_name": name, "target": target}
        return insert_unless_there(self._tx, POLICY_TARGETS, values)

    def detach(self, realm: Realm, name: str, target: str) -> bool:
        """Detach it; False where it was not attached."""
        return self._tx.execute(_DETACH, realm_parameters(realm, policy_name=name, target=target)).rowcount == 1

    def attached_to(self, realm: Realm, target: str, window: Window) -> Slice[Policy]:
        """Return a page of a target's policies, in the order in which they were attached."""
        return _ATTACHED_TO.page(self._tx, window, realm_parameters(realm, target=target))

    def targets_of(self, realm: Realm, name: str, window: Window) -> Slice[str]:
        """Return a page of a policy's targets."""
        return _TARGETS_OF.page(self._tx, window, realm_parameters(realm, policy_name=name))
