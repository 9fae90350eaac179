"""Policies, their versions and what they are attached to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
from sekisho.store.statements import (
    Query,
    insert,
    insert_unless_there,
    its,
    reading,
    realm_parameters,
    removing,
    replace,
    replacing,
)
from sekisho.store.tables import Instant, String, Write, keyed, listed, realm_columns
from sekisho.store.transaction import Transaction
from sekisho.thing_groups.store import changes_of_things_in


def _announce(_tx: Transaction, write: Write) -> Iterable[Change]:
    # A new policy is attached to nothing; a new version counts once it is the default.
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
    # Versions never change. What is inserted or deleted is not the default one.
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
    # Target first, for the look-up of identities. It answers ``attached_to`` too: a target has few policies (AWS IoT:
    # ten), so they may be sorted.
    UniqueConstraint("target", "account_id", "region", "policy_name"),
    ForeignKeyConstraint(
        ["account_id", "region", "policy_name"], ["policies.account_id", "policies.region", "policies.name"]
    ),
    Index(None, "account_id", "region", "policy_name", "seq"),
    announces=_announce_target,
)


def _make(row: Row[Any]) -> Policy:
    return Policy(
        realm=Realm(row.account_id, row.region),
        name=row.name,
        default_version_id=row.default_version_id,
        last_version_id=row.last_version_id,
        created_at=row.created_at,
        modified_at=row.modified_at,
        generation_id=row.generation_id,
    )


def _values(policy: Policy) -> dict[str, Any]:
    return {
        "account_id": policy.realm.account_id,
        "region": policy.realm.region,
        "name": policy.name,
        "default_version_id": policy.default_version_id,
        "last_version_id": policy.last_version_id,
        "created_at": policy.created_at,
        "modified_at": policy.modified_at,
        "generation_id": policy.generation_id,
    }


def policy_version_of(row: Row[Any]) -> PolicyVersion:
    """The policy version in a row of ``policy_versions``."""
    return PolicyVersion(
        realm=Realm(row.account_id, row.region),
        policy_name=row.policy_name,
        version_id=row.version_id,
        document=row.document,
        created_at=row.created_at,
    )


def _target(row: Row[Any]) -> str:
    target: str = row.target
    return target


# The page of a target's policies goes on where its attachments went on, so that is the seq.
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
_KEY = ("account_id", "region", "name")
_VERSION_KEY = ("account_id", "region", "policy_name", "version_id")
_TARGET_KEY = ("account_id", "region", "policy_name", "target")
_BY_KEY = reading(POLICIES, _make, *_KEY)
_OF_REALM = reading(POLICIES, _make, "account_id", "region")
_ATTACHED_TO = Query(_ATTACHED, POLICY_TARGETS.c.seq, _make)
_TARGETS_OF = reading(POLICY_TARGETS, _target, "account_id", "region", "policy_name")
_VERSION = Query(
    select(POLICY_VERSIONS).where(its(POLICY_VERSIONS, *_VERSION_KEY)), POLICY_VERSIONS.c.version_id, policy_version_of
)
_VERSIONS_OF = Query(
    select(POLICY_VERSIONS).where(its(POLICY_VERSIONS, "account_id", "region", "policy_name")),
    POLICY_VERSIONS.c.version_id,
    policy_version_of,
)
_REPLACE = replacing(POLICIES, *_KEY)
_REMOVE = removing(POLICIES, *_KEY)
_REMOVE_VERSION = removing(POLICY_VERSIONS, *_VERSION_KEY)
_DETACH = removing(POLICY_TARGETS, *_TARGET_KEY)


class PolicyRows:
    """Policies of all realms."""

    __slots__ = ("_tx",)

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    def get(self, realm: Realm, name: str) -> Policy | None:
        """The policy, or None."""
        return _BY_KEY.one(self._tx, realm_parameters(realm, name=name))

    def add(self, policy: Policy, first: PolicyVersion) -> None:
        """Add a policy with its first version. Raises AlreadyThere where the realm has one of this name."""
        insert(self._tx, POLICIES, _values(policy), policy.name)
        self._insert_version(first)

    def replace(self, policy: Policy) -> None:
        """Overwrite it. Raises KeyError where the realm has none of this name."""
        parameters = _values(policy) | realm_parameters(policy.realm, name=policy.name)
        replace(self._tx, _REPLACE, parameters, policy.name)

    def remove(self, realm: Realm, name: str) -> None:
        """Forget it with all its versions. What it is attached to must have been detached."""
        self._tx.execute(_REMOVE, realm_parameters(realm, name=name))

    def page(self, realm: Realm, window: Window) -> Slice[Policy]:
        """Part of the realm's list."""
        return _OF_REALM.page(self._tx, window, realm_parameters(realm))

    def version(self, realm: Realm, name: str, version_id: int) -> PolicyVersion | None:
        """One document, or None."""
        return _VERSION.one(self._tx, realm_parameters(realm, policy_name=name, version_id=version_id))

    def versions(self, realm: Realm, name: str) -> Sequence[PolicyVersion]:
        """All documents, in order of their numbers."""
        return _VERSIONS_OF.all(self._tx, realm_parameters(realm, policy_name=name))

    def add_version(self, version: PolicyVersion) -> None:
        """Add a version, which is the policy's last from now on.

        Raises:
            AlreadyThere: The number is taken.
            KeyError: There is no such policy.
        """
        parameters = realm_parameters(version.realm, name=version.policy_name)
        replace(self._tx, _REPLACE, parameters | {"last_version_id": version.version_id}, version.policy_name)
        self._insert_version(version)

    def _insert_version(self, version: PolicyVersion) -> None:
        values = {
            "account_id": version.realm.account_id,
            "region": version.realm.region,
            "policy_name": version.policy_name,
            "version_id": version.version_id,
            "document": version.document,
            "created_at": version.created_at,
        }
        insert(self._tx, POLICY_VERSIONS, values, f"version {version.version_id} of {version.policy_name}")

    def remove_version(self, realm: Realm, name: str, version_id: int) -> None:
        """Forget one document."""
        parameters = realm_parameters(realm, policy_name=name, version_id=version_id)
        self._tx.execute(_REMOVE_VERSION, parameters)

    def attach(self, realm: Realm, name: str, target: str) -> bool:
        """True where it was not attached before. The policy must be in the store."""
        values = {"account_id": realm.account_id, "region": realm.region, "policy_name": name, "target": target}
        return insert_unless_there(self._tx, POLICY_TARGETS, values)

    def detach(self, realm: Realm, name: str, target: str) -> bool:
        """True where it was attached."""
        return self._tx.execute(_DETACH, realm_parameters(realm, policy_name=name, target=target)).rowcount == 1

    def attached_to(self, realm: Realm, target: str, window: Window) -> Slice[Policy]:
        """Part of the list of a target's policies, in the order they were attached."""
        return _ATTACHED_TO.page(self._tx, window, realm_parameters(realm, target=target))

    def targets_of(self, realm: Realm, name: str, window: Window) -> Slice[str]:
        """Part of the list of what a policy is attached to."""
        return _TARGETS_OF.page(self._tx, window, realm_parameters(realm, policy_name=name))
