"""Policies, their versions and what they are attached to (``ports.PolicyRows``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, select

from sekisho.realm import Realm
from sekisho.registry.model import Policy, PolicyVersion
from sekisho.registry.ports import Slice, Window
from sekisho.store import schema
from sekisho.store.statements import (
    Rows,
    insert,
    insert_unless_there,
    its,
    reading,
    realm_parameters,
    removing,
    replace,
    replacing,
)

_TABLE = schema.policies
_VERSIONS = schema.policy_versions
_TARGETS = schema.policy_targets


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
    select(_TARGETS.c.seq, *(column for column in _TABLE.c if column.name != "seq"))
    .join(
        _TABLE,
        and_(
            _TABLE.c.account_id == _TARGETS.c.account_id,
            _TABLE.c.region == _TARGETS.c.region,
            _TABLE.c.name == _TARGETS.c.policy_name,
        ),
    )
    .where(its(_TARGETS, "account_id", "region", "target"))
)
_KEY = ("account_id", "region", "name")
_VERSION_KEY = ("account_id", "region", "policy_name", "version_id")
_TARGET_KEY = ("account_id", "region", "policy_name", "target")
_BY_KEY = reading(_TABLE, _make, *_KEY)
_OF_REALM = reading(_TABLE, _make, "account_id", "region")
_ATTACHED_TO = Rows(_ATTACHED, _TARGETS.c.seq, _make)
_TARGETS_OF = reading(_TARGETS, _target, "account_id", "region", "policy_name")
_VERSION = Rows(select(_VERSIONS).where(its(_VERSIONS, *_VERSION_KEY)), _VERSIONS.c.version_id, policy_version_of)
_VERSIONS_OF = Rows(
    select(_VERSIONS).where(its(_VERSIONS, "account_id", "region", "policy_name")),
    _VERSIONS.c.version_id,
    policy_version_of,
)
_REPLACE = replacing(_TABLE, *_KEY)
_REMOVE = removing(_TABLE, *_KEY)
_REMOVE_VERSION = removing(_VERSIONS, *_VERSION_KEY)
_DETACH = removing(_TARGETS, *_TARGET_KEY)


class SqlPolicies:
    """Policies of all realms."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, realm: Realm, name: str) -> Policy | None:
        """The policy, or None."""
        return _BY_KEY.one(self._connection, realm_parameters(realm, name=name))

    def add(self, policy: Policy, first: PolicyVersion) -> None:
        """Add a policy with its first version. Raises AlreadyThere where the realm has one of this name."""
        insert(self._connection, _TABLE, _values(policy), policy.name)
        self.add_version(first)

    def replace(self, policy: Policy) -> None:
        """Overwrite it. Raises KeyError where the realm has none of this name."""
        parameters = _values(policy) | realm_parameters(policy.realm, name=policy.name)
        replace(self._connection, _REPLACE, parameters, policy.name)

    def remove(self, realm: Realm, name: str) -> None:
        """Forget it with all its versions. What it is attached to must have been detached."""
        self._connection.execute(_REMOVE, realm_parameters(realm, name=name))

    def page(self, realm: Realm, window: Window) -> Slice[Policy]:
        """Part of the realm's list."""
        return _OF_REALM.page(self._connection, window, realm_parameters(realm))

    def version(self, realm: Realm, name: str, version_id: int) -> PolicyVersion | None:
        """One document, or None."""
        return _VERSION.one(self._connection, realm_parameters(realm, policy_name=name, version_id=version_id))

    def versions(self, realm: Realm, name: str) -> Sequence[PolicyVersion]:
        """All documents, in order of their numbers."""
        return _VERSIONS_OF.all(self._connection, realm_parameters(realm, policy_name=name))

    def add_version(self, version: PolicyVersion) -> None:
        """Raises AlreadyThere where the number is taken. The policy must be in the store."""
        values = {
            "account_id": version.realm.account_id,
            "region": version.realm.region,
            "policy_name": version.policy_name,
            "version_id": version.version_id,
            "document": version.document,
            "created_at": version.created_at,
        }
        insert(self._connection, _VERSIONS, values, f"version {version.version_id} of {version.policy_name}")

    def remove_version(self, realm: Realm, name: str, version_id: int) -> None:
        """Forget one document."""
        parameters = realm_parameters(realm, policy_name=name, version_id=version_id)
        self._connection.execute(_REMOVE_VERSION, parameters)

    def attach(self, realm: Realm, name: str, target: str) -> bool:
        """True where it was not attached before. The policy must be in the store."""
        values = {"account_id": realm.account_id, "region": realm.region, "policy_name": name, "target": target}
        return insert_unless_there(self._connection, _TARGETS, values)

    def detach(self, realm: Realm, name: str, target: str) -> bool:
        """True where it was attached."""
        return self._connection.execute(_DETACH, realm_parameters(realm, policy_name=name, target=target)).rowcount == 1

    def attached_to(self, realm: Realm, target: str, window: Window) -> Slice[Policy]:
        """Part of the list of a target's policies, in the order they were attached."""
        return _ATTACHED_TO.page(self._connection, window, realm_parameters(realm, target=target))

    def targets_of(self, realm: Realm, name: str, window: Window) -> Slice[str]:
        """Part of the list of what a policy is attached to."""
        return _TARGETS_OF.page(self._connection, window, realm_parameters(realm, policy_name=name))
