"""Policies, their versions, and their attachments to targets.

A policy has up to five versions. Only its default version is evaluated. Version ids count up from 1 and are not used
again. Attaching, detaching and setting the default version apply to live connections at once.

Source: Developer Guide, iot-policies; the API Reference of each operation; General Reference for the limits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from sekisho import arn, ids
from sekisho.clock import Clock
from sekisho.errors import (
    DeleteConflictException,
    InvalidRequestException,
    LimitExceededException,
    ResourceAlreadyExistsException,
    ResourceNotFoundException,
    VersionsLimitExceededException,
)
from sekisho.pages import Slice, Window, window_of
from sekisho.policies.engine import PolicyEngine
from sekisho.policies.model import Policy, PolicyVersion
from sekisho.policies.store import PolicyRows
from sekisho.principals import rules as principals
from sekisho.realm import Realm
from sekisho.store.errors import AlreadyThere
from sekisho.store.store import Store
from sekisho.store.transaction import Transaction
from sekisho.tags.store import TagRows
from sekisho.thing_groups import inheritance

MAX_VERSIONS: Final = 5
"""Versions of one policy."""

MAX_PER_TARGET: Final = 10
"""Policies attached to one certificate or Cognito identity."""

MAX_PER_GROUP: Final = 2
"""Policies attached to one thing group (Developer Guide, thing-groups)."""

_MAX_VERSION_ID_DIGITS: Final = 18
"""Digits of a version id: a longer number is not one, and would not fit an integer of the database."""


class Policies:
    """Creates, lists, changes, deletes, attaches and detaches policies and their versions."""

    def __init__(self, store: Store, clock: Clock, engine: PolicyEngine) -> None:
        self._store = store
        self._clock = clock
        self._engine = engine

    def create(self, realm: Realm, name: str, document: str, tags: Mapping[str, str] | None = None) -> PolicyVersion:
        """Create a policy, with the document as its version 1.

        Raises:
            MalformedPolicyException: AWS IoT would refuse the document.
            ResourceAlreadyExistsException: The realm has a policy of this name.
        """
        with self._store.write() as tx:
            return create_in(tx, realm, self._clock(), self._engine, name, document, tags)

    def get(self, realm: Realm, name: str) -> tuple[Policy, PolicyVersion]:
        """Return the policy and its default version. Raises ResourceNotFoundException."""
        with self._store.read() as tx:
            policy = _existing(tx, realm, name)
            return policy, _existing_version(tx, policy, policy.default_version_id)

    def delete(self, realm: Realm, name: str) -> None:
        """Delete a policy.

        Raises:
            ResourceNotFoundException: No such policy.
            DeleteConflictException: It is attached to a target, or has versions besides the default one.
        """
        with self._store.write() as tx:
            _existing(tx, realm, name)
            if PolicyRows(tx).targets_of(realm, name, Window(limit=1)).items:
                raise DeleteConflictException(
                    f"The policy cannot be deleted as the policy is attached to one or more principals (name={name})"
                )
            if len(PolicyRows(tx).versions(realm, name)) > 1:
                # The repeated word is AWS IoT's, and tools compare this text.
                raise DeleteConflictException(
                    "The policy cannot be deleted as versions other than than default version exist; "
                    f"delete them with DeletePolicyVersion first (name={name})"
                )
            PolicyRows(tx).remove(realm, name)
            TagRows(tx).remove(realm, arn.policy(realm, name))

    def list(self, realm: Realm, window: Window) -> Slice[Policy]:
        """Return the policies of a realm."""
        with self._store.read() as tx:
            return PolicyRows(tx).page(realm, window)

    def create_version(self, realm: Realm, name: str, document: str, *, set_as_default: bool = False) -> PolicyVersion:
        """Add a version to a policy.

        Raises:
            MalformedPolicyException: AWS IoT would refuse the document.
            ResourceNotFoundException: No such policy.
            VersionsLimitExceededException: It has MAX_VERSIONS.
        """
        self._engine.check(document)
        with self._store.write() as tx:
            policy = _existing(tx, realm, name)
            if len(PolicyRows(tx).versions(realm, name)) >= MAX_VERSIONS:
                raise VersionsLimitExceededException(
                    f"The policy {name} already has the maximum number of versions ({MAX_VERSIONS})"
                )
            version_id = policy.last_version_id + 1
            version = PolicyVersion(realm, name, version_id, document, self._clock())
            PolicyRows(tx).add_version(version)
            if set_as_default:
                PolicyRows(tx).replace(self._with_default(replace(policy, last_version_id=version_id), version_id))
            return version

    def get_version(self, realm: Realm, name: str, version_id: str) -> tuple[Policy, PolicyVersion]:
        """Return the policy and one of its versions. Raises ResourceNotFoundException."""
        with self._store.read() as tx:
            policy = _existing(tx, realm, name)
            return policy, _existing_version(tx, policy, version_id)

    def delete_version(self, realm: Realm, name: str, version_id: str) -> None:
        """Delete a version that is not the default.

        Raises:
            ResourceNotFoundException: No such policy or version.
            DeleteConflictException: It is the default version.
        """
        with self._store.write() as tx:
            policy = _existing(tx, realm, name)
            version = _existing_version(tx, policy, version_id)
            if version.version_id == policy.default_version_id:
                raise DeleteConflictException(
                    "Cannot delete the default version of a policy. Set another default version, or delete the policy "
                    f"(name={name}, version={version.version_id})"
                )
            PolicyRows(tx).remove_version(realm, name, version.version_id)

    def versions(self, realm: Realm, name: str) -> tuple[Policy, Sequence[PolicyVersion]]:
        """Return the policy and its versions, newest first. Raises ResourceNotFoundException."""
        with self._store.read() as tx:
            policy = _existing(tx, realm, name)
            found = PolicyRows(tx).versions(realm, name)
        return policy, sorted(found, key=lambda version: version.version_id, reverse=True)

    def set_default_version(self, realm: Realm, name: str, version_id: str) -> None:
        """Make another version the default. Raises ResourceNotFoundException."""
        with self._store.write() as tx:
            policy = _existing(tx, realm, name)
            version = _existing_version(tx, policy, version_id)
            if version.version_id == policy.default_version_id:
                return
            PolicyRows(tx).replace(self._with_default(policy, version.version_id))

    def attach(self, realm: Realm, name: str, target: str) -> None:
        """Attach a policy to a target; without effect where it is attached.

        Raises:
            ResourceNotFoundException: No such policy, certificate or thing group.
            InvalidRequestException: ``target`` is not a target of this realm.
            LimitExceededException: The target has MAX_PER_TARGET policies; a thing group MAX_PER_GROUP.
        """
        with self._store.write() as tx:
            attach_in(tx, realm, name, target)

    def detach(self, realm: Realm, name: str, target: str) -> None:
        """Detach a policy from a target; without effect where it is not attached.

        Raises:
            ResourceNotFoundException: No such policy.
            InvalidRequestException: ``target`` is not a target of this realm.
        """
        with self._store.write() as tx:
            found = principals.parse_target(realm, target)
            _existing(tx, realm, name)
            PolicyRows(tx).detach(realm, name, found.text)

    def attached_to(self, realm: Realm, target: str, window: Window, *, recursive: bool = False) -> Slice[Policy]:
        """Return the policies that are attached to a target.

        Args:
            recursive: For a thing group, also return the policies of the groups above it, from the group to the root,
                each once.

        Raises:
            ResourceNotFoundException: No such certificate or thing group.
            InvalidRequestException: ``target`` is not a target of this realm.
        """
        with self._store.read() as tx:
            found = principals.existing_target(tx, realm, target)
            if recursive and found.group_name is not None:
                group = inheritance.existing_group(tx, realm, found.group_name)
                return window_of(inheritance.policies_of(tx, realm, group.lineage), window)
            return PolicyRows(tx).attached_to(realm, found.text, window)

    def targets_of(self, realm: Realm, name: str, window: Window) -> Slice[str]:
        """Return the targets of a policy. Raises ResourceNotFoundException."""
        with self._store.read() as tx:
            if PolicyRows(tx).get(realm, name) is None:
                # AWS IoT's message, which names neither the policy nor the region.
                raise ResourceNotFoundException("Policy not found")
            return PolicyRows(tx).targets_of(realm, name, window)

    def principals_of(self, realm: Realm, name: str, window: Window) -> Slice[str]:
        """Return the targets of a policy; none where there is no such policy (as AWS IoT's ListPolicyPrincipals)."""
        with self._store.read() as tx:
            return PolicyRows(tx).targets_of(realm, name, window)

    def _with_default(self, policy: Policy, version_id: int) -> Policy:
        return replace(policy, default_version_id=version_id, modified_at=self._clock(), generation_id=ids.unique())


def create_in(
    tx: Transaction,
    realm: Realm,
    now: datetime,
    engine: PolicyEngine,
    name: str,
    document: str,
    tags: Mapping[str, str] | None = None,
) -> PolicyVersion:
    """Do ``Policies.create`` within the caller's write transaction. After its errors nothing is written."""
    engine.check(document)
    policy = Policy(
        realm=realm,
        name=name,
        default_version_id=1,
        last_version_id=1,
        created_at=now,
        modified_at=now,
        generation_id=ids.unique(),
    )
    first = PolicyVersion(realm, name, 1, document, now)
    try:
        PolicyRows(tx).add(policy, first)
    except AlreadyThere:
        raise ResourceAlreadyExistsException(
            f"Policy cannot be created - name already exists (name={name})",
            resource_id=name,
            resource_arn=arn.policy(realm, name),
        ) from None
    if tags:
        TagRows(tx).put(realm, arn.policy(realm, name), tags)
    return first


def attach_in(tx: Transaction, realm: Realm, name: str, target: str) -> None:
    """Do ``Policies.attach`` within the caller's write transaction, with the same errors.

    After LimitExceededException the transaction must be rolled back, since the policy is attached in it.
    """
    _existing(tx, realm, name)
    found = principals.existing_target(tx, realm, target)
    if not PolicyRows(tx).attach(realm, name, found.text):
        return
    most = MAX_PER_TARGET if found.group_name is None else MAX_PER_GROUP
    if len(PolicyRows(tx).attached_to(realm, found.text, Window(limit=most + 1)).items) > most:
        # Checked after the attachment, which the error rolls back: the limit holds without a lock.
        raise LimitExceededException(
            f"Policy {name} cannot be attached: the target has {most} policies, the maximum. Detach one first."
        )


def _existing(tx: Transaction, realm: Realm, name: str) -> Policy:
    policy = PolicyRows(tx).get(realm, name)
    if policy is None:
        raise ResourceNotFoundException(f"Policy {name} does not exist. (region={realm.region})")
    return policy


def _existing_version(tx: Transaction, policy: Policy, version_id: str | int) -> PolicyVersion:
    digits = str(version_id)
    if not (digits.isascii() and digits.isdigit()):
        raise InvalidRequestException(f"A policy version id is a number, not {digits[:50]!r}.")
    found = None
    if len(digits) <= _MAX_VERSION_ID_DIGITS:
        found = PolicyRows(tx).version(policy.realm, policy.name, int(digits))
    if found is None:
        raise ResourceNotFoundException(f"Policy {policy.name} has no version {digits[:50]}.")
    return found
