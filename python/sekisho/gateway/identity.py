"""An identity of the registry as the plain tuple that crosses to Rust (``_sekisho.IdentityTuple``)."""

from __future__ import annotations

from sekisho._sekisho import IdentityTuple, PolicyTuple
from sekisho.registry.model import Identity, PolicyVersion


def identity_tuple(identity: Identity) -> IdentityTuple:
    """Everything the gate needs to know of one certificate."""
    certificate = identity.certificate
    return (
        certificate.realm.account_id,
        certificate.realm.region,
        certificate.status.value,
        certificate.mode.value,
        [_policy(version) for version in identity.policies],
        [
            (
                thing.name,
                thing.type_name,
                list(thing.attributes.items()),
                thing.exclusive,
                [_policy(version) for version in thing.policies],
            )
            for thing in identity.things
        ],
    )


def _policy(version: PolicyVersion) -> PolicyTuple:
    return (version.policy_name, str(version.version_id), version.document)
