"""Converts an identity of the registry to the plain data that crosses the boundary (``_sekisho.IdentityDict``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sekisho.admission.model import Identity, IdentityThing
from sekisho.policies.model import PolicyVersion

if TYPE_CHECKING:
    # Only the type stubs have these names; the built module has no such objects.
    from sekisho._sekisho import IdentityDict, PolicyDict, ThingDict


def identity_dict(identity: Identity) -> IdentityDict:
    """Return all facts about a certificate that the gateway needs."""
    certificate = identity.certificate
    return {
        "account_id": certificate.realm.account_id,
        "region": certificate.realm.region,
        "status": certificate.status.value,
        "mode": certificate.mode.value,
        "policies": [policy_dict(version) for version in identity.policies],
        "things": [thing_dict(thing) for thing in identity.things],
        "is_awaited": identity.is_awaited,
    }


def thing_dict(thing: IdentityThing) -> ThingDict:
    """Return a thing that a certificate is attached to."""
    return {
        "name": thing.name,
        "type_name": thing.type_name,
        "attributes": dict(thing.attributes),
        "exclusive": thing.exclusive,
        "group_policies": [policy_dict(version) for version in thing.policies],
    }


def policy_dict(version: PolicyVersion) -> PolicyDict:
    """Return a policy with the document of its default version."""
    return {"name": version.policy_name, "version": str(version.version_id), "document": version.document}
