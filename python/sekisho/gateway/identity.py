"""An identity of the registry as the plain tuples that cross to Rust (``_sekisho.IdentityTuple``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sekisho.registry.model import Identity, IdentityThing, PolicyVersion

if TYPE_CHECKING:
    # The contract's names for its tuples; the built module has no such objects.
    from sekisho._sekisho import IdentityTuple, PolicyTuple, ThingTuple


def identity_tuple(identity: Identity) -> IdentityTuple:
    """Everything the gate needs to know of one certificate."""
    certificate = identity.certificate
    return (
        certificate.realm.account_id,
        certificate.realm.region,
        certificate.status.value,
        certificate.mode.value,
        [policy_tuple(version) for version in identity.policies],
        [thing_tuple(thing) for thing in identity.things],
        identity.is_awaited,
    )


def thing_tuple(thing: IdentityThing) -> ThingTuple:
    """A thing as a connection sees it."""
    return (
        thing.name,
        thing.type_name,
        list(thing.attributes.items()),
        thing.exclusive,
        [policy_tuple(version) for version in thing.policies],
    )


def policy_tuple(version: PolicyVersion) -> PolicyTuple:
    """A policy in force."""
    return (version.policy_name, str(version.version_id), version.document)
