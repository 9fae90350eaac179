"""An identity of the registry as the plain data that crosses to Rust (``_sekisho.IdentityDict``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sekisho.admission.model import Identity, IdentityThing
from sekisho.policies.model import PolicyVersion

if TYPE_CHECKING:
    # The contract's names for its dictionaries; the built module has no such objects.
    from sekisho._sekisho import IdentityDict, PolicyDict, ThingDict


def identity_dict(identity: Identity) -> IdentityDict:
    """Everything the gateway needs to know of one certificate."""
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
    """A thing that a certificate is attached to."""
    return {
        "name": thing.name,
        "type_name": thing.type_name,
        "attributes": dict(thing.attributes),
        "exclusive": thing.exclusive,
        "group_policies": [policy_dict(version) for version in thing.policies],
    }


def policy_dict(version: PolicyVersion) -> PolicyDict:
    """A policy in force."""
    return {"name": version.policy_name, "version": str(version.version_id), "document": version.document}
